internal import CCurl
internal import Glibc
internal import Linux

/// What Swift needs around CCurl.
enum Curl {
  /// The strings of a `cc_target`.
  struct Target {
    var url: String
    var caFile: String?
    var certificate: String?
    var key: String?
    var connectTo: String?

    /// Calls `body` with them as C has them.
    func with<Result>(
      skipVerify: Bool, milliseconds: Int, _ body: (UnsafePointer<cc_target>) -> Result
    ) -> Result {
      let strings = CStrings([url, caFile ?? "", certificate ?? "", key ?? "", connectTo ?? ""])
      func text(_ index: Int, _ given: String?) -> UnsafePointer<CChar>? {
        given == nil ? nil : strings.pointers[index].map { UnsafePointer($0) }
      }
      var target = cc_target(
        url: text(0, url), ca_file: text(1, caFile), certificate: text(2, certificate), key: text(3, key),
        connect_to: text(4, connectTo), skip_verify: skipVerify ? 1 : 0, timeout_ms: milliseconds)
      return withExtendedLifetime(strings) { withUnsafePointer(to: &target, body) }
    }
  }

  private static let errorSize = 256

  /// A new handle. Fails when libcurl is not there.
  static func open() throws(DeliveryFailure) -> OpaquePointer {
    var handle: OpaquePointer?
    let failure = words { error in
      handle = cc_open(error)
      return handle == nil ? -1 : 0
    }
    guard let handle else { throw .refused(failure ?? "libcurl cannot be loaded") }
    return handle
  }

  /// The words that a call left; nil when it succeeded.
  static func words(_ call: (UnsafeMutablePointer<CChar>) -> Int32) -> String? {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: errorSize) { error in
      guard let base = error.baseAddress else { return "no memory" }
      base.initialize(repeating: 0, count: errorSize)
      return call(base) == 0 ? nil : String(cString: base)
    }
  }

  /// Strings as an array that ends with null.
  static func withStrings<Result>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
  ) -> Result {
    let copies = CStrings(strings)
    return withExtendedLifetime(copies) {
      copies.pointers.withMemoryRebound(to: UnsafePointer<CChar>?.self, capacity: strings.count + 1) { body($0) }
    }
  }

  static func wait(_ socket: Int32, forWriting writing: Bool, _ milliseconds: Int32) -> Bool {
    var ready = pollfd(fd: socket, events: Int16(writing ? POLLOUT : POLLIN), revents: 0)
    return poll(&ready, 1, milliseconds) > 0
  }

  /// Whether the other side has not hung up.
  static func isOpen(_ socket: Int32) -> Bool {
    var byte: UInt8 = 0
    let count = recv(socket, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR))
  }
}
