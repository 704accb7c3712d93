internal import Glibc

/// Which proxy is asked for which host: the variables HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in capitals or small.
public struct ProxyRules: Sendable {
  /// The proxy for http, and for https; nil for none.
  public var http: String?
  public var https: String?
  /// Hosts that are reached without: names with all below them (`example.com`, `.example.com`), addresses, IPv4 networks
  /// (`10.0.0.0/8`), each with a port if only that is meant; `*` is everything.
  public var exceptions: [String]

  public init(http: String? = nil, https: String? = nil, exceptions: [String] = []) {
    self.http = http
    self.https = https
    self.exceptions = exceptions
  }

  /// What the variables of this process say.
  public static var environment: ProxyRules {
    func variable(_ name: String) -> String? {
      for name in [name, name.lowercased()] {
        if let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty { return value }
      }
      return nil
    }
    return ProxyRules(
      http: variable("HTTP_PROXY"), https: variable("HTTPS_PROXY"),
      exceptions: (variable("NO_PROXY") ?? "").split(separator: ",").map { $0.trimmingSpaces.lowercased() })
  }

  /// The proxy for an address; nil for none, as for this machine itself.
  func proxy(for address: WebAddress) -> String? {
    guard let proxy = address.scheme == .http ? http : https, !address.isLoopback else { return nil }
    return exceptions.contains { Self.covers($0, address) } ? nil : proxy
  }

  private static func covers(_ rule: String, _ address: WebAddress) -> Bool {
    if rule == "*" { return true }
    if let slash = rule.firstIndex(of: "/"), let length = Int(rule[rule.index(after: slash)...]),
      (0...32).contains(length), let network = ipv4(rule[..<slash]), let own = ipv4(address.host)
    {
      let mask = length == 0 ? 0 : UInt32.max << (32 - UInt32(length))
      return network & mask == own & mask
    }
    var name = Substring(rule)
    if !rule.hasPrefix("["), let colon = rule.firstIndex(of: ":") {
      guard Int(rule[rule.index(after: colon)...]) == address.port ?? address.scheme.port else { return false }
      name = rule[..<colon]
    }
    if name.hasPrefix("*.") { name = name.dropFirst(1) }
    if name.hasPrefix(".") { return !name.dropFirst().isEmpty && address.host.hasSuffix(name) }
    return !name.isEmpty && (address.host == name || address.host.hasSuffix("." + name))
  }

  private static func ipv4(_ text: some StringProtocol) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      guard let part else { return nil }
      value = value << 8 | UInt32(part)
    }
    return value
  }
}
