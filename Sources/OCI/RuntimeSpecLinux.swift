extension RuntimeSpec {
  /// What only Linux has.
  public struct Linux: Codable, Sendable, Equatable {
    /// Device files to make.
    public var devices: [Device]?
    /// Network interfaces to move in, by their name on the host.
    public var netDevices: [String: NetDevice]?
    /// Users of a user namespace of its own.
    public var uidMappings: [IDMapping]?
    /// Groups of it.
    public var gidMappings: [IDMapping]?
    /// New namespaces, and those to join.
    public var namespaces: [Namespace]?
    /// Limits of its cgroup.
    public var resources: Resources?
    /// Where its cgroup is.
    public var cgroupsPath: String?
    /// `private`, `shared`, `slave` or `unbindable`.
    public var rootfsPropagation: String?
    /// Which system calls are allowed.
    public var seccomp: Seccomp?
    /// Settings of the kernel in its namespaces.
    public var sysctl: [String: String]?
    /// What it cannot read.
    public var maskedPaths: [String]?
    /// What it cannot write.
    public var readonlyPaths: [String]?
    /// The SELinux label of its mounts.
    public var mountLabel: String?
    /// Cache and memory bandwidth.
    public var intelRdt: IntelRdt?
    /// NUMA policy.
    public var memoryPolicy: MemoryPolicy?
    /// The execution domain.
    public var personality: Personality?
    /// Clock offsets of a time namespace: `monotonic`, `boottime`.
    public var timeOffsets: [String: TimeOffset]?

    /// From its parts.
    public init(
      devices: [Device]? = nil,
      netDevices: [String: NetDevice]? = nil,
      uidMappings: [IDMapping]? = nil,
      gidMappings: [IDMapping]? = nil,
      namespaces: [Namespace]? = nil,
      resources: Resources? = nil,
      cgroupsPath: String? = nil,
      rootfsPropagation: String? = nil,
      seccomp: Seccomp? = nil,
      sysctl: [String: String]? = nil,
      maskedPaths: [String]? = nil,
      readonlyPaths: [String]? = nil,
      mountLabel: String? = nil,
      intelRdt: IntelRdt? = nil,
      memoryPolicy: MemoryPolicy? = nil,
      personality: Personality? = nil,
      timeOffsets: [String: TimeOffset]? = nil
    ) {
      self.devices = devices
      self.netDevices = netDevices
      self.uidMappings = uidMappings
      self.gidMappings = gidMappings
      self.namespaces = namespaces
      self.resources = resources
      self.cgroupsPath = cgroupsPath
      self.rootfsPropagation = rootfsPropagation
      self.seccomp = seccomp
      self.sysctl = sysctl
      self.maskedPaths = maskedPaths
      self.readonlyPaths = readonlyPaths
      self.mountLabel = mountLabel
      self.intelRdt = intelRdt
      self.memoryPolicy = memoryPolicy
      self.personality = personality
      self.timeOffsets = timeOffsets
    }
  }

  /// A device file.
  public struct Device: Codable, Sendable, Equatable {
    /// `c`, `b`, `u` or `p`.
    public var type: String
    /// Where in the container.
    public var path: String
    /// The device's driver.
    public var major: Int64?
    /// Which of its devices.
    public var minor: Int64?
    /// Permissions.
    public var fileMode: UInt32?
    /// The owner.
    public var uid: UInt32?
    /// The owning group.
    public var gid: UInt32?

    /// From its parts.
    public init(
      type: String,
      path: String,
      major: Int64? = nil,
      minor: Int64? = nil,
      fileMode: UInt32? = nil,
      uid: UInt32? = nil,
      gid: UInt32? = nil
    ) {
      self.type = type
      self.path = path
      self.major = major
      self.minor = minor
      self.fileMode = fileMode
      self.uid = uid
      self.gid = gid
    }
  }

  /// A network interface to move in.
  public struct NetDevice: Codable, Sendable, Equatable {
    /// Its name inside; nil keeps it.
    public var name: String?

    /// From its parts.
    public init(
      name: String? = nil
    ) {
      self.name = name
    }
  }

  /// One namespace.
  public struct Namespace: Codable, Sendable, Equatable {
    /// `mount`, `pid`, `network`, `uts`, `ipc`, `user`, `cgroup` or `time`.
    public var type: String
    /// An existing one to join; nil makes a new one.
    public var path: String?

    /// From its parts.
    public init(
      type: String,
      path: String? = nil
    ) {
      self.type = type
      self.path = path
    }
  }

  /// See personality(2).
  public struct Personality: Codable, Sendable, Equatable {
    /// `LINUX` or `LINUX32`.
    public var domain: String
    /// None are defined.
    public var flags: [String]?

    /// From its parts.
    public init(
      domain: String,
      flags: [String]? = nil
    ) {
      self.domain = domain
      self.flags = flags
    }
  }

  /// An offset of a clock.
  public struct TimeOffset: Codable, Sendable, Equatable {
    /// Seconds.
    public var secs: Int64?
    /// Nanoseconds.
    public var nanosecs: UInt32?

    /// From its parts.
    public init(
      secs: Int64? = nil,
      nanosecs: UInt32? = nil
    ) {
      self.secs = secs
      self.nanosecs = nanosecs
    }
  }

  /// See the kernel's resctrl.
  public struct IntelRdt: Codable, Sendable, Equatable {
    /// The class of service.
    public var closID: String?
    /// Lines for its schemata file.
    public var schemata: [String]?
    /// The line for the L3 cache.
    public var l3CacheSchema: String?
    /// The line for memory bandwidth.
    public var memBwSchema: String?
    /// Whether to monitor.
    public var enableMonitoring: Bool?

    /// From its parts.
    public init(
      closID: String? = nil,
      schemata: [String]? = nil,
      l3CacheSchema: String? = nil,
      memBwSchema: String? = nil,
      enableMonitoring: Bool? = nil
    ) {
      self.closID = closID
      self.schemata = schemata
      self.l3CacheSchema = l3CacheSchema
      self.memBwSchema = memBwSchema
      self.enableMonitoring = enableMonitoring
    }
  }

  /// See set_mempolicy(2).
  public struct MemoryPolicy: Codable, Sendable, Equatable {
    /// `MPOL_*`.
    public var mode: String?
    /// A list such as `0-1`.
    public var nodes: String?
    /// `MPOL_F_*`.
    public var flags: [String]?

    /// From its parts.
    public init(
      mode: String? = nil,
      nodes: String? = nil,
      flags: [String]? = nil
    ) {
      self.mode = mode
      self.nodes = nodes
      self.flags = flags
    }
  }

  /// Which system calls are allowed.
  public struct Seccomp: Codable, Sendable, Equatable {
    /// What happens to a call that no rule names: `SCMP_ACT_*`.
    public var defaultAction: String
    /// The errno of `SCMP_ACT_ERRNO` as default action; EPERM when absent.
    public var defaultErrnoRet: UInt32?
    /// `SECCOMP_FILTER_FLAG_*`.
    public var flags: [String]?
    /// The socket of a supervisor for `SCMP_ACT_NOTIFY`.
    public var listenerPath: String?
    /// What it is told.
    public var listenerMetadata: String?
    /// `SCMP_ARCH_*`.
    public var architectures: [String]?
    /// The rules.
    public var syscalls: [SeccompRule]?

    /// From its parts.
    public init(
      defaultAction: String,
      defaultErrnoRet: UInt32? = nil,
      flags: [String]? = nil,
      listenerPath: String? = nil,
      listenerMetadata: String? = nil,
      architectures: [String]? = nil,
      syscalls: [SeccompRule]? = nil
    ) {
      self.defaultAction = defaultAction
      self.defaultErrnoRet = defaultErrnoRet
      self.flags = flags
      self.listenerPath = listenerPath
      self.listenerMetadata = listenerMetadata
      self.architectures = architectures
      self.syscalls = syscalls
    }
  }

  /// What happens to some system calls.
  public struct SeccompRule: Codable, Sendable, Equatable {
    /// The calls.
    public var names: [String]
    /// `SCMP_ACT_*`.
    public var action: String
    /// The errno of `SCMP_ACT_ERRNO`.
    public var errnoRet: UInt32?
    /// Conditions, all of which must hold.
    public var args: [SeccompArgument]?

    /// From its parts.
    public init(
      names: [String],
      action: String,
      errnoRet: UInt32? = nil,
      args: [SeccompArgument]? = nil
    ) {
      self.names = names
      self.action = action
      self.errnoRet = errnoRet
      self.args = args
    }
  }

  /// A condition on an argument.
  public struct SeccompArgument: Codable, Sendable, Equatable {
    /// Which argument, from 0.
    public var index: UInt32
    /// Compared with.
    public var value: UInt64
    /// The mask's result for `SCMP_CMP_MASKED_EQ`.
    public var valueTwo: UInt64?
    /// `SCMP_CMP_*`.
    public var op: String

    /// From its parts.
    public init(
      index: UInt32,
      value: UInt64,
      valueTwo: UInt64? = nil,
      op: String
    ) {
      self.index = index
      self.value = value
      self.valueTwo = valueTwo
      self.op = op
    }
  }
}
