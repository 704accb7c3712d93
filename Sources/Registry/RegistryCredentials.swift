/// What a person proves with who they are; never logged, never part of a message.
public struct RegistryCredentials: Hashable, Sendable {
  public var username: String
  public var password: String
  /// An OAuth2 refresh token, instead of a password.
  public var identityToken: String
  /// A bearer token that is used as it is.
  public var registryToken: String

  public init(username: String = "", password: String = "", identityToken: String = "", registryToken: String = "") {
    self.username = username
    self.password = password
    self.identityToken = identityToken
    self.registryToken = registryToken
  }

  /// Nobody in particular.
  public static let anonymous = RegistryCredentials()

  /// Whether there is nothing to prove with.
  public var isAnonymous: Bool {
    username.isEmpty && password.isEmpty && identityToken.isEmpty && registryToken.isEmpty
  }

  /// The value of the field `Authorization` for a name and a password.
  var basic: String { "Basic " + Base64.encode("\(username):\(password)") }
}

extension RegistryCredentials: CustomStringConvertible, CustomReflectable {
  /// Nothing of what is secret.
  public var description: String { isAnonymous ? "anonymous" : "credentials" }
  /// Nothing at all: a dump shows no secret.
  public var customMirror: Mirror { Mirror(self, children: []) }
}

/// RFC 4648, of text.
enum Base64 {
  static func encode(_ text: String) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    let bytes = Array(text.utf8)
    var out: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let piece = bytes[start..<min(start + 3, bytes.count)]
      var value = piece.reduce(0) { $0 << 8 | Int($1) }
      value <<= 8 * (3 - piece.count)
      for index in 0..<4 {
        out.append(index <= piece.count ? alphabet[value >> (18 - 6 * index) & 63] : UInt8(ascii: "="))
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
