internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage

/// One program to run in a container, checked and put into the kernel's terms before the clone, so that the child only
/// has to do it.
struct ProcessPlan {
  let arguments: [String]
  var environment: [String]
  let cwd: String
  let user: RuntimeSpec.User
  let capabilities: CapabilityPlan
  let noNewPrivileges: Bool
  let filter: [UInt8]?
  let filterFlags: UInt32
  let limits: [ResourceLimit]
  let oomScoreAdj: Int?
  let scheduling: Scheduling
  let securityLabel: SecurityLabel?
  let consoleSize: TerminalSize?
  var io: ProcessIO
  /// Descriptors that become 3 and the following ones of the program.
  var passed: [Int32] = []
  /// Whether it stays in the caller's session keyring.
  var keepsKeyring = false
  /// Run in the container before the program, each with the container's state.
  var startHooks: [RuntimeSpec.Hook] = []

  /// One limit of setrlimit(2).
  struct ResourceLimit {
    let number: Int32
    let name: String
    let soft: UInt64
    let hard: UInt64
  }

  /// What to write to `/proc/self/attr` before exec.
  struct SecurityLabel {
    let file: String
    let text: String
  }

  init(_ process: RuntimeSpec.Process, filter: [UInt8]?, filterFlags: UInt32, io: ProcessIO) throws(Fault) {
    guard let arguments = process.args, let first = arguments.first, !first.isEmpty else {
      throw Fault(.invalidArgument, "no command was given: the image names none, so name one after the image")
    }
    for string in arguments + (process.env ?? []) + [process.cwd] where string.utf8.contains(0) {
      throw Fault(.invalidArgument, "a NUL byte is in an argument, a variable or the working folder of the container")
    }
    guard process.cwd.isEmpty || process.cwd.hasPrefix("/") else {
      throw Fault(.invalidArgument, "the working folder \"\(process.cwd)\" is not absolute: write it with a leading /")
    }
    self.arguments = arguments
    environment = process.env ?? []
    cwd = process.cwd.isEmpty ? "/" : process.cwd
    user = process.user
    capabilities = try CapabilityPlan(process.capabilities)
    noNewPrivileges = process.noNewPrivileges ?? false
    guard (filter?.count ?? 0) % 8 == 0, (filter?.count ?? 8) / 8 <= Int(UInt16.max), filter?.isEmpty != true else {
      throw Fault(.invalidArgument, "the system call filter is not a program of 8-byte instructions")
    }
    self.filter = filter
    self.filterFlags = filterFlags
    limits = try Self.limits(process.rlimits ?? [])
    if let score = process.oomScoreAdj, !(-1000...1000).contains(score) {
      throw Fault(.invalidArgument, "oomScoreAdj is \(score): it must be from -1000 to 1000")
    }
    oomScoreAdj = process.oomScoreAdj
    scheduling = try Scheduling(process)
    securityLabel = try Self.label(process)
    consoleSize = process.consoleSize.map {
      TerminalSize(rows: UInt16(clamping: $0.height), columns: UInt16(clamping: $0.width))
    }
    self.io = io
  }

  private static let limitNames = [
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
    "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
  ]

  /// A limit above this machine's hard limit needs CAP_SYS_RESOURCE, which not every root has: say so by name instead of
  /// failing in the child with EPERM.
  private static func limits(_ limits: [RuntimeSpec.Rlimit]) throws(Fault) -> [ResourceLimit] {
    var result: [ResourceLimit] = []
    let mayRaise = limits.isEmpty || Capabilities.effective.contains(CapabilitySet(rawValue: 1 << 24))
    for limit in limits {
      guard limit.type.hasPrefix("RLIMIT_"), let number = limitNames.firstIndex(of: String(limit.type.dropFirst(7)))
      else { throw Fault(.invalidArgument, "\(limit.type) is no resource limit that this machine knows") }
      let name = limitNames[number].lowercased()
      guard limit.soft <= limit.hard else {
        throw Fault(
          .invalidArgument, "the limit \(name)=\(limit.soft):\(limit.hard) has a soft part above its hard part")
      }
      var soft: UInt64 = 0
      var hard: UInt64 = 0
      _ = cl_getrlimit(Int32(number), &soft, &hard)
      guard mayRaise || limit.hard <= hard else {
        throw Fault(
          .invalidArgument,
          "the limit \(name)=\(limit.hard) is above this machine's hard limit \(hard), which only CAP_SYS_RESOURCE "
            + "may raise: ask for at most \(hard)")
      }
      result.append(ResourceLimit(number: Int32(number), name: name, soft: limit.soft, hard: limit.hard))
    }
    return result
  }

  private static func label(_ process: RuntimeSpec.Process) throws(Fault) -> SecurityLabel? {
    if let profile = process.apparmorProfile, !profile.isEmpty, profile != "unconfined" {
      guard (try? FileStatus("/sys/kernel/security/apparmor")) != nil else {
        throw Fault(.unsupported, "this machine has no AppArmor, so the profile \(profile) cannot be used")
      }
      return SecurityLabel(file: "apparmor/exec", text: "exec \(profile)")
    }
    if let label = process.selinuxLabel, !label.isEmpty {
      guard (try? FileStatus("/sys/fs/selinux/enforce")) != nil else {
        throw Fault(.unsupported, "this machine has no SELinux, so the label \(label) cannot be used")
      }
      return SecurityLabel(file: "exec", text: label)
    }
    return nil
  }
}

/// Priorities of the processor and the disk, and for an exec its CPUs.
struct Scheduling {
  private var policy: (number: UInt32, flags: UInt64, RuntimeSpec.Scheduler)?
  private var ioPriority: (kind: Int32, priority: Int32)?
  private var initialCPUs: [UInt64]?
  private var finalCPUs: [UInt64]?

  init(_ process: RuntimeSpec.Process) throws(Fault) {
    if let scheduler = process.scheduler {
      let policies: [String: UInt32] = [
        "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5,
        "SCHED_DEADLINE": 6,
      ]
      let flags: [String: UInt64] = [
        "SCHED_FLAG_RESET_ON_FORK": 1, "SCHED_FLAG_RECLAIM": 2, "SCHED_FLAG_DL_OVERRUN": 4,
        "SCHED_FLAG_KEEP_POLICY": 8, "SCHED_FLAG_KEEP_PARAMS": 16, "SCHED_FLAG_UTIL_CLAMP_MIN": 32,
        "SCHED_FLAG_UTIL_CLAMP_MAX": 64,
      ]
      guard let number = policies[scheduler.policy] else {
        throw Fault(.invalidArgument, "\(scheduler.policy) is no scheduling policy")
      }
      var bits: UInt64 = 0
      for name in scheduler.flags ?? [] {
        guard let flag = flags[name] else { throw Fault(.invalidArgument, "\(name) is no scheduling flag") }
        bits |= flag
      }
      policy = (number, bits, scheduler)
    }
    if let priority = process.ioPriority {
      let kinds: [String: Int32] = ["IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3]
      guard let kind = kinds[priority.class], (0...7).contains(priority.priority ?? 0) else {
        throw Fault(.invalidArgument, "the io priority \(priority.class) \(priority.priority ?? 0) does not exist")
      }
      ioPriority = (kind, priority.priority ?? 0)
    }
    initialCPUs = try Self.cpus(process.execCPUAffinity?.initial)
    finalCPUs = try Self.cpus(process.execCPUAffinity?.final)
  }

  private static func cpus(_ list: String?) throws(Fault) -> [UInt64]? {
    guard let list, !list.isEmpty else { return nil }
    guard let mask = mask(list) else { throw Fault(.invalidArgument, "\"\(list)\" is no list of CPUs") }
    return mask
  }

  /// In the child of an exec, before it enters the container's cgroup.
  func applyInitialCPUs() throws(Fault) { try Self.bind(initialCPUs) }

  /// In the child of an exec, once it is in the container's cgroup.
  func applyFinalCPUs() throws(Fault) { try Self.bind(finalCPUs) }

  private static func bind(_ cpus: [UInt64]?) throws(Fault) {
    guard let cpus else { return }
    try step("bind the process to its CPUs", code: .invalidArgument) { () throws(Errno) in
      try check(cl_sched_setaffinity(cpus, cpus.count * 8))
    }
  }

  /// In the child, while it still may.
  func apply() throws(Fault) {
    if let (number, flags, scheduler) = policy {
      try step("set the scheduling policy \(scheduler.policy)") { () throws(Errno) in
        try check(
          cl_sched_setattr(
            number, flags, scheduler.nice ?? 0, UInt32(bitPattern: scheduler.priority ?? 0), scheduler.runtime ?? 0,
            scheduler.deadline ?? 0, scheduler.period ?? 0))
      }
    }
    if let (kind, priority) = ioPriority {
      try step("set the io priority") { () throws(Errno) in try check(cl_ioprio_set(kind, priority)) }
    }
  }

  /// `0-3,7` as a bit for each CPU; nil when it is no such list.
  static func mask(_ list: String) -> [UInt64]? {
    var mask = [UInt64](repeating: 0, count: 16)
    for part in list.split(separator: ",") {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Int($0.filter { $0 != " " }) }
      guard (1...2).contains(ends.count), let low = ends[0], let high = ends[ends.count - 1], low >= 0, low <= high,
        high < 1024
      else { return nil }
      for cpu in low...high { mask[cpu / 64] |= 1 << UInt64(cpu % 64) }
    }
    return mask
  }
}
