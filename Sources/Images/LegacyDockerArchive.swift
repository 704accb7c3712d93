internal import ContentStore
internal import Faults
internal import FoundationEssentials
internal import OCI

/// The archive of `docker save` before Docker 1.10:
///
///     repositories     {"NAME": {"TAG": LAYER}}
///     LAYER/json       {"id", "parent", "created", "config", "architecture", …}
///     LAYER/layer.tar  the layer
///
/// Such an image is its topmost layer with the chain of parents; a configuration in today's form is made from it.
struct LegacyDockerArchive {
  let members: ImportMembers
  let content: ContentStore
  let limits: ImportLimits

  private struct Layer: Decodable {
    var parent: String?
    var created: String?
    var author: String?
    var comment: String?
    var architecture: String?
    var os: String?
    var config: ImageConfig.Execution?
    var containerConfig: ImageConfig.Execution?

    private enum CodingKeys: String, CodingKey {
      case parent, created, author, comment, architecture, os, config
      case containerConfig = "container_config"
    }
  }

  /// The images of `repositories`.
  func plans() throws(Fault) -> [ImportPlan] {
    let table = try ImageDocument.decode(
      [String: [String: String]].self, from: try members.document("repositories", "the list of names"),
      named: "the archive's file repositories")
    var tops: [String: [Reference]] = [:]
    for (name, tags) in table {
      for (tag, top) in tags {
        tops[top, default: []].append(try ArchiveNames.reference("\(name):\(tag)"))
      }
    }
    guard tops.count <= limits.images else {
      throw Fault(.limitExceeded, "the archive has \(tops.count) images; at most \(limits.images) are imported at once")
    }
    var plans: [ImportPlan] = []
    for (top, names) in tops.sorted(by: { $0.key < $1.key }) {
      plans.append(try plan(top: top, names: names.sorted { $0.canonical < $1.canonical }))
    }
    return plans
  }

  private func plan(top: String, names: [Reference]) throws(Fault) -> ImportPlan {
    var chain: [(id: String, layer: Layer)] = []
    var next: String? = top
    while let id = next, !id.isEmpty {
      guard chain.count < limits.layers, !chain.contains(where: { $0.id == id }) else {
        throw Fault(.corrupt, "the parents of the layer \(ImportMembers.shown(top)) in the archive go in circles")
      }
      let layer = try ImageDocument.decode(
        Layer.self, from: try members.document("\(id)/json", "the description of a layer"),
        named: "the description of the layer \(ImportMembers.shown(id))")
      chain.append((id, layer))
      next = layer.parent
    }
    chain.reverse()
    guard let last = chain.last?.layer else { throw Fault(.corrupt, "the archive names an image without a layer") }
    var diffIDs: [Digest] = []
    for (id, _) in chain {
      diffIDs.append(try diffID("\(id)/layer.tar"))
    }
    let config = ImageConfig(
      architecture: last.architecture ?? Platform.host.architecture, os: last.os ?? "linux", created: last.created,
      author: last.author, config: last.config ?? ImageConfig.Execution(), rootfs: .init(diffIDs: diffIDs),
      history: chain.map { _, layer in
        ImageConfig.History(
          created: layer.created, createdBy: layer.containerConfig?.cmd?.joined(separator: " "), author: layer.author,
          comment: layer.comment)
      })
    return try DockerArchive(members: members, content: content, limits: limits).plan(
      config: try ImageDocument.encode(config), layers: chain.map { "\($0.id)/layer.tar" }, names: names)
  }

  /// The digest of a layer's plain tar; these archives have no other form.
  private func diffID(_ name: String) throws(Fault) -> Digest {
    guard let digest = try members.member(name).digest else {
      throw Fault(.corrupt, "the layer \(ImportMembers.shown(name)) of the archive is a link to nothing")
    }
    return digest
  }
}
