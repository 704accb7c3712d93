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
  let root: RootMount.Prepared
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
  let waitForStart: Bool
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
    try Self.refuseUnknown(spec, linux)
    guard let process = spec.process else {
      throw Fault(.invalidArgument, "the description has no process: say what to run")
    }
    self.process = try ProcessPlan(
      process, filter: request.seccompFilter, filterFlags: request.seccompFlags, io: request.io)

    var kinds: NamespaceKinds = []
    var joined: [(Int32, NamespaceKinds)] = []
    var joinedPID: Int32?
    for namespace in linux.namespaces ?? [] {
      guard let kind = Self.kinds[namespace.type] else {
        throw Fault(.unsupported, "a namespace of the type \(namespace.type) is not supported")
      }
      guard let path = namespace.path, !path.isEmpty else {
        kinds.insert(kind)
        continue
      }
      guard kind != .user, kind != .mount else {
        throw Fault(.unsupported, "joining an existing \(namespace.type) namespace (\(path)) is not supported")
      }
      let descriptor = try step("open the \(namespace.type) namespace \(path)", code: .notFound) { () throws(Errno) in
        bag.add(try openat2(nil, path, .readOnly))
      }
      if kind == .pid { joinedPID = descriptor } else { joined.append((descriptor, kind)) }
    }
    guard kinds.contains(.mount) else {
      throw Fault(.invalidArgument, "the description has no mount namespace: a container always has one of its own")
    }
    ownsCgroupNamespace = kinds.contains(.cgroup)
    ownsUserNamespace = kinds.contains(.user)
    newNamespaces = kinds.subtracting(.cgroup)
    self.joined = joined
    self.joinedPID = joinedPID

    userMap = try Self.map(linux.uidMappings, needed: ownsUserNamespace, "uidMappings")
    groupMap = try Self.map(linux.gidMappings, needed: ownsUserNamespace, "gidMappings")
    var mapping: IDMapping?
    if ownsUserNamespace {
      mapping = try IDMapping(uids: linux.uidMappings ?? [], gids: linux.gidMappings ?? [], bag: bag)
    }
    outsideRoot = mapping?.root

    root = try RootMount.prepare(
      request.rootfs, mapping: mapping, forceLegacy: request.forceLegacyOverlay, bag: bag)
    rootIsReadOnly = spec.root?.readonly ?? false
    rootPropagation = try Self.propagation(linux.rootfsPropagation)
    let cgroupView = CgroupView(request.cgroup)
    self.cgroupView = cgroupView
    mounts = try PlannedMount.plan(spec.mounts ?? [], mapping: mapping, cgroup: cgroupView, bag: bag)
    devices = try PlannedDevice.plan(linux.devices ?? [], bindFromHost: ownsUserNamespace, bag: bag)
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
    waitForStart = request.waitForStart
  }

  static let kinds: [String: NamespaceKinds] = [
    "mount": .mount, "pid": .pid, "network": .network, "uts": .uts, "ipc": .ipc, "user": .user, "cgroup": .cgroup,
  ]

  /// Fields of the specification that this version does not honour are refused by name, never ignored.
  private static func refuseUnknown(_ spec: RuntimeSpec, _ linux: RuntimeSpec.Linux) throws(Fault) {
    let hooks = spec.hooks ?? RuntimeSpec.Hooks()
    let unsupported: [(String, Bool)] = [
      ("hooks", hooks != RuntimeSpec.Hooks()), ("linux.netDevices", linux.netDevices?.isEmpty == false),
      ("linux.intelRdt", linux.intelRdt != nil), ("linux.memoryPolicy", linux.memoryPolicy != nil),
      ("linux.mountLabel", linux.mountLabel?.isEmpty == false), ("linux.timeOffsets", linux.timeOffsets != nil),
      ("linux.personality.flags", linux.personality?.flags?.isEmpty == false),
    ]
    for (name, isGiven) in unsupported where isGiven {
      throw Fault(.unsupported, "this version does not support \(name) in a container's description")
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

/// User namespaces that exist only to give their ids to mounts.
enum UserNamespace {
  /// A user namespace with these maps, held by its descriptor alone.
  static func make(userMap: String, groupMap: String) throws(Fault) -> OwnedDescriptor {
    try step("make a user namespace for the container's files", code: .invalidArgument) { () throws(Errno) in
      let ends = try UnixSocket.pair()
      var pidfd: Int32 = -1
      let pid = try check(cl_clone3(UInt64(CL_CLONE_NEWUSER), SIGCHLD, -1, &pidfd))
      if pid == 0 {
        // Lives until the parent has opened the namespace: reads the end of input then.
        Descriptors.close(ends.first.rawValue)
        var byte: UInt8 = 0
        _ = Glibc.read(ends.second.rawValue, &byte, 1)
        cl_exit(0)
      }
      let process = PidFD(OwnedDescriptor(pidfd))
      defer {
        try? process.signal(SIGKILL)
        _ = try? process.wait()
      }
      try writeMaps(pid: pid, userMap: userMap, groupMap: groupMap)
      return try openat2(nil, "/proc/\(pid)/ns/user", .readOnly)
    }
  }

  /// Writes the maps of the user namespace that `pid` is in, as the kernel wants them: each in one write.
  static func writeMaps(pid: Int32, userMap: String, groupMap: String) throws(Errno) {
    try Files.write("/proc/\(pid)/uid_map", userMap)
    try Files.write("/proc/\(pid)/gid_map", groupMap)
  }
}
