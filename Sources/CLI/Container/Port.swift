internal import JSONRPC
internal import Protocol

/// `gantry port`: which ports of the host lead to a container.
struct Port: Command {
  static let about = About(
    usage: "CONTAINER [PRIVATE_PORT[/PROTO]]", summary: "List port mappings or a specific mapping for the container",
    arity: .atLeast(1), completes: .container,
    examples: [("gantry port web", "All"), ("gantry port web 80/tcp", "Where that port is published")])

  var container = ""
  var wanted: String?

  mutating func take(operands: [String]) throws {
    guard operands.count <= 2 else { throw CommandFailure("'gantry port' requires at most 2 arguments") }
    container = operands[0]
    if operands.count == 2 { wanted = try Self.port(operands[1]) }
  }

  /// `80` and `80/TCP` as `80/tcp`.
  static func port(_ text: String) throws -> String {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    let number = parts.first.flatMap { UInt16($0) } ?? 0
    let kind = parts.count == 2 ? parts[1].lowercased() : "tcp"
    guard number > 0, ["tcp", "udp", "sctp"].contains(kind) else {
      throw CommandFailure("Error: invalid port \"\(text)\": give 1 to 65535, and /tcp, /udp or /sctp")
    }
    return "\(number)/\(kind)"
  }

  func run(in session: Session) throws -> Int32 {
    let inspected = try session.call(GatewayAPI.Method.containerInspect, .init(container: container)).container
    let ports = inspected["NetworkSettings"]?["Ports"]?.objectValue ?? [:]
    if let wanted {
      let bindings = ports[wanted]?.arrayValue ?? []
      guard !bindings.isEmpty else {
        throw CommandFailure("Error: No public port '\(wanted)' published for \(container)")
      }
      Output.write(bindings.map { Self.address($0) + "\n" }.joined())
      return 0
    }
    for port in ports.keys.sorted(by: Self.isBefore) {
      for binding in ports[port]?.arrayValue ?? [] { Output.write("\(port) -> \(Self.address(binding))\n") }
    }
    return 0
  }

  /// By number, then by protocol.
  private static func isBefore(_ a: String, _ b: String) -> Bool {
    let (first, second) = (number(a), number(b))
    return first == second ? a < b : first < second
  }

  private static func number(_ port: String) -> UInt16 { UInt16(port.prefix { $0 != "/" }) ?? 0 }

  /// `0.0.0.0:8080`, `[::]:8080`.
  private static func address(_ binding: JSONValue) -> String {
    let host = binding["HostIp"]?.stringValue ?? ""
    return (host.contains(":") ? "[\(host)]" : host) + ":" + (binding["HostPort"]?.stringValue ?? "")
  }
}
