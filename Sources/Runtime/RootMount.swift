internal import CLinux
internal import Faults
internal import Linux
internal import SystemPackage

/// The root file system, prepared by the parent as a detached mount: it is never in the host's mount tree, so nothing can
/// leak there, and when the processes that hold it end it is gone.
enum RootMount {
  /// How the child gets the root.
  enum Prepared {
    /// A detached mount to attach.
    case detached(Int32)
    /// Kernels before 6.8 take more than a few layers only by mount(2), which the child calls in its own namespace.
    case legacy(folder: String, data: String, attributes: MountAttributes)
  }

  /// Prepares `mounts`; `mapping` is a user namespace whose ids the layers get.
  static func prepare(
    _ mounts: [RootfsMount], mapping: Int32?, forceLegacy: Bool = false, bag: DescriptorBag
  ) throws(Fault) -> Prepared {
    guard let mount = mounts.first, mounts.count == 1 else {
      throw Fault(.invalidArgument, "the root file system must be exactly one mount, not \(mounts.count)")
    }
    switch mount.type {
    case "overlay": return try overlay(mount, mapping: mapping, forceLegacy: forceLegacy, bag: bag)
    case "bind", "none", "rbind": return .detached(try bind(mount, mapping: mapping, bag: bag))
    default:
      throw Fault(
        .invalidArgument, "the root file system has the type \"\(mount.type)\": only overlay and bind are known")
    }
  }

  private static func bind(_ mount: RootfsMount, mapping: Int32?, bag: DescriptorBag) throws(Fault) -> Int32 {
    var options = MountOptions(mount.options)
    options.propagation = options.propagation ?? .private
    return try step("open the root file system \(mount.source)") { () throws(Errno) in
      let tree = try Mounts.clone(mount.source, recursive: options.isRecursive)
      if let mapping { try Mounts.change(tree.rawValue, userNamespace: mapping) }
      try options.apply(to: tree.rawValue)
      return bag.add(tree)
    }
  }

  private static func overlay(
    _ mount: RootfsMount, mapping: Int32?, forceLegacy: Bool, bag: DescriptorBag
  ) throws(Fault) -> Prepared {
    let options = MountOptions(mount.options)
    var parameters: [(key: String, value: String?)] = []
    var layers: [String] = []
    for (key, value) in options.parameters {
      switch key {
      case "lowerdir+": layers.append(value ?? "")
      case "lowerdir": layers += split(value ?? "")
      default: parameters.append((key, value))
      }
    }
    guard !layers.isEmpty else { throw Fault(.invalidArgument, "the overlay of the root file system has no lowerdir") }
    if let mapping {
      return .detached(try mapped(layers, parameters, options, mapping: mapping, bag: bag))
    }
    guard KernelFeatures.overlayAppendsLayers, !forceLegacy else {
      return try legacy(layers, parameters, options)
    }
    let all = layers.map { (key: "lowerdir+", value: Optional($0)) } + parameters
    return .detached(
      try step("mount the container's layers (\(layers.count)) as an overlay") { () throws(Errno) in
        bag.add(try Mounts.make("overlay", source: "overlay", parameters: all, attributes: options.set))
      })
  }

  /// Layers seen through a user namespace's ids: each a detached idmapped copy, given to overlayfs by descriptor
  /// (Linux 6.13).
  private static func mapped(
    _ layers: [String], _ parameters: [(key: String, value: String?)], _ options: MountOptions, mapping: Int32,
    bag: DescriptorBag
  ) throws(Fault) -> Int32 {
    guard KernelFeatures.version >= KernelFeatures.Version(6, 13) else {
      throw Fault(
        .unsupported,
        "a user namespace with shared layers needs Linux 6.13 or newer, this is \(KernelFeatures.release): "
          + "run the container without --userns")
    }
    return try step("mount the container's layers for its user namespace") { () throws(Errno) in
      let context = OwnedDescriptor(try check(cl_fsopen("overlay", UInt32(CL_FSOPEN_CLOEXEC))))
      func give(_ key: String, _ path: String) throws(Errno) {
        let layer = try Mounts.clone(path)
        try Mounts.change(layer.rawValue, propagation: .private, userNamespace: mapping)
        try check(cl_fsconfig(context.rawValue, UInt32(CL_FSCONFIG_SET_FD), key, nil, layer.rawValue))
      }
      // upperdir and workdir must be on one mount: one idmapped copy of the folder above both.
      var upper: String?
      var work: String?
      for layer in layers { try give("lowerdir+", layer) }
      for (key, value) in parameters {
        switch (key, value) {
        case ("upperdir", let value?): upper = value
        case ("workdir", let value?): work = value
        case (_, let value?):
          try check(cl_fsconfig(context.rawValue, UInt32(CL_FSCONFIG_SET_STRING), key, value, 0))
        case (_, nil): try check(cl_fsconfig(context.rawValue, UInt32(CL_FSCONFIG_SET_FLAG), key, nil, 0))
        }
      }
      if let upper, let work {
        let (above, upperName, workName) = commonParent(upper, work)
        let copy = try Mounts.clone(above)
        try Mounts.change(copy.rawValue, propagation: .private, userNamespace: mapping)
        for (key, name) in [("upperdir", upperName), ("workdir", workName)] {
          let folder = try openat2(copy.rawValue, name, [.path, .directory], resolve: .beneath)
          try check(cl_fsconfig(context.rawValue, UInt32(CL_FSCONFIG_SET_FD), key, nil, folder.rawValue))
        }
      }
      try check(cl_fsconfig(context.rawValue, UInt32(CL_FSCONFIG_CMD_CREATE), nil, nil, 0))
      return bag.add(
        OwnedDescriptor(
          try check(cl_fsmount(context.rawValue, UInt32(CL_FSMOUNT_CLOEXEC), UInt32(options.set.rawValue)))))
    }
  }

  private static func commonParent(_ a: String, _ b: String) -> (String, String, String) {
    let first = ContainerTree.components(a)
    let second = ContainerTree.components(b)
    let shared = zip(first, second).prefix { $0 == $1 }.count
    return (
      "/" + first.prefix(shared).joined(separator: "/"), first.dropFirst(shared).joined(separator: "/"),
      second.dropFirst(shared).joined(separator: "/")
    )
  }

  /// All layers in one string of mount(2), which must fit a page: relative to the folder that all are in.
  private static func legacy(
    _ layers: [String], _ parameters: [(key: String, value: String?)], _ options: MountOptions
  ) throws(Fault) -> Prepared {
    let split = layers.map(ContainerTree.components)
    var shared = split[0].dropLast().count
    for layer in split {
      shared = min(shared, zip(layer, split[0]).prefix { $0 == $1 }.count)
    }
    let relative = split.map { escape($0.dropFirst(shared).joined(separator: "/")) }
    var data = "lowerdir=" + relative.joined(separator: ":")
    for (key, value) in parameters {
      data += "," + key + (value.map { "=" + escape($0) } ?? "")
    }
    guard data.utf8.count < 4096 else {
      throw Fault(
        .unsupported,
        "the image has \(layers.count) layers, more than Linux \(KernelFeatures.release) can mount: "
          + "use Linux 6.8 or newer, or an image with fewer layers")
    }
    return .legacy(
      folder: "/" + split[0].prefix(shared).joined(separator: "/"), data: data, attributes: options.set)
  }

  /// What mount(2)'s own splitting and overlayfs's would take for separators, protected.
  private static func escape(_ path: String) -> String {
    var result = ""
    for character in path {
      if character == "\\" || character == ":" || character == "," { result.append("\\") }
      result.append(character)
    }
    return result
  }

  /// Splits at `:` that no backslash protects.
  private static func split(_ value: String) -> [String] {
    var parts = [""]
    var escaped = false
    for character in value {
      if escaped || (character != ":" && character != "\\") {
        parts[parts.count - 1].append(character)
        escaped = false
      } else if character == "\\" {
        escaped = true
      } else {
        parts.append("")
      }
    }
    return parts
  }
}

/// Descriptors that live as long as a plan does.
final class DescriptorBag {
  private var descriptors: [Int32] = []

  /// Keeps `descriptor` and lends its number.
  func add(_ descriptor: consuming OwnedDescriptor) -> Int32 {
    let number = descriptor.take()
    descriptors.append(number)
    return number
  }

  deinit {
    for descriptor in descriptors { Descriptors.close(descriptor) }
  }
}
