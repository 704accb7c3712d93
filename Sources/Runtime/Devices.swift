internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage

/// A device file to make.
struct PlannedDevice {
  let path: String
  let kind: FileStatus.Kind
  let number: DeviceNumber
  let mode: UInt32
  let uid: UInt32
  let gid: UInt32
  /// In a user namespace mknod is refused: the host's own file, bound.
  let hostFile: Int32?

  /// Those that every container has, with 0666 (OCI runtime specification, "Default Devices").
  private static let standard: [(path: String, minor: UInt32, major: UInt32)] = [
    ("/dev/null", 3, 1), ("/dev/zero", 5, 1), ("/dev/full", 7, 1), ("/dev/random", 8, 1), ("/dev/urandom", 9, 1),
    ("/dev/tty", 0, 5),
  ]

  /// Checks `devices` and adds the standard ones.
  static func plan(_ devices: [RuntimeSpec.Device], bindFromHost: Bool, bag: DescriptorBag) throws(Fault)
    -> [PlannedDevice]
  {
    var planned: [PlannedDevice] = []
    func hostFile(_ path: String) throws(Fault) -> Int32? {
      guard bindFromHost else { return nil }
      return try step("open the host's \(path) for the container", code: .notFound) { () throws(Errno) in
        let tree = try Mounts.clone(path)
        try Mounts.change(tree.rawValue, propagation: .private)
        return bag.add(tree)
      }
    }
    for (path, minor, major) in standard where !devices.contains(where: { $0.path == path }) {
      planned.append(
        PlannedDevice(
          path: path, kind: .characterDevice, number: DeviceNumber(major: major, minor: minor), mode: 0o666, uid: 0,
          gid: 0, hostFile: try hostFile(path)))
    }
    for device in devices {
      let kind: FileStatus.Kind
      switch device.type {
      case "c", "u": kind = .characterDevice
      case "b": kind = .blockDevice
      case "p": kind = .fifo
      default: throw Fault(.invalidArgument, "the device \(device.path) has the unknown type \"\(device.type)\"")
      }
      // The console and ptmx are ours to make, from the container's own terminals.
      if device.path == "/dev/console" || device.path == "/dev/ptmx" { continue }
      guard let major = UInt32(exactly: device.major ?? 0), let minor = UInt32(exactly: device.minor ?? 0) else {
        throw Fault(.invalidArgument, "the device \(device.path) has numbers out of range")
      }
      planned.append(
        PlannedDevice(
          path: device.path, kind: kind, number: DeviceNumber(major: major, minor: minor),
          mode: device.fileMode ?? 0o666, uid: device.uid ?? 0, gid: device.gid ?? 0,
          hostFile: kind == .fifo ? nil : try hostFile(device.path)))
    }
    return planned
  }

  /// In the child: makes the file in `tree`.
  func make(in tree: ContainerTree) throws(Fault) {
    if let hostFile {
      try tree.attach(hostFile, at: path, .file)
      return
    }
    let parent = try tree.makeParent(of: path)
    do throws(Errno) {
      try Files.makeNode(at: parent.folder.rawValue, parent.name, kind: kind, mode: mode, device: number)
    } catch {
      // What is there already must be the same device: an image cannot put another one in its place.
      if error == .fileExists, let found = try? FileStatus(at: parent.folder.rawValue, parent.name), found.kind == kind,
        found.special == number
      {
        return
      }
      throw Fault(.internal, "cannot make the device \(path)", cause: [error.description])
    }
    if uid != 0 || gid != 0 {
      try step("give the device \(path) to its owner") { () throws(Errno) in
        if Glibc.fchownat(parent.folder.rawValue, parent.name, uid, gid, Int32(CL_AT_SYMLINK_NOFOLLOW)) != 0 {
          throw Errno(rawValue: errno)
        }
      }
    }
  }

  /// In the child: the links that programs expect in /dev.
  static func makeLinks(in tree: ContainerTree) throws(Fault) {
    let dev = try step("open the container's /dev") { () throws(Errno) in
      try openat2(tree.root, "dev", [.path, .directory], resolve: [.inRoot, .noSymlinks])
    }
    for (name, target) in [
      ("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
      ("stderr", "/proc/self/fd/2"), ("core", "/proc/kcore"),
    ] {
      try step("make the link /dev/\(name)") { () throws(Errno) in
        if Glibc.symlinkat(target, dev.rawValue, name) != 0 && errno != EEXIST { throw Errno(rawValue: errno) }
      }
    }
  }
}
