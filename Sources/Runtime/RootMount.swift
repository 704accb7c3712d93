internal import CLinux
internal import Faults
internal import Glibc
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

  /// Prepares `mounts`; `mapping` says whose ids the layers get.
  static func prepare(
    _ mounts: [RootfsMount], mapping: IDMapping?, forceLegacy: Bool = false, bag: DescriptorBag
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

  private static func bind(_ mount: RootfsMount, mapping: IDMapping?, bag: DescriptorBag) throws(Fault) -> Int32 {
    var options = MountOptions(mount.options)
    if options.propagation == nil {
      options.propagation = .private
      options.propagatesRecursively = true
    }
    let tree = try step("open the root file system \(mount.source)") { () throws(Errno) in
      bag.add(try Mounts.clone(mount.source, recursive: options.isRecursive))
    }
    try mapping?.apply(mapping?.layers ?? -1, to: tree, mount.source, recursive: options.isRecursive)
    try step("set the options of the root file system \(mount.source)") { () throws(Errno) in
      try options.apply(to: tree)
    }
    return tree
  }

  private static func overlay(
    _ mount: RootfsMount, mapping: IDMapping?, forceLegacy: Bool, bag: DescriptorBag
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
      let overlay = try MappedOverlay(layers, parameters, options, mapping: mapping, bag: bag)
      if KernelFeatures.version >= MappedOverlay.byDescriptor, !forceLegacy {
        return .detached(try make(overlay.parameters(bag), options.set, layers: layers.count, bag: bag))
      }
      return .detached(try overlay.byPath(bag))
    }
    guard KernelFeatures.overlayAppendsLayers, !forceLegacy else {
      return try legacy(layers, parameters, options)
    }
    var all = [Parameter.text("source", "overlay")]
    for layer in layers { all.append(.text("lowerdir+", layer)) }
    for (key, value) in parameters { all.append(.text(key, value)) }
    return .detached(try make(all, options.set, layers: layers.count, bag: bag))
  }

  /// Gives `parameters` to a new overlay and makes it; a refusal carries the kernel's own words.
  private static func make(
    _ parameters: [Parameter], _ attributes: MountAttributes, layers: Int, bag: DescriptorBag
  ) throws(Fault) -> Int32 {
    let context = try step("use overlayfs: is it in the kernel (modprobe overlay)?", code: .unsupported) {
      () throws(Errno) in try FileSystemContext("overlay")
    }
    do throws(Errno) {
      for parameter in parameters {
        switch parameter {
        case .text(let key, let value): try context.set(key, value)
        case .opened(let key, let descriptor): try context.set(key, opened: descriptor)
        }
      }
      return bag.add(try context.mount(attributes))
    } catch {
      throw Fault(
        faultCode(for: error, otherwise: .internal), "cannot mount the container's \(layers) layers as an overlay",
        cause: [error.description] + context.messages())
    }
  }

  /// One parameter of an overlay.
  enum Parameter {
    case text(String, String?)
    /// A folder by descriptor, which must stay open until the overlay is made.
    case opened(String, Int32)
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
