internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage

/// A path within a volume or image that is mounted in place of the whole (`gantry.subpath=`).
///
/// What a volume holds was written by containers: the path is resolved by the kernel beneath the volume's root, by
/// descriptor, and what is found is cloned by descriptor. A link that leads out, or one that is put there meanwhile, is
/// refused; a link within the volume is followed (CVE-2021-30465 and its kin).
enum MountPart {
  /// A mount, and what must be at its target.
  struct Cut: ~Copyable {
    let mount: OwnedDescriptor
    let kind: ContainerTree.Target
  }

  /// A detached copy of what is at `path` of the host's folder `source`.
  static func open(_ path: String, of source: String, recursive: Bool) throws(Errno) -> OwnedDescriptor {
    let whole = try openat2(nil, source, [.path, .directory])
    let found = try find(path, in: whole.rawValue)
    return try Mounts.clone(at: found.rawValue, "", recursive: recursive)
  }

  /// The same of the detached file system `whole`; for the child. Only what is attached can be cloned in part (before Linux
  /// 6.15), so the whole is attached over the container's root for a moment, in a mount namespace where nobody else is.
  static func cut(_ path: String, of whole: Int32, in tree: ContainerTree) throws(Fault) -> Cut {
    do throws(Errno) {
      try Mounts.attach(whole, on: tree.root)
      let found = try find(path, in: whole)
      let kind: ContainerTree.Target = try FileStatus(of: found.rawValue).kind == .directory ? .directory : .file
      let part = try Mounts.clone(at: found.rawValue, "")
      if fchdir(whole) != 0 { throw Errno(rawValue: errno) }
      try Mounts.detach(".")
      if chdir("/") != 0 { throw Errno(rawValue: errno) }
      return Cut(mount: part, kind: kind)
    } catch {
      throw missing(path, of: "the mount", error)
    }
  }

  private static func find(_ path: String, in whole: Int32) throws(Errno) -> OwnedDescriptor {
    try openat2(whole, path, .path, resolve: [.beneath, .noMagicLinks])
  }

  /// Why there is no such part.
  static func missing(_ path: String, of whole: String, _ error: Errno) -> Fault {
    switch error {
    case .noSuchFileOrDirectory, .notDirectory:
      Fault(.invalidArgument, "the subpath \"\(path)\" does not exist in \(whole)")
    case .improperLink, .tooManySymbolicLinkLevels:
      Fault(.invalidArgument, "the subpath \"\(path)\" leads out of \(whole): a link in it points elsewhere")
    default:
      Fault(.internal, "the subpath \"\(path)\" of \(whole) cannot be mounted", cause: [error.description])
    }
  }
}

extension PlannedMount {
  /// An image's layers, mounted at a path: an overlay that the parent makes, because the layers are the host's root's alone.
  static func overlay(
    _ mount: RuntimeSpec.Mount, _ destination: String, _ options: MountOptions, mapping: IDMapping?, bag: DescriptorBag
  ) throws(Fault) -> Action {
    let kept = (mount.options ?? []).filter { $0 != "gantry.host" && !$0.hasPrefix("gantry.subpath=") }
    let made: Int32
    if mapping != nil || KernelFeatures.overlayAppendsLayers {
      let prepared = try RootMount.prepare(
        [RootfsMount(type: "overlay", source: "overlay", options: kept)], mapping: mapping, bag: bag)
      guard case .detached(let mount) = prepared else {
        throw Fault(.internal, "the overlay on \(destination) was not made detached")
      }
      made = mount
    } else {
      made = try step("mount the layers of an image on \(destination)", code: .unsupported) { () throws(Errno) in
        bag.add(
          try Mounts.overlay(
            options.parameters.filter { $0.key == "lowerdir+" }.compactMap(\.value),
            parameters: options.parameters.filter { $0.key != "lowerdir+" }, attributes: options.set))
      }
    }
    return action(made, options)
  }

  /// A file system that is made in the host's namespaces, such as a volume on a network file system: that belongs to the
  /// host's network, whatever network the container has.
  static func made(
    _ type: String, _ mount: RuntimeSpec.Mount, _ destination: String, _ options: MountOptions, mapping: IDMapping?,
    bag: DescriptorBag
  ) throws(Fault) -> Action {
    let source = mount.source ?? type
    let context: FileSystemContext
    do throws(Errno) { context = try FileSystemContext(type) } catch {
      throw Fault(
        .unsupported,
        "the file system \(type) of \(source) cannot be mounted on \(destination): this kernel has none "
          + "of that type", cause: [error.description])
    }
    let made: Int32
    do throws(Errno) {
      try context.set("source", source)
      for (key, value) in options.parameters { try context.set(key, value) }
      made = bag.add(try context.mount(options.set))
      try options.apply(to: made, alreadySet: options.set)
    } catch {
      let words = options.parameters.map { $0.key + ($0.value.map { "=" + $0 } ?? "") }.joined(separator: ",")
      throw Fault(
        .invalidArgument,
        "cannot mount \(source) as \(type) on \(destination)" + (words.isEmpty ? "" : " with \(words)"),
        cause: [error.description] + context.messages())
    }
    if options.isMapped, let mapping { try mapping.apply(mapping.namespace, to: made, source, recursive: false) }
    return action(made, options)
  }

  private static func action(_ mount: Int32, _ options: MountOptions) -> Action {
    if let part = options.part { return .part(mount, path: part) }
    return .bind(mount, .directory)
  }
}
