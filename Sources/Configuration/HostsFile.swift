internal import Faults
internal import Linux
internal import SystemPackage

/// containerd's `hosts.toml`: where a registry's content is asked for.
///
///     server = "https://registry.example"          the registry itself, tried last
///     [host."https://mirror.example"]              in the file's order
///       capabilities = ["pull", "resolve"]
///       ca = "mirror.pem"  client = [["a.cert", "a.key"]]  skip_verify = false  override_path = false
///       dial_timeout = "5s"
///       [host."https://mirror.example".header]
///         x-team = ["build"]
struct HostsFile: Sendable {
  private static let sizeLimit = 256 << 10
  private static let hostKeys: Set<String> = [
    "capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout",
  ]

  private let path: FilePath
  private var mirrors: [RegistryPlace] = []
  /// nil: the registry of the image's name.
  private var server: RegistryPlace?

  /// Reads the file in `folder`; nil when there is none.
  init?(folder: FilePath) throws(Fault) {
    path = folder.appending("hosts.toml")
    let text: String
    do throws(Errno) {
      text = try Files.readText(path.string, limit: Self.sizeLimit)
    } catch .noSuchFileOrDirectory, .notDirectory {
      return nil
    } catch {
      throw Fault(.invalidArgument, "\(path) cannot be read: \(error)")
    }
    do throws(Fault) {
      try read(try TOMLReader.read(text))
    } catch {
      throw Fault(.invalidArgument, "\(path): \(error.message)")
    }
  }

  /// The mirrors and the registry: as the file names it, else `upstream`.
  func places(of domain: String, upstream: RegistryPlace) -> [RegistryPlace] {
    (mirrors + [server ?? upstream]).map { place in
      var place = place
      // Hosts that are not the registry's own learn whose content is wanted.
      let own = [domain, upstream.address.authority]
      place.namespace = own.contains(place.address.authority) ? nil : domain
      return place
    }
  }

  private mutating func read(_ document: TOMLTable) throws(Fault) {
    for (key, _) in document.entries where !Self.hostKeys.contains(key) && key != "server" && key != "host" {
      throw Fault(.invalidArgument, "\(key) is not a setting of hosts.toml")
    }
    var rest = document
    rest.remove("host")
    let address = try rest.remove("server").map { value throws(Fault) in try Self.address(value, "server") }
    if let address {
      server = try host(address, rest, isMirror: false)
    } else if let (key, _) = rest.entries.first {
      throw Fault(.invalidArgument, "\(key) stands outside a [host] table, but there is no server that it could be for")
    }
    guard let hosts = document["host"] else { return }
    guard case .table(let table) = hosts else {
      throw Fault(.invalidArgument, "host must be tables: [host.\"https://…\"]")
    }
    for (name, value) in table.entries {
      guard case .table(let settings) = value else { throw Fault(.invalidArgument, "host.\"\(name)\" must be a table") }
      mirrors.append(try host(try Self.address(.string(name), "host"), settings, isMirror: true))
    }
  }

  private static func address(_ value: TOMLValue, _ key: String) throws(Fault) -> RegistryAddress {
    guard case .string(let text) = value else { throw Fault(.invalidArgument, "\(key) must be a text") }
    do throws(Fault) {
      return try RegistryAddress(parsing: text.contains("://") ? text : "https://\(text)")
    } catch {
      throw Fault(.invalidArgument, "\(key) \"\(text)\": \(error.message)")
    }
  }

  private func host(_ address: RegistryAddress, _ table: TOMLTable, isMirror: Bool) throws(Fault) -> RegistryPlace {
    var host = RegistryPlace(address: address, isMirror: isMirror)
    var overridesPath = false
    for (key, value) in table.entries {
      switch key {
      case "capabilities": host.capabilities = try Self.capabilities(value)
      case "ca": host.authorities = try value.texts(key).map(file)
      case "client": host.clientCertificates = try clients(value)
      case "skip_verify": host.skipsVerification = try value.flag(key)
      case "override_path": overridesPath = try value.flag(key)
      case "header": host.headers = try Self.headers(value)
      case "dial_timeout": host.connectTimeout = try Self.milliseconds(value)
      default: throw Fault(.invalidArgument, "\(key) is not a setting of a host")
      }
    }
    if !overridesPath { host.address = address.withAPI }
    return host
  }

  private static func capabilities(_ value: TOMLValue) throws(Fault) -> RegistryPlace.Capabilities {
    var result: RegistryPlace.Capabilities = []
    for text in try value.texts("capabilities") {
      switch text {
      case "pull": result.insert(.pull)
      case "resolve": result.insert(.resolve)
      case "push": result.insert(.push)
      default: throw Fault(.invalidArgument, "capabilities: \"\(text)\" is not pull, resolve or push")
      }
    }
    return result
  }

  /// Relative files are beside hosts.toml.
  private func file(_ name: String) -> String { path.removingLastComponent().pushing(FilePath(name)).string }

  private func clients(_ value: TOMLValue) throws(Fault) -> [RegistryPlace.ClientCertificate] {
    guard case .array(let items) = value else {
      return try value.texts("client").map { .init(certificate: file($0), key: nil) }
    }
    var clients: [RegistryPlace.ClientCertificate] = []
    for item in items {
      let names = try item.texts("client")
      guard (1...2).contains(names.count) else {
        throw Fault(
          .invalidArgument, "client: write a certificate, or a certificate and its key: [[\"a.cert\", \"a.key\"]]")
      }
      let key = names.count == 2 && !names[1].isEmpty ? file(names[1]) : nil
      clients.append(.init(certificate: file(names[0]), key: key))
    }
    return clients
  }

  private static func headers(_ value: TOMLValue) throws(Fault) -> [HTTPHeader] {
    guard case .table(let table) = value else { throw Fault(.invalidArgument, "header must be a table") }
    var headers: [HTTPHeader] = []
    for (name, value) in table.entries {
      for text in try value.texts("header") {
        guard let header = HTTPHeader(name: name, value: text) else {
          throw Fault(
            .invalidArgument, "header.\(name) is no HTTP header: letters, digits and dashes, a value on one line")
        }
        headers.append(header)
      }
    }
    return headers
  }

  /// Go's durations, as far as they make sense for a connection: `5s`, `500ms`, `1m`.
  private static func milliseconds(_ value: TOMLValue) throws(Fault) -> Int {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000)]
    if case .string(let text) = value, let (suffix, factor) = units.first(where: { text.hasSuffix($0.0) }),
      let number = Int(text.dropLast(suffix.count)), (1...3_600_000 / factor).contains(number)
    {
      return number * factor
    }
    throw Fault(.invalidArgument, "dial_timeout: write a length of time such as \"5s\" or \"500ms\"")
  }
}

extension TOMLValue {
  /// One text or a list of them.
  fileprivate func texts(_ key: String) throws(Fault) -> [String] {
    switch self {
    case .string(let text): return [text]
    case .array(let items):
      var texts: [String] = []
      for item in items {
        guard case .string(let text) = item else { throw Fault(.invalidArgument, "\(key) must be texts") }
        texts.append(text)
      }
      return texts
    default: throw Fault(.invalidArgument, "\(key) must be a text or a list of texts")
    }
  }

  fileprivate func flag(_ key: String) throws(Fault) -> Bool {
    guard case .boolean(let on) = self else { throw Fault(.invalidArgument, "\(key) must be true or false") }
    return on
  }
}
