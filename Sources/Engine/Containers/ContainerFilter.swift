import Faults
import Protocol

/// Which containers a list shows, by Docker's rules: values of one filter are alternatives, filters must all hold.
struct ContainerFilter: Sendable {
  private static let known: Set<String> = [
    "ancestor", "before", "exited", "expose", "health", "id", "isolation", "is-task", "label", "label!", "name",
    "network",
    "publish", "since", "status", "volume",
  ]
  private static let states = ["created", "restarting", "running", "removing", "paused", "exited", "dead"]

  private let filters: Filters
  private var exitCodes: Set<Int>?
  private var before: Timestamp?
  private var since: Timestamp?
  private let all: Bool
  /// The ids of images that `ancestor` names, by the name that was given.
  private let ancestors: [String: String]

  /// - Parameters:
  ///   - all: ended containers too.
  ///   - ancestors: image ids for the values of `ancestor` that name an image.
  ///   - created: when a container that `before` or `since` names was made; throws when there is none.
  init(
    _ filters: Filters, all: Bool, ancestors: [String: String] = [:], created: (String) throws -> Timestamp
  ) throws {
    try filters.refuseUnknown(Self.known)
    self.filters = filters
    self.ancestors = ancestors
    var all = all
    for status in filters["status"] ?? [] {
      guard Self.states.contains(status) else {
        throw Fault(
          .invalidArgument,
          "invalid filter 'status=\(status)': the states are \(Self.states.joined(separator: ", "))")
      }
      all = true
    }
    if let codes = filters["exited"] {
      exitCodes = []
      for text in codes {
        guard let code = Int(text) else {
          throw Fault(.invalidArgument, "invalid filter 'exited=\(text)': it takes a number")
        }
        exitCodes?.insert(code)
      }
    }
    for health in filters["health"] ?? [] where !["starting", "healthy", "unhealthy", "none"].contains(health) {
      throw Fault(.invalidArgument, "invalid filter 'health=\(health)': it takes starting, healthy, unhealthy or none")
    }
    if let name = filters["before"]?.last {
      before = try created(name)
      all = true
    }
    if let name = filters["since"]?.last {
      since = try created(name)
      all = true
    }
    _ = try filters.boolean("is-task")
    self.all = all
  }

  /// The values of `ancestor`, to be resolved before this filter is made.
  static func ancestors(in filters: Filters) -> [String] { filters["ancestor"] ?? [] }

  func matches(_ definition: ContainerDefinition, _ published: Container.Published) -> Bool {
    let state = published.state
    if !all, !state.isUp { return false }
    if let wanted = filters["status"], !wanted.contains(state.word) { return false }
    if let exitCodes {
      guard case .exited(let exit) = state, exitCodes.contains(exit.code) else { return false }
    }
    if let before, definition.created >= before { return false }
    if let since, definition.created <= since { return false }
    if filters["id"] != nil, !filters.matchesPattern("id", [definition.id]) { return false }
    if filters["name"] != nil, !filters.matchesPattern("name", [published.name, "/" + published.name]) { return false }
    guard filters.matchesLabels(definition.config.labels ?? [:]) else { return false }
    if let wanted = filters["ancestor"] {
      guard
        wanted.contains(where: { value in
          value == definition.image || ancestors[value] == definition.imageID
        })
      else { return false }
    }
    if let wanted = filters["volume"] {
      guard
        wanted.contains(where: { value in
          definition.mounts.contains { $0.destination == value || $0.volume == value || $0.source == value }
        })
      else { return false }
    }
    if let wanted = filters["network"] {
      let mode = definition.hostConfig.networkMode ?? ""
      guard wanted.contains(mode.isEmpty || mode == "default" ? "none" : mode) else { return false }
    }
    if let wanted = filters["expose"] {
      let ports = definition.config.exposedPorts.map { Array($0.keys) } ?? []
      guard wanted.contains(where: { Self.names($0, ports) }) else { return false }
    }
    if filters["publish"] != nil { return false }  // nothing is published yet
    if let wanted = filters["health"] {
      guard wanted.contains(definition.health(published)?.rawValue ?? "none") else { return false }
    }
    if (try? filters.boolean("is-task")) == true { return false }
    return true
  }

  /// Whether `80`, `80/tcp` or `80-90/udp` names one of `ports`.
  private static func names(_ wanted: String, _ ports: [String]) -> Bool {
    let parts = wanted.split(separator: "/", maxSplits: 1)
    guard let range = parts.first?.split(separator: "-"), let first = UInt16(range.first ?? ""),
      let last = UInt16(range.last ?? "")
    else { return false }
    let kind = parts.count == 2 ? String(parts[1]) : "tcp"
    return ports.contains { port in
      let pair = port.split(separator: "/", maxSplits: 1)
      guard let number = UInt16(pair.first ?? "") else { return false }
      return number >= first && number <= last && (pair.count == 2 ? String(pair[1]) : "tcp") == kind
    }
  }
}
