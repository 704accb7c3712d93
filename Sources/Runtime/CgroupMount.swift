internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// The container's view of its cgroup.
enum CgroupMount {
  /// v2: the tree from the cgroup namespace's root. v1: a small tmpfs with each controller's folder of this container.
  static func make(
    _ mount: PlannedMount, _ view: CgroupView?, copies: [String: Int32], ownsNamespace: Bool, in tree: ContainerTree
  ) throws(Fault) {
    let attributes = mount.options.set
    func folder(_ path: String) throws(Errno) -> Int32 {
      if let copy = copies[path] { return copy }
      return try bind(path, attributes).take()
    }
    switch view {
    case nil:
      throw Fault(
        .invalidArgument, "a cgroup mount on \(mount.destination) needs a cgroup of the container's own")
    case .unified(let path):
      let made = try step("mount the cgroup tree on \(mount.destination)") { () throws(Errno) in
        if ownsNamespace { return try Mounts.make("cgroup2", source: "cgroup", attributes: attributes).take() }
        return try folder(path)
      }
      try tree.attach(made, at: mount.destination, .directory)
    case .legacy(let trees, let links):
      let top = try step("make the folder of cgroup trees") { () throws(Errno) in
        try Mounts.make(
          "tmpfs", source: "tmpfs", parameters: [("mode", "755")],
          attributes: [.noSetUserID, .noDevices, .noExecute])
      }
      var bound: [(place: Int32, copy: Int32, name: String)] = []
      for (name, path) in trees {
        let place = try step("make the folder of the cgroup tree \(name)") { () throws(Errno) in
          try Files.makeDirectory(at: top.rawValue, name, mode: 0o755)
          return try openat2(top.rawValue, name, [.path, .directory, .noFollow])
        }
        bound.append(
          (
            place.take(),
            try step("open the cgroup folder \(path)") { () throws(Errno) in
              try folder(path)
            }, name
          ))
      }
      for (name, target) in links { _ = Glibc.symlinkat(target, top.rawValue, name) }
      try tree.attach(top.rawValue, at: mount.destination, .directory)
      for (place, copy, name) in bound {
        try step("mount the cgroup tree \(name)") { () throws(Errno) in try Mounts.attach(copy, on: place) }
      }
      if attributes.contains(.readOnly) {
        try step("make \(mount.destination) read-only") { () throws(Errno) in
          try Mounts.change(top.rawValue, set: .readOnly)
        }
      }
    }
  }

  /// In the parent: copies of the folders that `view` shows by binding them.
  static func copies(of view: CgroupView?, _ attributes: MountAttributes, bag: DescriptorBag) throws(Fault) -> [String:
    Int32]
  {
    let paths: [String] =
      switch view {
      case nil: []
      case .unified(let path): [path]
      case .legacy(let trees, _): trees.map(\.path)
      }
    var copies: [String: Int32] = [:]
    for path in paths {
      copies[path] = try step("open the cgroup folder \(path)") { () throws(Errno) in
        bag.add(try bind(path, attributes))
      }
    }
    return copies
  }

  private static func bind(_ path: String, _ attributes: MountAttributes) throws(Errno) -> OwnedDescriptor {
    let copy = try Mounts.clone(path)
    try Mounts.change(copy.rawValue, set: attributes, propagation: .private)
    return copy
  }
}
