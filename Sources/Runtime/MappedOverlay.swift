internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// An overlay whose layers are seen through a user namespace's ids: each is a detached idmapped copy. The writable folder is
/// mapped too: the disk always has the container's ids, and whoever else reads it, or the container with another range
/// later, finds the same files.
struct MappedOverlay {
  /// From here on overlayfs takes layers by descriptor.
  static let byDescriptor = KernelFeatures.Version(6, 13)
  /// From here on it takes idmapped ones at all.
  private static let oldest = KernelFeatures.Version(5, 19)

  private let layers: [Int32]
  /// The folder of overlayfs's two own ones, which it wants on one mount, and their names; nil without a writable folder.
  private let writable: (mount: Int32, upper: String, work: String)?
  private let others: [(key: String, value: String?)]
  private let attributes: MountAttributes

  /// Copies and maps the folders that `parameters` name.
  init(
    _ layers: [String], _ parameters: [(key: String, value: String?)], _ options: MountOptions, mapping: IDMapping,
    bag: DescriptorBag
  ) throws(Fault) {
    guard KernelFeatures.version >= Self.oldest else {
      throw Fault(
        .unsupported,
        "a user namespace with shared layers needs Linux 5.19 or newer, this is \(KernelFeatures.release): "
          + "run the container with --userns=host")
    }
    func copy(_ path: String) throws(Fault) -> Int32 {
      let layer = try step("open \(path)") { () throws(Errno) in bag.add(try Mounts.clone(path)) }
      try mapping.apply(mapping.layers, to: layer, path, recursive: false)
      try step("make \(path) private") { () throws(Errno) in try Mounts.change(layer, propagation: .private) }
      return layer
    }
    var copies: [Int32] = []
    for layer in layers { copies.append(try copy(layer)) }
    self.layers = copies
    others = parameters.filter { $0.key != "upperdir" && $0.key != "workdir" }
    attributes = options.set
    func folder(_ key: String) -> FilePath? {
      parameters.last { $0.key == key }?.value.map { FilePath($0) }
    }
    guard let upper = folder("upperdir"), let work = folder("workdir") else {
      writable = nil
      return
    }
    let parent = upper.removingLastComponent()
    guard parent == work.removingLastComponent() else {
      throw Fault(.invalidArgument, "upperdir and workdir must lie in one folder for a container with ids of its own")
    }
    writable = (
      try copy(parent.string), upper.lastComponent?.string ?? "", work.lastComponent?.string ?? ""
    )
  }

  /// The parameters with every folder by its descriptor.
  func parameters(_ bag: DescriptorBag) throws(Fault) -> [RootMount.Parameter] {
    var all = [RootMount.Parameter.text("source", "overlay")]
    for layer in layers { all.append(.opened("lowerdir+", layer)) }
    if let writable {
      for (key, name) in [("upperdir", writable.upper), ("workdir", writable.work)] {
        let opened = try step("open the folder \(name) of the writable layer") { () throws(Errno) in
          bag.add(
            try openat2(
              writable.mount, name, [.path, .directory, .noFollow], resolve: [.beneath, .noSymlinks]))
        }
        all.append(.opened(key, opened))
      }
    }
    for (key, value) in others { all.append(.text(key, value)) }
    return all
  }

  /// The overlay, made where older kernels can name the copies: in the mount namespace of a child, which covers its /proc
  /// with a file system of its own and attaches them there.
  func byPath(_ bag: DescriptorBag) throws(Fault) -> Int32 {
    var data = "lowerdir=" + layers.indices.map(String.init).joined(separator: ":")
    if let writable { data += ",upperdir=w/\(writable.upper),workdir=w/\(writable.work)" }
    for (key, value) in others { data += "," + key + (value.map { "=" + $0 } ?? "") }
    guard data.utf8.count < 4096 else {
      throw Fault(
        .unsupported,
        "the image has \(layers.count) layers, more than Linux \(KernelFeatures.release) can mount: "
          + "use Linux 6.13 or newer, or an image with fewer layers")
    }
    return try step("mount the container's \(layers.count) layers as an overlay", code: .unsupported) {
      () throws(Errno) in
      try bag.add(
        MountChild.fetch(.mount) { () throws(Errno) in
          try Mounts.setPropagation(ofAll: .private)
          let place = try Mounts.make("tmpfs", source: "tmpfs", parameters: [("mode", "700")])
          try Mounts.attach(place.rawValue, at: nil, "/proc")
          if Glibc.fchdir(place.rawValue) != 0 { throw Errno(rawValue: errno) }
          for (index, layer) in layers.enumerated() {
            try Files.makeDirectory(String(index), mode: 0o700)
            try Mounts.attach(layer, at: nil, String(index))
          }
          if let writable {
            try Files.makeDirectory("w", mode: 0o700)
            try Mounts.attach(writable.mount, at: nil, "w")
          }
          try Files.makeDirectory("root", mode: 0o700)
          try Mounts.mount(source: "overlay", target: "root", type: "overlay", data: data)
          let made = try Mounts.clone("root")
          if !attributes.isEmpty { try Mounts.change(made.rawValue, set: attributes) }
          return made
        })
    }
  }
}
