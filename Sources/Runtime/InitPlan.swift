internal import CLinux
internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage

/// Everything that the child needs to become the container, made and checked before the clone.
final class InitPlan {
  let process: ProcessPlan
  /// Namespaces that clone3 makes (the cgroup one is made later, by unshare).
  let newNamespaces: NamespaceKinds
  let ownsCgroupNamespace: Bool
  let ownsUserNamespace: Bool
  /// Namespaces to join in the child.
  let joined: [(descriptor: Int32, kind: NamespaceKinds)]
  /// A pid namespace that the parent has to enter before the clone.
  let joinedPID: Int32?
  /// A user namespace in which the child is made by a process that joins it first.
  let joinedUser: Int32?
  /// Whether the mount namespace is joined: it is then taken with the mounts and the root that it has.
  let joinsMounts: Bool
  let clocks: ClockPlan?
  let interfaces: [PlannedInterface]
  let memoryPolicy: MemoryPolicyPlan?
  let root: RootMount.Prepared?
  /// Where the root is attached: over the old one, or, for hooks that look for it there, on the folder that it comes from.
  let rootPlace: String
  let pivots: Bool
  let rootIsReadOnly: Bool
  let rootPropagation: MountPropagation?
  let mounts: [PlannedMount]
  let devices: [PlannedDevice]
  let maskedPaths: [String]
  let readOnlyPaths: [String]
  let settings: [KernelSetting]
  let hostname: String?
  let domainname: String?
  let persona: UInt?
  let cgroupView: CgroupView?
  let useInit: Bool
  let start: Program.Start
  /// What runs before the root is changed: in the parent, then in the child.
  let runtimeHooks: [(name: String, hooks: [RuntimeSpec.Hook])]
  let containerHooks: [RuntimeSpec.Hook]
  let listener: SeccompListener?
  /// `uid_map` and `gid_map` of a user namespace of its own.
  let userMap: String
  let groupMap: String
  /// Who the container's root is outside, with a user namespace.
  let outsideRoot: (uid: UInt32, gid: UInt32)?
  private let bag: DescriptorBag

  init(_ request: ContainerRequest) throws(Fault) {
    let bag = DescriptorBag()
    self.bag = bag
    let spec = request.spec
    let linux = spec.linux ?? RuntimeSpec.Linux()
    try Self.refuseUnknown(linux)
    guard let process = spec.process else {
      throw Fault(.invalidArgument, "the description has no process: say what to run")
    }
    let hooks = spec.hooks ?? RuntimeSpec.Hooks()
    try Hooks.validate(hooks)
    guard hooks == RuntimeSpec.Hooks() || request.identity != nil else {
      throw Fault(.invalidArgument, "the description has hooks, but the container has no name to give to them")
    }
    runtimeHooks = [("prestart", hooks.prestart), ("createRuntime", hooks.createRuntime)].compactMap { name, hooks in
      hooks.flatMap { $0.isEmpty ? nil : (name, $0) }
    }
    containerHooks = hooks.createContainer ?? []
    listener = try SeccompListener(flags: request.seccompFlags, spec: spec, identity: request.identity)
    var planned = try ProcessPlan(
      process, filter: request.seccompFilter, filterFlags: request.seccompFlags, io: request.io)
    planned.passed = request.passedDescriptors
    planned.keepsKeyring = request.keepsKeyring
    planned.startHooks = hooks.startContainer ?? []
    self.process = planned

    var kinds: NamespaceKinds = []
    var joined: [(Int32, NamespaceKinds)] = []
    var joinedPID: Int32?
    var joinedUser: Int32?
    var joinsMounts = false
    for namespace in linux.namespaces ?? [] {
      guard let kind = Self.kinds[namespace.type] else {
        throw Fault(.unsupported, "a namespace of the type \(namespace.type) is not supported")
      }
      guard let path = namespace.path, !path.isEmpty else {
        kinds.insert(kind)
        continue
      }
      let descriptor = try step("open the \(namespace.type) namespace \(path)", code: .notFound) { () throws(Errno) in
        bag.add(try openat2(nil, path, .readOnly))
      }
      switch kind {
      case .pid: joinedPID = descriptor
      case .user: joinedUser = descriptor
      case .mount:
        joinsMounts = true
        joined.append((descriptor, kind))
      default: joined.append((descriptor, kind))
      }
    }
    guard kinds.contains(.mount) || joinsMounts else {
      throw Fault(.invalidArgument, "the description has no mount namespace: a container always has one of its own")
    }
    if joinsMounts { try Self.refuseMounts(spec, linux) }
    self.joinsMounts = joinsMounts
    self.joinedUser = joinedUser
    clocks = try ClockPlan(linux.timeOffsets, isNew: kinds.contains(.time))
    interfaces = try PlannedInterface.plan(
      linux.netDevices ?? [:], hasNetwork: kinds.contains(.network) || joined.contains { $0.1 == .network })
    memoryPolicy = try MemoryPolicyPlan(linux.memoryPolicy)
    ownsCgroupNamespace = kinds.contains(.cgroup)
    ownsUserNamespace = kinds.contains(.user)
    newNamespaces = kinds.subtracting([.cgroup, .time])
    self.joined = joined
    self.joinedPID = joinedPID

    // A namespace that is joined has its maps; a description may repeat them.
    userMap = try Self.map(joinedUser == nil ? linux.uidMappings : nil, needed: ownsUserNamespace, "uidMappings")
    groupMap = try Self.map(joinedUser == nil ? linux.gidMappings : nil, needed: ownsUserNamespace, "gidMappings")
    var mapping: IDMapping?
    if ownsUserNamespace {
      mapping = try IDMapping(uids: linux.uidMappings ?? [], gids: linux.gidMappings ?? [], bag: bag)
    } else if let joinedUser {
      mapping = IDMapping(joined: joinedUser, root: try UserNamespace.root(of: joinedUser))
    }
    outsideRoot = mapping?.root

    if joinsMounts {
      root = nil
    } else {
      root = try RootMount.prepare(
        request.rootfs, mapping: request.mapsRootfs ? mapping : nil, forceLegacy: request.forceLegacyOverlay, bag: bag)
    }
    let seesRoot = !runtimeHooks.isEmpty || !containerHooks.isEmpty
    rootPlace = seesRoot ? request.rootPlace ?? "/" : "/"
    pivots = request.pivots
    rootIsReadOnly = spec.root?.readonly ?? false
    rootPropagation = try Self.propagation(linux.rootfsPropagation)
    let label = linux.mountLabel.flatMap { $0.isEmpty ? nil : $0 }
    guard label == nil || (try? FileStatus("/sys/fs/selinux/enforce")) != nil else {
      throw Fault(.unsupported, "this machine has no SELinux, so the mount label \(label ?? "") cannot be used")
    }
    let showsCgroup = spec.mounts?.contains { $0.type == "cgroup" || $0.type == "cgroup2" } ?? false
    let cgroupView = showsCgroup ? CgroupView(request.cgroup) : nil
    self.cgroupView = cgroupView
    mounts = try PlannedMount.plan(spec.mounts ?? [], mapping: mapping, cgroup: cgroupView, label: label, bag: bag)
    devices = try PlannedDevice.plan(linux.devices ?? [], bindFromHost: mapping != nil, bag: bag)
    maskedPaths = linux.maskedPaths ?? []
    readOnlyPaths = linux.readonlyPaths ?? []
    settings = try KernelSetting.plan(
      linux.sysctl ?? [:], namespaces: Set((linux.namespaces ?? []).map(\.type)))
    for (name, value) in [("host name", spec.hostname), ("domain name", spec.domainname)] {
      guard let value, !value.isEmpty else { continue }
      guard kinds.contains(.uts) || joined.contains(where: { $0.1 == .uts }) else {
        throw Fault(.invalidArgument, "the \(name) \(value) needs a UTS namespace: leave it out with the host's")
      }
      guard value.utf8.count <= 64 else {
        throw Fault(.invalidArgument, "the \(name) \"\(value)\" is longer than 64 bytes")
      }
    }
    hostname = spec.hostname
    domainname = spec.domainname
    switch linux.personality?.domain {
    case nil: persona = nil
    case "LINUX": persona = 0
    case "LINUX32": persona = 8
    case let other?: throw Fault(.invalidArgument, "\(other) is no personality: LINUX and LINUX32 are")
    }
    useInit = request.useInit
    switch (request.waitForStart, request.gate) {
    case (_, let gate?): start = .whenConnected(gate)
    case (true, nil): start = .whenTold
    case (false, nil): start = .atOnce
    }
  }

  /// Whether the child waits until the parent has done its part for the new namespaces.
  var awaitsParent: Bool { ownsUserNamespace || !interfaces.isEmpty }

  /// Whether the child waits for hooks of the parent.
  var awaitsHooks: Bool { !runtimeHooks.isEmpty || !containerHooks.isEmpty || !process.startHooks.isEmpty }

  static let kinds: [String: NamespaceKinds] = [
    "mount": .mount, "pid": .pid, "network": .network, "uts": .uts, "ipc": .ipc, "user": .user, "cgroup": .cgroup,
    "time": .time,
  ]

  /// Fields of the specification that are not honoured are refused by name, never ignored.
  private static func refuseUnknown(_ linux: RuntimeSpec.Linux) throws(Fault) {
    guard linux.intelRdt == nil else {
      throw Fault(
        .unsupported,
        "linux.intelRdt is not supported: divide the cache and memory bandwidth with resctrl on the machine itself")
    }
    guard linux.personality?.flags?.isEmpty ?? true else {
      throw Fault(.unsupported, "linux.personality.flags is not supported: the specification defines no flag")
    }
  }

  /// A mount namespace that others use already is taken as it is: changing it would change it for them.
  private static func refuseMounts(_ spec: RuntimeSpec, _ linux: RuntimeSpec.Linux) throws(Fault) {
    let given: [(String, Bool)] = [
      ("mounts", spec.mounts?.isEmpty == false), ("root.readonly", spec.root?.readonly == true),
      ("linux.maskedPaths", linux.maskedPaths?.isEmpty == false),
      ("linux.readonlyPaths", linux.readonlyPaths?.isEmpty == false),
      ("linux.devices", linux.devices?.isEmpty == false),
      ("linux.rootfsPropagation", linux.rootfsPropagation?.isEmpty == false),
      ("hooks.createContainer", spec.hooks?.createContainer?.isEmpty == false),
    ]
    for (name, isGiven) in given where isGiven {
      throw Fault(
        .invalidArgument,
        "\(name) is given with an existing mount namespace, which is used with the mounts that it has: leave it out")
    }
  }

  private static func map(_ ranges: [RuntimeSpec.IDMapping]?, needed: Bool, _ name: String) throws(Fault) -> String {
    guard needed else {
      guard ranges?.isEmpty ?? true else {
        throw Fault(.invalidArgument, "\(name) is given without a user namespace of its own")
      }
      return ""
    }
    guard let ranges, !ranges.isEmpty else {
      throw Fault(.invalidArgument, "a user namespace needs \(name)")
    }
    return IDMapping.text(ranges)
  }

  private static func propagation(_ name: String?) throws(Fault) -> MountPropagation? {
    switch name {
    case nil, "", "private", "rprivate": return nil
    case "slave", "rslave": return .slave
    case "shared", "rshared": return .shared
    case "unbindable", "runbindable": return .unbindable
    case let other?: throw Fault(.invalidArgument, "\(other) is no mount propagation")
    }
  }
}
