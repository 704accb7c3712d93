internal import CLinux
internal import Faults
internal import Linux
internal import SystemPackage

/// Paths that a container may not write, or not see at all.
enum Masks {
  /// Binds `path` over itself, read-only. A path that does not exist needs nothing.
  static func makeReadOnly(_ path: String, in tree: ContainerTree) throws(Fault) {
    try step("make \(path) read-only in the container") { () throws(Errno) in
      guard let target = try tree.find(path) else { return }
      let copy = try Mounts.clone(at: target.rawValue, "", recursive: true)
      try Mounts.change(copy.rawValue, set: .readOnly, recursive: true)
      try Mounts.attach(copy.rawValue, on: target.rawValue)
    }
  }

  /// Covers files with the container's /dev/null and folders with an empty read-only tmpfs, one for all.
  ///
  /// CVE-2025-31133: /dev/null is opened without links, checked to be the device 1:3, and bound by that descriptor: what
  /// is at its name afterwards does not matter.
  static func hide(_ paths: [String], in tree: ContainerTree) throws(Fault) {
    var null: Int32 = -1
    var empty: Int32 = -1
    defer {
      Descriptors.close(null)
      Descriptors.close(empty)
    }
    for path in paths {
      let found = try step("resolve \(path) in the container", { () throws(Errno) in try tree.find(path) })
      guard let target = found else { continue }
      if try step("inspect \(path)", { () throws(Errno) in try FileStatus(of: target.rawValue) }).kind == .directory {
        if empty >= 0 {
          try cover(target.rawValue, with: empty, path)
        } else {
          // The first one is attached itself: before Linux 6.15 only an attached mount can be copied.
          empty = try step("hide \(path) in the container") { () throws(Errno) in
            let made = try Mounts.make(
              "tmpfs", source: "tmpfs", parameters: [("nr_blocks", "1"), ("nr_inodes", "1")],
              attributes: [.readOnly, .noSetUserID, .noDevices, .noExecute])
            try Mounts.attach(made.rawValue, on: target.rawValue)
            return made.take()
          }
        }
      } else {
        if null < 0 { null = try openNull(in: tree).take() }
        try cover(target.rawValue, with: null, path)
      }
    }
  }

  private static func cover(_ target: Int32, with source: Int32, _ path: String) throws(Fault) {
    try step("hide \(path) in the container") { () throws(Errno) in
      let copy = try Mounts.clone(at: source, "")
      try Mounts.attach(copy.rawValue, on: target)
    }
  }

  /// The container's /dev/null, proved to be it.
  static func openNull(in tree: ContainerTree) throws(Fault) -> OwnedDescriptor {
    let null = try step("open the container's /dev/null", code: .invalidArgument) { () throws(Errno) in
      try openat2(tree.root, "dev/null", [.path, .noFollow], resolve: [.inRoot, .noSymlinks])
    }
    let status = try step("inspect the container's /dev/null") { () throws(Errno) in try FileStatus(of: null.rawValue) }
    guard status.kind == .characterDevice, status.special == DeviceNumber(major: 1, minor: 3) else {
      throw Fault(
        .invalidArgument, "the container's /dev/null is not the null device: paths would be hidden by something else")
    }
    return null
  }
}
