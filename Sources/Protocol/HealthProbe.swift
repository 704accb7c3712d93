public import Faults
internal import Glibc

/// A probe that needs no program in the container, as `HealthCheck.probe` writes it:
///
///     tcp://ADDRESS:PORT         accepts a connection
///     http://ADDRESS:PORT/PATH   answers GET with a status of 200 to 399; port 80 and path / when left out
///     file:///PATH               exists
///
/// ADDRESS is a number (`127.0.0.1`, `[::1]`) or `localhost`; left out it is 127.0.0.1. Names are not looked up: whoever
/// answers for a name would decide over the container's health.
public enum HealthProbe: Sendable, Equatable {
  /// `host` is a numeric address without brackets.
  case tcp(host: String, port: UInt16)
  /// `path` begins with a slash and holds no space, control character or byte beyond ASCII.
  case http(host: String, port: UInt16, path: String)
  /// An absolute path in the container.
  case file(path: String)

  /// The schemes of such probes.
  public static let schemes = ["tcp://", "http://", "file://"]

  /// Reads the text; fails with `invalidArgument`, or `unsupported` for https.
  public init(_ text: String) throws(Fault) {
    if text.hasPrefix("tcp://") {
      let (host, port, path) = try Self.split(text, text.dropFirst(6), standardPort: nil)
      guard path.isEmpty || path == "/" else { throw Self.refusal(text, "a tcp probe has no path") }
      self = .tcp(host: host, port: port)
    } else if text.hasPrefix("http://") {
      let (host, port, path) = try Self.split(text, text.dropFirst(7), standardPort: 80)
      guard path.utf8.count <= 2048, path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
        throw Self.refusal(text, "a path is 2048 printable characters at most: write others as %20")
      }
      self = .http(host: host, port: port, path: path.isEmpty ? "/" : String(path))
    } else if text.hasPrefix("file://") {
      let path = String(text.dropFirst(7))
      guard path.hasPrefix("/"), path.utf8.count < 4096, !path.utf8.contains(0) else {
        throw Self.refusal(text, "the path is absolute: file:///run/ready")
      }
      self = .file(path: path)
    } else if text.hasPrefix("https://") {
      throw Fault(
        .unsupported,
        "the health probe \"\(text)\" needs TLS, which is not built in: probe the port with tcp://, or run a program")
    } else {
      throw Self.refusal(text, "it is tcp://ADDRESS:PORT, http://ADDRESS:PORT/PATH or file:///PATH")
    }
  }

  /// The text that it was read from, with everything that may be left out.
  public var text: String {
    switch self {
    case .tcp(let host, let port): "tcp://\(Self.bracketed(host)):\(port)"
    case .http(let host, let port, let path): "http://\(Self.bracketed(host)):\(port)\(path)"
    case .file(let path): "file://\(path)"
    }
  }

  /// An address as it stands before a port.
  public static func bracketed(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }

  private static func split(
    _ text: String, _ rest: Substring, standardPort: UInt16?
  ) throws(Fault) -> (host: String, port: UInt16, path: Substring) {
    let slash = rest.firstIndex(of: "/") ?? rest.endIndex
    let authority = rest[..<slash]
    let path = rest[slash...]
    let host: Substring
    let port: Substring
    if authority.hasPrefix("[") {
      guard let close = authority.firstIndex(of: "]") else { throw refusal(text, "a [ has no ]") }
      host = authority[authority.index(after: authority.startIndex)..<close]
      port = authority[authority.index(after: close)...]
    } else {
      let colon = authority.firstIndex(of: ":") ?? authority.endIndex
      host = authority[..<colon]
      port = authority[colon...]
    }
    let number = port.hasPrefix(":") ? UInt16(port.dropFirst()) : port.isEmpty ? standardPort : nil
    guard let number, number > 0 else { throw refusal(text, "the port is a number from 1 to 65535") }
    let numeric = host.isEmpty || host == "localhost" ? "127.0.0.1" : String(host)
    guard isAddress(numeric) else {
      throw refusal(text, "\"\(host)\" is no address: names are not looked up, give such as 127.0.0.1 or [::1]")
    }
    return (numeric, number, path)
  }

  private static func isAddress(_ text: String) -> Bool {
    var four = in_addr()
    var six = in6_addr()
    return inet_pton(AF_INET, text, &four) == 1 || inet_pton(AF_INET6, text, &six) == 1
  }

  private static func refusal(_ text: String, _ reason: String) -> Fault {
    Fault(.invalidArgument, "the health probe \"\(text)\" cannot be understood: \(reason)")
  }
}

extension HealthCheck {
  /// Fails with `invalidArgument` for what no shim can do.
  public func validate() throws(Fault) {
    guard (process == nil) != (probe == nil) else {
      throw Fault(.invalidArgument, "a health check has either a process or a probe")
    }
    if let probe { _ = try HealthProbe(probe) }
    if let process, process.args?.first?.isEmpty ?? true {
      throw Fault(.invalidArgument, "the process of a health check names no program (args)")
    }
    // Timers count milliseconds in 64 bits: a hundred years leave room.
    let most: Int64 = 3_155_760_000_000
    let lengths = [("interval", interval, 1), ("timeout", timeout, 1), ("startInterval", startInterval, 1)]
    for (name, value, least) in lengths + [("startPeriod", startPeriod, 0)] where !(Int64(least)...most).contains(value) {
      throw Fault(.invalidArgument, "the \(name) of a health check is \(value) ms: it is from \(least) to \(most)")
    }
    guard (1...Int64(Int32.max)).contains(retries) else {
      throw Fault(.invalidArgument, "the retries of a health check are \(retries): it is from 1 to \(Int32.max)")
    }
  }
}
