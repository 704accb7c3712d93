public import Faults
internal import FoundationEssentials
internal import JSONRPC
internal import Linux
public import SystemPackage

/// What `gantry.json` says. Keys that Docker's daemon.json has are named and read as there.
///
///     {
///       "registry-mirrors": ["https://mirror.example"],          for Docker Hub, tried before it, in order
///       "insecure-registries": ["lab:5000", "10.0.0.0/8"],       plain HTTP and unknown certificates are accepted
///       "registries": {"registry.example": {                     one registry, by the host in image names
///         "mirrors": ["https://near.example/v2/cache"],
///         "ca": "/etc/ssl/lab.pem", "client-cert": "…", "client-key": "…",
///         "insecure": false, "headers": {"X-Team": "build"}
///       }},
///       "max-disk": "50GB"                                       the most that images and build cache may take
///     }
///
/// Reading is strict: an unknown key or a value of the wrong kind is refused, named with its file.
public struct ConfigurationFile: Sendable, Equatable {
  /// Where it is looked for when nobody says otherwise.
  public static let standardPath: FilePath = "/etc/gantry/gantry.json"
  private static let sizeLimit = 1 << 20

  /// Mirrors of Docker Hub, in the order in which they are tried.
  public var registryMirrors: [RegistryAddress] = []
  /// Registries that need neither TLS nor a certificate that is known.
  public var insecureRegistries: [InsecureRegistry] = []
  /// What is said of single registries, by host.
  public var registries: [String: RegistryEntry] = [:]
  /// The most bytes that images and build cache may take; nil for no bound.
  public var maxDisk: Int64?

  /// A file that says nothing.
  public init() {}

  /// Reads the file at `path`.
  ///
  /// - Parameter mustExist: false takes a missing file for an empty one.
  /// - Throws: `notFound`, `permissionDenied`, or `invalidArgument` with the file, the key and the value.
  public init(path: FilePath, mustExist: Bool) throws(Fault) {
    let bytes: [UInt8]
    do throws(Errno) {
      bytes = try Files.read(path.string, limit: Self.sizeLimit)
    } catch .noSuchFileOrDirectory where !mustExist {
      self.init()
      return
    } catch .noSuchFileOrDirectory {
      throw Fault(.notFound, "there is no configuration file \(path): make it, or leave --config out")
    } catch .fileTooLarge {
      throw Fault(.invalidArgument, "\(path) is larger than \(Self.sizeLimit) bytes: that is no configuration")
    } catch {
      throw Fault(.permissionDenied, "\(path) cannot be read (\(error)): give its owner and mode to the service")
    }
    try self.init(parsing: bytes, named: path.string)
  }

  /// Reads the text of a file that `name` names in messages.
  public init(parsing bytes: [UInt8], named name: String) throws(Fault) {
    let document: JSONValue
    do {
      document = try JSONValue(parsing: Data(bytes))
    } catch {
      throw Fault(.invalidArgument, "\(name) is not JSON: check commas, quotes and brackets", cause: error.cause)
    }
    let top = try SettingsReader(document, file: name)
    try top.refuseUnknown(["registry-mirrors", "insecure-registries", "registries", "max-disk"])
    registryMirrors = try top.strings("registry-mirrors") { text throws(Fault) in try RegistryAddress(parsing: text) }
    insecureRegistries = try top.strings("insecure-registries") { text throws(Fault) in
      try InsecureRegistry(parsing: text)
    }
    for (host, settings) in try top.members("registries") {
      registries[try RegistryAddress.host(host, settings)] = try RegistryEntry(settings)
    }
    maxDisk = try top.value("max-disk") { value throws(Fault) in try ByteSize.parse(value) }
  }
}

/// What is said of one registry.
public struct RegistryEntry: Sendable, Equatable {
  /// Tried before the registry itself, in order.
  public var mirrors: [RegistryAddress] = []
  /// A file of certificates in PEM form that are trusted besides the system's.
  public var ca: String?
  /// The file of our certificate, in PEM form.
  public var clientCertificate: String?
  /// The file of its key.
  public var clientKey: String?
  /// Whether plain HTTP and unknown certificates are accepted; nil leaves it to `insecure-registries`.
  public var insecure: Bool?
  /// Sent with every request to the registry, and to nobody else.
  public var headers: [HTTPHeader] = []

  /// Settings that say nothing.
  public init() {}

  init(_ reader: SettingsReader) throws(Fault) {
    try reader.refuseUnknown(["mirrors", "ca", "client-cert", "client-key", "insecure", "headers"])
    mirrors = try reader.strings("mirrors") { text throws(Fault) in try RegistryAddress(parsing: text) }
    ca = try reader.value("ca", SettingsReader.absolutePath)
    clientCertificate = try reader.value("client-cert", SettingsReader.absolutePath)
    clientKey = try reader.value("client-key", SettingsReader.absolutePath)
    insecure = try reader.value("insecure") { value throws(Fault) in
      guard let on = value.boolValue else { throw Fault(.invalidArgument, "write true or false") }
      return on
    }
    if clientKey != nil, clientCertificate == nil {
      throw reader.refusal("client-key", "a key needs its certificate: add client-cert")
    }
    for (name, value) in try reader.pairs("headers") {
      guard let header = HTTPHeader(name: name, value: value) else {
        throw reader.refusal(
          "headers.\(name)", "it is no HTTP header: letters, digits and dashes, and a value on one line")
      }
      headers.append(header)
    }
    headers.sort { $0.name < $1.name }
  }
}

/// One line of an HTTP request's head.
public struct HTTPHeader: Sendable, Hashable {
  /// Its name.
  public let name: String
  /// Its value, one line.
  public let value: String

  /// A header; nil when it could not be sent as one line.
  public init?(name: String, value: String) {
    let token = name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
        true
      default: false
      }
    }
    guard !name.isEmpty, token, value.utf8.count <= 8192, value.utf8.allSatisfy({ $0 >= 32 && $0 != 127 || $0 == 9 })
    else { return nil }
    self.name = name
    self.value = value
  }
}
