internal import FoundationEssentials
internal import JSONRPC
internal import Protocol

/// `gantry events`: what happens in the engine, as it happens.
struct Events: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Get real time events from the server",
    discussion: "Filters: container, daemon, event, image, label, network, plugin, scope, type, volume. With --until in the "
      + "past it ends by itself. A reader that is too slow finds `daemon lost` with the number of events that it missed.",
    examples: [
      ("gantry events", "Follow everything"),
      ("gantry events --since 10m --until 0s --filter container=web", "What happened to one container"),
      ("gantry events --format '{{json .}}'", "One JSON object a line"),
    ])
  static let flags: [Flag<Events>] = [
    .value("filter", "f", "filter", "Filter output based on conditions provided") {
      try Filters.add($1, to: &$0.filters)
    },
    .value("format", nil, "string", "Format output: 'json', or a Go template") { $0.format = $1 },
    .value("since", nil, "string", "Show all events created since timestamp") { $0.since = try Moment(flag: $1).text },
    .value("until", nil, "string", "Stream events until this timestamp") { $0.until = try Moment(flag: $1).text },
  ]

  var filters: [String: [String]] = [:]
  var format: String?
  var since: String?
  var until: String?

  func run(in session: Session) throws -> Int32 {
    let template = try format.flatMap { $0 == "json" || $0.isEmpty ? nil : try Template(ListOptions.unescaped($0)) }
    let gateway = try session.gateway()
    var ended = false
    var failure: (any Error)?
    gateway.onNotification = { name, params in
      do {
        if name == GatewayAPI.Notification.eventEnd.name { ended = true }
        guard name == GatewayAPI.Notification.eventEvent.name else { return }
        Output.write(try Self.text(RPCCoding.decode(params), template, json: format == "json") + "\n")
      } catch {
        failure = error
      }
    }
    _ = try gateway.call(
      GatewayAPI.Method.eventSubscribe,
      .init(since: since, until: until, filters: filters.isEmpty ? nil : filters))
    while !ended, failure == nil { _ = try gateway.waitForMessages() }
    if let failure { throw failure }
    return 0
  }

  private static func text(_ event: GatewayAPI.Event, _ template: Template?, json: Bool) throws -> String {
    if template != nil || json {
      var value = try JSONValue(encoding: event)
      // The older names of the same fields, which Docker's clients still read.
      value["status"] = .string(event.action)
      value["id"] = .string(event.actor.id)
      value["from"] = .string(event.actor.attributes["image"] ?? "")
      return try template?.text(for: value) ?? value.json
    }
    let moment = Moment(seconds: event.timeNano / 1_000_000_000, nanoseconds: event.timeNano % 1_000_000_000)
    var line = "\(Human.preciseDate(moment)) \(event.type) \(event.action) \(event.actor.id)"
    if !event.actor.attributes.isEmpty {
      let attributes = event.actor.attributes.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      line += " (\(attributes.joined(separator: ", ")))"
    }
    return line
  }
}
