/// One place to ask for what a registry has: the registry itself, or a mirror of it. How it is reached is all in here.
public struct RegistryPlace: Sendable, Hashable {
  /// What a place may be asked for.
  public struct Capabilities: OptionSet, Sendable, Hashable {
    /// The bits.
    public let rawValue: UInt8
    /// Takes the bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Content by its digest.
    public static let pull = Capabilities(rawValue: 1)
    /// What a tag leads to.
    public static let resolve = Capabilities(rawValue: 2)
    /// Taking content.
    public static let push = Capabilities(rawValue: 4)
    /// Everything.
    public static let all: Capabilities = [.pull, .resolve, .push]
  }

  /// A certificate of ours and its key, as files in PEM form; without a key file it is in the certificate's.
  public struct ClientCertificate: Sendable, Hashable {
    /// The certificate's file.
    public var certificate: String
    /// The key's file.
    public var key: String?

    /// Takes both.
    public init(certificate: String, key: String?) {
      self.certificate = certificate
      self.key = key
    }
  }

  /// The address that paths such as `/REPOSITORY/manifests/TAG` are added to; ends with `/v2` or is as configured.
  public var address: RegistryAddress
  /// What it may be asked for.
  public var capabilities: Capabilities
  /// Whether it stands for another registry: a failure of any kind moves on to the next place.
  public var isMirror: Bool
  /// Whether certificates are not checked.
  public var skipsVerification = false
  /// Whether plain HTTP is tried when nothing speaks TLS at a secure address. Never after TLS was once spoken there.
  public var allowsPlain = false
  /// Files of certificates that are trusted besides the system's.
  public var authorities: [String] = []
  /// Certificates to show.
  public var clientCertificates: [ClientCertificate] = []
  /// Sent with every request to this place, and to no other.
  public var headers: [HTTPHeader] = []
  /// The registry that it stands for, as containerd tells it to mirrors (`ns=`); nil for none.
  public var namespace: String?
  /// Milliseconds to wait for a connection; nil leaves it to the client.
  public var connectTimeout: Int?

  /// A place with everything else at its default.
  public init(address: RegistryAddress, capabilities: Capabilities = .all, isMirror: Bool = false) {
    self.address = address
    self.capabilities = capabilities
    self.isMirror = isMirror
  }
}
