public import Faults
internal import Glibc

/// An entry of `insecure-registries`: a host, a host with its port, or a network.
public enum InsecureRegistry: Sendable, Hashable {
  /// Every port of a host.
  case host(String)
  /// One port of a host.
  case authority(String)
  /// All addresses of a network.
  case network(Network)

  /// What Docker takes for insecure whatever is configured: this machine.
  public static let always: [InsecureRegistry] = ["127.0.0.0/8", "::1/128"].compactMap { Network(parsing: $0) }.map {
    .network($0)
  }

  /// Reads `host`, `host:port` and `10.0.0.0/8`.
  public init(parsing text: String) throws(Fault) {
    let lower = text.lowercased()
    if lower.contains("/") {
      guard let network = Network(parsing: lower) else {
        throw Fault(.invalidArgument, "write host, host:port or a network such as 10.0.0.0/8, without http://")
      }
      self = .network(network)
    } else if RegistryAddress.isAuthority(lower) {
      self = lower.contains(":") && !lower.hasSuffix("]") ? .authority(lower) : .host(RegistryAddress.host(of: lower))
    } else {
      throw Fault(.invalidArgument, "write host, host:port or a network such as 10.0.0.0/8")
    }
  }

  /// Whether the registry at `authority`, whose host has `addresses`, is meant.
  func matches(_ authority: String, _ addresses: [Network]) -> Bool {
    switch self {
    case .host(let host): RegistryAddress.host(of: authority) == host
    case .authority(let own): authority == own
    case .network(let network): addresses.contains(where: network.contains)
    }
  }
}

/// A network of addresses; a single address is one with all its bits.
public struct Network: Sendable, Hashable {
  private let bytes: [UInt8]
  private let bits: Int

  /// Reads `10.0.0.0/8`, `fd00::/8` and single addresses; nil for anything else.
  public init?(parsing text: String) {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    var four = in_addr()
    var six = in6_addr()
    if inet_pton(AF_INET, String(parts[0]), &four) == 1 {
      bytes = withUnsafeBytes(of: &four) { Array($0) }
    } else if inet_pton(AF_INET6, String(parts[0]), &six) == 1 {
      bytes = withUnsafeBytes(of: &six) { Array($0) }
    } else {
      return nil
    }
    guard parts.count == 2 else {
      bits = bytes.count * 8
      return
    }
    guard let bits = UInt8(parts[1]), Int(bits) <= bytes.count * 8 else { return nil }
    self.bits = Int(bits)
  }

  /// Whether the address, or all of the network, `other` is within this one.
  public func contains(_ other: Network) -> Bool {
    guard bytes.count == other.bytes.count, other.bits >= bits else { return false }
    return (0..<bits).allSatisfy { bit in
      let mask = UInt8(0x80) >> UInt8(bit % 8)
      return bytes[bit / 8] & mask == other.bytes[bit / 8] & mask
    }
  }

  /// Whether the addresses of `host` are known without a resolver.
  static func isLocalName(_ host: String) -> Bool { host == "localhost" || Network(parsing: host) != nil }

  /// The addresses that `host` is or has. Asks the resolver: may wait.
  static func addresses(of host: String) -> [Network] {
    if let own = Network(parsing: host) { return [own] }
    if host == "localhost" { return ["127.0.0.1", "::1"].compactMap(Network.init(parsing:)) }
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
    defer { freeaddrinfo(list) }
    var found: [Network] = []
    var next = list
    while let entry = next?.pointee, found.count < 64 {
      var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      if getnameinfo(entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0,
        let address = Network(
          parsing: String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
      {
        found.append(address)
      }
      next = entry.ai_next
    }
    return found
  }
}
