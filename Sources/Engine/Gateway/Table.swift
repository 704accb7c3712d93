import Faults
public import FoundationEssentials
public import JSONRPC
public import Protocol

extension Engine {
  /// The methods of gantry.sock for a server: the generated ones, with a shorter way for `container.list`, whose answer
  /// is mostly the same each time: what never changes of a container is kept as JSON text.
  public func table() -> RPCTable {
    let generated = GatewayDispatch.table(self)
    return RPCTable(name: generated.name, document: generated.document, methods: generated.methods) {
      [self] (method, params, context) async throws(Fault) -> Data in
      guard method == GatewayAPI.Method.containerList.name else {
        return try await generated.call(method, params, context)
      }
      let decoded: GatewayAPI.ContainerListParams = try RPCCoding.decode(params)
      if decoded.size ?? false { return try await generated.call(method, params, context) }
      return try await faulted { try await listText(decoded) }
    }
  }

  /// The result of `container.list` without sizes, as JSON.
  func listText(_ params: GatewayAPI.ContainerListParams) async throws -> Data {
    let chosen = try await chosen(
      all: params.all ?? false, limit: Int(params.limit ?? 0), filters: Filters(params.filters ?? [:]))
    let now = Timestamp.now()
    var text: [UInt8] = []
    text.reserveCapacity(1024 + chosen.count * 768)
    text += #"{"containers":["#.utf8
    for (index, (container, published)) in chosen.enumerated() {
      if index > 0 { text.append(44) }
      text.append(123)
      text += try Engine.fixedMembers(container.definition)
      // Names, states and statuses hold nothing that JSON escapes.
      text += #","Names":["/"#.utf8
      text += published.name.utf8
      text += #""],"State":""#.utf8
      text += published.state.word.utf8
      text += #"","Status":""#.utf8
      text += StatusText.status(
        published.state, health: container.definition.health(published), now: now
      ).utf8
      text += #"","Ports":"#.utf8
      if published.state.running != nil, container.definition.config.exposedPorts?.isEmpty == false {
        text += try RPCCoding.encode(Engine.summary(container.definition, published, now: now).ports)
      } else {
        text += "[]".utf8
      }
      text.append(125)
    }
    text += "]}".utf8
    return Data(text)
  }

  private struct FixedSummary: Encodable {
    let summary: GatewayAPI.ContainerSummary

    enum Key: String, CodingKey {
      case id = "Id"
      case image = "Image"
      case imageID = "ImageID"
      case command = "Command"
      case created = "Created"
      case labels = "Labels"
      case hostConfig = "HostConfig"
      case networkSettings = "NetworkSettings"
      case mounts = "Mounts"
    }

    func encode(to encoder: any Encoder) throws {
      var members = encoder.container(keyedBy: Key.self)
      try members.encode(summary.id, forKey: .id)
      try members.encode(summary.image, forKey: .image)
      try members.encode(summary.imageID, forKey: .imageID)
      try members.encode(summary.command, forKey: .command)
      try members.encode(summary.created, forKey: .created)
      try members.encode(summary.labels, forKey: .labels)
      try members.encode(summary.hostConfig, forKey: .hostConfig)
      try members.encode(summary.networkSettings, forKey: .networkSettings)
      try members.encode(summary.mounts, forKey: .mounts)
    }
  }

  /// The members of a summary that never change, without braces.
  private static func fixedMembers(_ definition: ContainerDefinition) throws -> [UInt8] {
    if let known = definition.summaryText.withLock({ $0 }) { return known }
    let summary = Engine.summary(
      definition, .init(name: "", state: .created), now: Timestamp(nanoseconds: 0))
    let text = Array(try RPCCoding.encode(FixedSummary(summary: summary)).dropFirst().dropLast())
    definition.summaryText.withLock { $0 = text }
    return text
  }
}
