import Faults
import Protocol

extension Engine {
  /// The containers that a list shows, newest first. It reads what containers publish, and waits for none of them.
  func chosen(
    all: Bool, limit: Int, filters: Filters
  ) async throws -> [(container: Container, published: Container.Published)] {
    var ancestors: [String: String] = [:]
    for name in ContainerFilter.ancestors(in: filters) {
      if let id = try? await images.resolve(.init(reference: name)).image.id { ancestors[name] = id }
    }
    let filter = try ContainerFilter(filters, all: all || limit > 0, ancestors: ancestors) {
      try directory.resolve($0).definition.created
    }
    var chosen: [(container: Container, published: Container.Published)] = []
    for container in directory.all {
      let published = container.published
      if filter.matches(container.definition, published) { chosen.append((container, published)) }
    }
    chosen.sort { $0.container.definition.created > $1.container.definition.created }
    if limit > 0, chosen.count > limit { chosen.removeLast(chosen.count - limit) }
    return chosen
  }

  /// The same as summaries, with sizes when asked for.
  func list(
    all: Bool, limit: Int, filters: Filters, sizes: Bool
  ) async throws -> [GatewayAPI.ContainerSummary] {
    let now = Timestamp.now()
    var result: [GatewayAPI.ContainerSummary] = []
    let images = sizes ? await imageSizes() : [:]
    for (container, published) in try await chosen(all: all, limit: limit, filters: filters) {
      var summary = Engine.summary(container.definition, published, now: now)
      if sizes {
        let size = await self.sizes(container.definition, images)
        summary.sizeRw = size.written
        summary.sizeRootFs = size.total
      }
      result.append(summary)
    }
    return result
  }

  static func summary(
    _ definition: ContainerDefinition, _ published: Container.Published, now: Timestamp
  ) -> GatewayAPI.ContainerSummary {
    let mode = definition.hostConfig.networkMode == "host" ? "host" : "none"
    let ports = (definition.config.exposedPorts?.keys.sorted() ?? []).compactMap { port -> GatewayAPI.PortSummary? in
      let parts = port.split(separator: "/", maxSplits: 1)
      guard published.state.running != nil, let number = Int64(parts.first ?? "") else { return nil }
      return .init(privatePort: number, type: parts.count == 2 ? String(parts[1]) : "tcp")
    }
    return GatewayAPI.ContainerSummary(
      id: definition.id, names: ["/" + published.name], image: definition.image, imageID: definition.imageID,
      command: definition.command, created: definition.created.seconds, ports: ports,
      labels: definition.config.labels ?? [:], state: published.state.word,
      status: StatusText.status(published.state, health: definition.health(published), now: now),
      hostConfig: .init(networkMode: mode), networkSettings: .init(networks: [mode: .object([:])]),
      mounts: definition.mounts.filter { $0.kind != .tmpfs }.map(Engine.mountPoint))
  }

  private static func mountPoint(_ mount: PlannedMount) -> GatewayAPI.MountPoint {
    GatewayAPI.MountPoint(
      type: .init(rawValue: mount.kind.rawValue), name: mount.volume, source: mount.source,
      destination: mount.destination, driver: mount.volume == nil ? nil : "local", mode: mount.mode,
      rw: !mount.readOnly,
      propagation: mount.kind == .bind ? (mount.propagation.isEmpty ? "rprivate" : mount.propagation) : "")
  }

  /// Bytes that a container wrote, and those with its image's layers.
  func sizes(_ definition: ContainerDefinition, _ images: [String: Int64]) async -> (written: Int64, total: Int64) {
    let written = (try? await snapshots.usage(.init(key: definition.id)).bytes) ?? 0
    return (written, written + (images[definition.imageID] ?? 0))
  }

  /// Bytes of every image by its id: asked for once for any number of containers.
  func imageSizes() async -> [String: Int64] {
    let list = (try? await images.list(.init(all: true)).images) ?? []
    return Dictionary(list.map { ($0.id, $0.size) }) { first, _ in first }
  }

  /// Docker's inspect of a container.
  func inspect(_ container: Container, sizes wanted: Bool) async throws -> Inspect {
    let definition = container.definition
    var graph: [String: String] = [:]
    if let mount = (try? await snapshots.mounts(.init(key: definition.id)).mounts)?.first {
      graph = Engine.graph(mount)
    }
    var health = container.lastHealth
    if definition.checksHealth, container.state.running != nil {
      health = (try? await tasks.health(.init(id: definition.id)).health) ?? health
    }
    return Inspect(
      definition: definition, published: container.published, execs: execs.running(in: definition.id), graph: graph,
      health: health, sizes: wanted ? await sizes(definition, await imageSizes()) : nil,
      hostname: SpecBuilder.hostname(
        id: definition.id, config: definition.config, hostConfig: definition.hostConfig, machine: machine))
  }

  /// The folders of an overlay in Docker's words.
  static func graph(_ mount: MountSpec) -> [String: String] {
    var lower: [String] = []
    var graph: [String: String] = [:]
    for option in mount.options {
      let pair = option.split(separator: "=", maxSplits: 1)
      guard pair.count == 2 else { continue }
      switch pair[0] {
      case "lowerdir+": lower.append(String(pair[1]))
      case "lowerdir": lower += pair[1].split(separator: ":").map(String.init)
      case "upperdir": graph["UpperDir"] = String(pair[1])
      case "workdir": graph["WorkDir"] = String(pair[1])
      default: break
      }
    }
    if !lower.isEmpty { graph["LowerDir"] = lower.joined(separator: ":") }
    if graph.isEmpty, !mount.source.isEmpty, mount.type == "bind" { graph["UpperDir"] = mount.source }
    return graph
  }
}
