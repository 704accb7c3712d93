internal import CCurl

/// HTTP(S) requests on one kept connection, through libcurl.
final class HTTPClient {
  /// How to trust the other side.
  struct Trust {
    var caFile: String?
    /// The name that its certificate must have, when it is not that of the address.
    var name: String?
    var skipVerify = false
  }

  private let handle: OpaquePointer
  private let trust: Trust
  private static let answerSize = 64 << 10
  private static let timeout = 30_000

  init(trust: Trust = Trust()) throws(DeliveryFailure) {
    self.trust = trust
    handle = try Curl.open()
  }

  deinit { cc_close(handle) }

  /// Sends a request; the status and the first 64 kB of the answer.
  func request(
    _ method: String?, _ url: String, headers: [String], body: [UInt8]? = nil, milliseconds: Int = timeout
  ) throws(DeliveryFailure) -> (status: Int, answer: [UInt8]) {
    let (url, connectTo) = named(url)
    var answer = [UInt8](repeating: 0, count: Self.answerSize)
    var size = 0
    var status = 0
    let target = Curl.Target(url: url, caFile: trust.caFile, connectTo: connectTo)
    let failure = Curl.words { error in
      target.with(skipVerify: trust.skipVerify, milliseconds: milliseconds) { target in
        Curl.withStrings(headers) { headers in
          (body ?? []).withUnsafeBytes { bytes in
            answer.withUnsafeMutableBytes {
              cc_request(
                handle, target, method, headers, body == nil ? nil : bytes.baseAddress, bytes.count, $0.baseAddress,
                $0.count, &size,
                &status, error)
            }
          }
        }
      }
    }
    if let failure { throw .away(failure) }
    return (status, Array(answer[..<size]))
  }

  /// The URL with the name of the certificate in the place of its host, and where to connect instead.
  private func named(_ url: String) -> (String, String?) {
    guard let name = trust.name, let start = url.firstRange(of: "://") else { return (url, nil) }
    let rest = url[start.upperBound...]
    let authority = rest.prefix { $0 != "/" }
    let (host, port) = LinkAddress.hostAndPort(authority, default: url.hasPrefix("https") ? "443" : "80")
    return (
      "\(url[..<start.upperBound])\(name):\(port)\(rest.dropFirst(authority.count))", "\(name):\(port):\(host):\(port)"
    )
  }

  /// What an answer that is no success means: too many requests, and the server's own troubles, pass.
  static func check(_ status: Int, _ answer: [UInt8]) throws(DeliveryFailure) {
    if (200..<300).contains(status) { return }
    let words = "HTTP \(status) \(String(decoding: answer.prefix(500), as: UTF8.self))"
    // Credentials that are wrong may be set right; a request that is too long or malformed stays so.
    if status == 400 || status == 413 || status == 422 { throw .refused(words) }
    throw .away(words)
  }
}

/// A TCP connection with TLS.
final class TLSLink {
  private let host: String
  private let port: String
  private let target: Curl.Target
  private let skipVerify: Bool
  private var handle: OpaquePointer?

  init(
    host: String, port: String, caFile: String?, certificate: String?, key: String?, skipVerify: Bool
  ) throws(DeliveryFailure) {
    self.host = host
    self.port = port
    self.skipVerify = skipVerify
    let authority = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    target = Curl.Target(url: "https://\(authority)", caFile: caFile, certificate: certificate, key: key)
    cc_close(try Curl.open())
  }

  deinit { close() }

  func close() {
    if let handle { cc_close(handle) }
    handle = nil
  }

  /// Sends all of `bytes`, connecting first where needed. A failure closes the connection.
  func send(_ bytes: [UInt8], milliseconds: Int32 = 10_000) throws(DeliveryFailure) {
    let handle = try open()
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { cc_send(handle, $0.baseAddress! + done, $0.count - done) }  // not empty
      if count < 0 {
        close()
        throw .away("\(host):\(port) has closed the connection")
      }
      done += count
      if count == 0, !Curl.wait(cc_socket(handle), forWriting: true, milliseconds) {
        close()
        throw .away("\(host):\(port) takes nothing")
      }
    }
  }

  /// Receives what comes within `milliseconds`.
  func receive(milliseconds: Int32) throws(DeliveryFailure) -> [UInt8] {
    let handle = try open()
    var bytes = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = cc_receive(handle, &bytes, bytes.count)
      if count > 0 { return Array(bytes[..<count]) }
      if count < 0 || !Curl.wait(cc_socket(handle), forWriting: false, milliseconds) {
        close()
        throw .away("\(host):\(port) does not answer")
      }
    }
  }

  private func open() throws(DeliveryFailure) -> OpaquePointer {
    if let handle, Curl.isOpen(cc_socket(handle)) { return handle }
    close()
    let new = try Curl.open()
    let failure = Curl.words { error in
      target.with(skipVerify: skipVerify, milliseconds: 10_000) { cc_connect(new, $0, error) }
    }
    if let failure {
      cc_close(new)
      throw .away("\(host):\(port): \(failure)")
    }
    handle = new
    return new
  }
}
