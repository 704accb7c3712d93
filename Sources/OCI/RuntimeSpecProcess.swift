extension RuntimeSpec {
  /// The program that a container, or an exec in it, runs.
  public struct Process: Codable, Sendable, Equatable {
    /// Whether it gets a terminal of its own.
    public var terminal: Bool?
    /// The terminal's first size.
    public var consoleSize: ConsoleSize?
    /// As whom.
    public var user: User
    /// The program and its arguments.
    public var args: [String]?
    /// For Windows only.
    public var commandLine: String?
    /// `KEY=value` each.
    public var env: [String]?
    /// The folder to start in, absolute in the container.
    public var cwd: String
    /// What it may do as root; none when absent.
    public var capabilities: Capabilities?
    /// Limits of getrlimit(2).
    public var rlimits: [Rlimit]?
    /// Whether exec may never give more rights.
    public var noNewPrivileges: Bool?
    /// The AppArmor profile.
    public var apparmorProfile: String?
    /// The SELinux label.
    public var selinuxLabel: String?
    /// How soon it is ended when memory is short, -1000 to 1000.
    public var oomScoreAdj: Int?
    /// Priority of its input and output.
    public var ioPriority: IOPriority?
    /// How it is scheduled.
    public var scheduler: Scheduler?
    /// CPUs for an exec before and after it enters the container.
    public var execCPUAffinity: CPUAffinity?

    /// From its parts.
    public init(
      terminal: Bool? = nil,
      consoleSize: ConsoleSize? = nil,
      user: User = User(uid: 0, gid: 0),
      args: [String]? = nil,
      commandLine: String? = nil,
      env: [String]? = nil,
      cwd: String,
      capabilities: Capabilities? = nil,
      rlimits: [Rlimit]? = nil,
      noNewPrivileges: Bool? = nil,
      apparmorProfile: String? = nil,
      selinuxLabel: String? = nil,
      oomScoreAdj: Int? = nil,
      ioPriority: IOPriority? = nil,
      scheduler: Scheduler? = nil,
      execCPUAffinity: CPUAffinity? = nil
    ) {
      self.terminal = terminal
      self.consoleSize = consoleSize
      self.user = user
      self.args = args
      self.commandLine = commandLine
      self.env = env
      self.cwd = cwd
      self.capabilities = capabilities
      self.rlimits = rlimits
      self.noNewPrivileges = noNewPrivileges
      self.apparmorProfile = apparmorProfile
      self.selinuxLabel = selinuxLabel
      self.oomScoreAdj = oomScoreAdj
      self.ioPriority = ioPriority
      self.scheduler = scheduler
      self.execCPUAffinity = execCPUAffinity
    }
  }

  /// Rows and columns of a terminal.
  public struct ConsoleSize: Codable, Sendable, Equatable {
    /// Rows.
    public var height: UInt
    /// Columns.
    public var width: UInt

    /// From its parts.
    public init(
      height: UInt,
      width: UInt
    ) {
      self.height = height
      self.width = width
    }
  }

  /// Ids to run as.
  public struct User: Codable, Sendable, Equatable {
    /// The user.
    public var uid: UInt32
    /// The group.
    public var gid: UInt32
    /// The file creation mask.
    public var umask: UInt32?
    /// Further groups.
    public var additionalGids: [UInt32]?
    /// Ours on Linux: Docker's USER (`name`, `uid`, `name:group` …), looked up in the container's own files; it wins over uid and gid.
    public var username: String?
    /// Ours: further groups by name, looked up in the container's own /etc/group.
    public var additionalGroupNames: [String]?

    /// From its parts.
    public init(
      uid: UInt32,
      gid: UInt32,
      umask: UInt32? = nil,
      additionalGids: [UInt32]? = nil,
      username: String? = nil,
      additionalGroupNames: [String]? = nil
    ) {
      self.uid = uid
      self.gid = gid
      self.umask = umask
      self.additionalGids = additionalGids
      self.username = username
      self.additionalGroupNames = additionalGroupNames
    }
  }

  /// Names (`CAP_CHOWN`) in each of a process's five sets.
  public struct Capabilities: Codable, Sendable, Equatable {
    /// The most that exec can ever give.
    public var bounding: [String]?
    /// What is checked.
    public var effective: [String]?
    /// What exec keeps for files that ask for it.
    public var inheritable: [String]?
    /// What may be made effective.
    public var permitted: [String]?
    /// What exec keeps for every file.
    public var ambient: [String]?

    /// From its parts.
    public init(
      bounding: [String]? = nil,
      effective: [String]? = nil,
      inheritable: [String]? = nil,
      permitted: [String]? = nil,
      ambient: [String]? = nil
    ) {
      self.bounding = bounding
      self.effective = effective
      self.inheritable = inheritable
      self.permitted = permitted
      self.ambient = ambient
    }
  }

  /// One limit.
  public struct Rlimit: Codable, Sendable, Equatable {
    /// `RLIMIT_NOFILE` and so on.
    public var type: String
    /// What soft may be raised to.
    public var hard: UInt64
    /// What counts.
    public var soft: UInt64

    /// From its parts.
    public init(
      type: String,
      hard: UInt64,
      soft: UInt64
    ) {
      self.type = type
      self.hard = hard
      self.soft = soft
    }
  }

  /// See ioprio_set(2).
  public struct IOPriority: Codable, Sendable, Equatable {
    /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
    public var `class`: String
    /// 0 (first) to 7.
    public var priority: Int32?

    /// From its parts.
    public init(
      `class`: String,
      priority: Int32? = nil
    ) {
      self.`class` = `class`
      self.priority = priority
    }
  }

  /// See sched_setattr(2).
  public struct Scheduler: Codable, Sendable, Equatable {
    /// `SCHED_OTHER` and so on.
    public var policy: String
    /// -20 (first) to 19.
    public var nice: Int32?
    /// For the real-time policies.
    public var priority: Int32?
    /// `SCHED_FLAG_*`.
    public var flags: [String]?
    /// Nanoseconds, for deadlines.
    public var runtime: UInt64?
    /// Nanoseconds.
    public var deadline: UInt64?
    /// Nanoseconds.
    public var period: UInt64?

    /// From its parts.
    public init(
      policy: String,
      nice: Int32? = nil,
      priority: Int32? = nil,
      flags: [String]? = nil,
      runtime: UInt64? = nil,
      deadline: UInt64? = nil,
      period: UInt64? = nil
    ) {
      self.policy = policy
      self.nice = nice
      self.priority = priority
      self.flags = flags
      self.runtime = runtime
      self.deadline = deadline
      self.period = period
    }
  }

  /// Lists such as `0-3,7`.
  public struct CPUAffinity: Codable, Sendable, Equatable {
    /// Before it enters the container's cgroup.
    public var initial: String?
    /// After it.
    public var final: String?

    /// From its parts.
    public init(
      initial: String? = nil,
      final: String? = nil
    ) {
      self.initial = initial
      self.final = final
    }
  }
}

extension RuntimeSpec.User {
  /// The specification's schema lets every field be absent: ids are then 0.
  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    self.init(
      uid: try values.decodeIfPresent(UInt32.self, forKey: .uid) ?? 0,
      gid: try values.decodeIfPresent(UInt32.self, forKey: .gid) ?? 0,
      umask: try values.decodeIfPresent(UInt32.self, forKey: .umask),
      additionalGids: try values.decodeIfPresent([UInt32].self, forKey: .additionalGids),
      username: try values.decodeIfPresent(String.self, forKey: .username),
      additionalGroupNames: try values.decodeIfPresent([String].self, forKey: .additionalGroupNames))
  }
}
