/// Something that happened to a container or an image, as Docker tells it.
struct Event: Sendable, Equatable {
  /// `container` or `image`.
  var type: String
  /// `create`, `start`, `die`, `exec_start: sh -c ls`, `untag` …
  var action: String
  /// Container id, or image id or name.
  var actor: String
  /// Name, image, exit code, and the labels.
  var attributes: [String: String]
  /// When it happened.
  var time: Timestamp

  init(_ type: String, _ action: String, actor: String, attributes: [String: String], time: Timestamp = .now()) {
    self.type = type
    self.action = action
    self.actor = actor
    self.attributes = attributes
    self.time = time
  }
}

extension Event {
  /// What a reader that was too slow gets in the place of `count` events.
  static func lost(_ count: Int, host: String, time: Timestamp) -> Event {
    Event("daemon", "lost", actor: host, attributes: ["name": host, "count": String(count)], time: time)
  }
}

/// Which events are asked for.
struct EventFilter: Sendable {
  private static let known: Set<String> = [
    "config", "container", "daemon", "event", "image", "label", "network", "node", "plugin", "scope", "secret",
    "service", "type", "volume",
  ]
  private let filters: Filters

  init(_ filters: Filters) throws {
    try filters.refuseUnknown(Self.known)
    self.filters = filters
  }

  /// Whether all given filters let `event` through (values of one filter are alternatives, those of `label` are not).
  func matches(_ event: Event) -> Bool {
    if let wanted = filters["event"] {
      // `exec_start: sh` is also known as `exec_start`.
      let short = event.action.split(separator: ":", maxSplits: 1).first.map(String.init) ?? event.action
      guard wanted.contains(event.action) || wanted.contains(short) else { return false }
    }
    if let wanted = filters["type"], !wanted.contains(event.type) { return false }
    if let wanted = filters["scope"], !wanted.contains("local") { return false }
    if let wanted = filters["image"] {
      let name = (event.type == "image" ? event.attributes["name"] : event.attributes["image"]) ?? ""
      let names = [event.actor, name, Self.withoutTag(event.actor), Self.withoutTag(name)]
      guard wanted.contains(where: names.contains) else { return false }
    }
    for kind in ["container", "network", "volume", "plugin", "daemon", "node", "service", "secret", "config"] {
      if let wanted = filters[kind] { guard event.type == kind, named(event, wanted) else { return false } }
    }
    return filters.matchesLabels(event.attributes)
  }

  /// Whether one of `wanted` begins the id or the name of what an event is about, as Docker compares them.
  private func named(_ event: Event, _ wanted: [String]) -> Bool {
    wanted.contains { want in
      let plain = want.hasPrefix("/") ? String(want.dropFirst()) : want
      return event.actor.hasPrefix(plain) || (event.attributes["name"] ?? "").hasPrefix(plain)
    }
  }

  /// `host:5000/name:tag` as `host:5000/name`.
  private static func withoutTag(_ name: String) -> String {
    let last = name.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
    guard let colon = last.lastIndex(of: ":") else { return name }
    return String(name.dropLast(last.distance(from: colon, to: last.endIndex)))
  }
}
