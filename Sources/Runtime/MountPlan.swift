internal import CLinux
internal import Cgroups
internal import Faults
internal import Linux
internal import OCI
internal import SystemPackage

/// One mount of the specification, prepared as far as the parent can.
///
/// What comes from the host (binds) is opened by the parent, which is privileged in the host's namespaces; what depends on
/// the container's namespaces (procfs, sysfs, …) the child makes. Both are detached until the child attaches them.
struct PlannedMount {
  /// What the child does.
  enum Action {
    /// Attach this detached mount, whose attributes are set.
    case bind(Int32, ContainerTree.Target)
    /// Attach what is at this path of this detached mount.
    case part(Int32, path: String)
    /// The pid namespace's view.
    case proc
    /// The network namespace's view.
    case sysfs
    /// The cgroup's view. With a user namespace the folders were copied before, because the container's root cannot reach
    /// them: each copy by its path.
    case cgroup(copies: [String: Int32])
    /// A memory file system; a folder's mode is kept when no mode is asked.
    case tmpfs
    /// Another file system type.
    case other(type: String, source: String)
  }

  let action: Action
  /// Absolute, without `..`.
  let destination: String
  let options: MountOptions

  /// Checks and prepares `mounts`.
  static func plan(
    _ mounts: [RuntimeSpec.Mount], mapping: IDMapping?, cgroup: CgroupView?, bag: DescriptorBag
  ) throws(Fault) -> [PlannedMount] {
    var planned: [PlannedMount] = []
    planned.reserveCapacity(mounts.count)
    for mount in mounts {
      guard !mount.destination.utf8.contains(0), !(mount.source ?? "").utf8.contains(0) else {
        throw Fault(.invalidArgument, "a mount has a NUL byte in its path")
      }
      let components = ContainerTree.components(mount.destination)
      guard !components.isEmpty else {
        throw Fault(.invalidArgument, "a mount on \"\(mount.destination)\" would replace the container's root")
      }
      let destination = "/" + components.joined(separator: "/")
      var options = MountOptions(mount.options ?? [])
      let action: Action
      if options.isBind || mount.type == "bind" || mount.type == "rbind" {
        action = try bind(mount, destination, &options, mapping: mapping, bag: bag)
      } else {
        switch mount.type {
        case "proc": action = .proc
        case "sysfs": action = .sysfs
        case "cgroup", "cgroup2":
          action = .cgroup(
            copies: mapping == nil ? [:] : try CgroupMount.copies(of: cgroup, options.set, bag: bag))
        case "overlay": action = try overlay(mount, destination, options, mapping: mapping, bag: bag)
        case let type? where options.isMadeByHost:
          action = try made(type, mount, destination, options, mapping: mapping, bag: bag)
        case "tmpfs": action = .tmpfs
        case nil, "":
          throw Fault(.invalidArgument, "the mount on \(destination) has neither a type nor the option bind")
        case let type?: action = .other(type: type, source: mount.source ?? type)
        }
      }
      planned.append(PlannedMount(action: action, destination: destination, options: options))
    }
    return planned
  }

  private static func bind(
    _ mount: RuntimeSpec.Mount, _ destination: String, _ options: inout MountOptions, mapping: IDMapping?,
    bag: DescriptorBag
  ) throws(Fault) -> Action {
    guard let source = mount.source, source.hasPrefix("/") else {
      throw Fault(
        .invalidArgument,
        "the bind mount on \(destination) has the source \"\(mount.source ?? "")\": it must be an absolute path")
    }
    let foreign = options.parameters.first { $0.key == "namespace" }?.value
    options.parameters.removeAll { $0.key == "namespace" }
    if let (key, _) = options.parameters.first {
      throw Fault(.invalidArgument, "the bind mount on \(destination) has the unknown option \"\(key)\"")
    }
    guard !options.isMapped || mapping != nil else {
      throw Fault(
        .invalidArgument, "the bind mount on \(destination) asks for idmap, but the container has no user namespace")
    }
    // Without a wish, neither side sees the other's later mounts.
    if options.propagation == nil {
      options.propagation = .private
      options.propagatesRecursively = true
    }
    let recursive = options.isRecursive || mount.type == "rbind"
    let part = options.part
    func refusal(_ error: Errno) -> Fault {
      if let part { return MountPart.missing(part, of: source, error) }
      if error == .noSuchFileOrDirectory || error == .notDirectory {
        return Fault(.invalidArgument, "bind source path does not exist: \(source)")
      }
      return Fault(
        .invalidArgument, "cannot open \(source) to mount it on \(destination)", cause: [error.description])
    }
    let tree: Int32
    let isFolder: Bool
    do throws(Errno) {
      if let foreign {
        tree = bag.add(try ForeignMount.clone(source, namespace: foreign))
      } else if let part {
        tree = bag.add(try MountPart.open(part, of: source, recursive: recursive))
      } else {
        tree = bag.add(try Mounts.clone(source, recursive: recursive))
      }
      isFolder = try FileStatus(of: tree).kind == .directory
    } catch {
      throw refusal(error)
    }
    if options.isMapped, let mapping {
      try mapping.apply(mapping.namespace, to: tree, source, recursive: recursive)
    }
    do throws(Errno) {
      try options.apply(to: tree)
    } catch {
      throw refusal(error)
    }
    return .bind(tree, isFolder ? .directory : .file)
  }
}

/// The folders of the container's cgroup that a `cgroup` mount shows.
enum CgroupView {
  /// The one tree of v2.
  case unified(path: String)
  /// A folder for each v1 tree, by the names of the host's mounts, and links for trees with several controllers.
  case legacy(trees: [(name: String, path: String)], links: [(name: String, target: String)])

  init?(_ cgroup: Cgroup?) {
    guard let cgroup else { return nil }
    if cgroup.version == .v2 {
      guard let path = cgroup.folder(of: .freezer) ?? cgroup.folder(of: .memory) else { return nil }
      self = .unified(path: path.string)
      return
    }
    var trees: [(name: String, path: String)] = []
    var links: [(name: String, target: String)] = []
    for controller in Controller.allCases {
      guard let mount = cgroup.hierarchy.legacy[controller], let folder = cgroup.folder(of: controller),
        let name = FilePath(mount.path).lastComponent?.string
      else { continue }
      if !trees.contains(where: { $0.name == name }) { trees.append((name, folder.string)) }
      if name != controller.rawValue, !controller.rawValue.contains("=") { links.append((controller.rawValue, name)) }
    }
    self = .legacy(trees: trees, links: links)
  }
}
