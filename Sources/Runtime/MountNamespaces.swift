internal import Faults
internal import Linux
internal import OCI
internal import SystemPackage

/// The user namespaces whose ids binds are given: one for each different pair of mappings, and the container's own.
struct MountNamespaces {
  private let container: Int32?
  private let bag: DescriptorBag
  private var made: [(users: [RuntimeSpec.IDMapping], groups: [RuntimeSpec.IDMapping], descriptor: Int32)] = []

  init(container: Int32?, bag: DescriptorBag) {
    self.container = container
    self.bag = bag
  }

  /// The namespace for `mount`; nil when its ids stay as they are.
  mutating func namespace(
    for mount: RuntimeSpec.Mount, _ options: MountOptions, _ destination: String
  ) throws(Fault) -> Int32? {
    let users = mount.uidMappings ?? []
    let groups = mount.gidMappings ?? []
    guard users.isEmpty == groups.isEmpty else {
      throw Fault(.invalidArgument, "the mount on \(destination) has only one of uidMappings and gidMappings")
    }
    if users.isEmpty {
      guard options.isMapped else { return nil }
      guard let container else {
        throw Fault(
          .invalidArgument,
          "the bind mount on \(destination) asks for idmap, but has no mappings and the container no user namespace")
      }
      return container
    }
    if let known = made.first(where: { $0.users == users && $0.groups == groups }) { return known.descriptor }
    let descriptor = bag.add(
      try UserNamespace.make(userMap: IDMapping.text(users), groupMap: IDMapping.text(groups)))
    made.append((users, groups, descriptor))
    return descriptor
  }
}
