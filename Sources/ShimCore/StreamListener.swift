internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// The socket for bulk bytes: a client connects, sends the token that a call returned and a newline, and is attached.
///
/// Tokens are single use and end unused after 30 s. A connection that shows none within 10 s is closed; more than 64
/// waiting connections, and more than 256 promises, are refused: abandoned ones cost nothing.
final class StreamListener {
  private static let tokenMilliseconds = 30_000
  private static let helloMilliseconds = 10_000
  private static let mostWaiting = 64
  private static let mostTokens = 256
  private static let longestHello = 80

  private let path: FilePath
  private let group: UInt32?
  private var listener: Int32 = -1
  private unowned let loop: EventLoop
  private var tokens: [String: (Int32) -> Void] = [:]
  /// Those of clients that must not miss anything.
  private var awaited: Set<String> = []
  private var waiting: Set<Int32> = []

  /// For `path`, and besides root for the members of `group`; nothing is there before `listen`.
  init(path: FilePath, group: UInt32?, loop: EventLoop) {
    self.path = path
    self.group = group
    self.loop = loop
  }

  /// Listens. Who connects needs a token too, which only the engine gives.
  func listen() throws(Fault) {
    do {
      listener = try UnixSocket.listen(path: path, mode: group == nil ? 0o600 : 0o660, gid: group).take()
    } catch {
      throw Fault(.internal, "the shim cannot listen at \(path)", cause: ["\(error)"])
    }
    loop.watch(listener, .read) { [unowned self] _ in accept() }
  }

  /// Whether a client that was promised everything may still come.
  var expectsClients: Bool { !awaited.isEmpty }

  /// Fails with `limitExceeded` when too many promised clients have not come yet.
  func requireRoom() throws(Fault) {
    guard tokens.count < Self.mostTokens else {
      throw Fault(
        .limitExceeded, "\(tokens.count) promised streams wait for their clients: connect to those, or wait 30 s")
    }
  }

  /// A token for one connection, which is handed to `attach`; `expired` is called instead when it does not come.
  func promise(
    awaited: Bool, attach: @escaping (Int32) -> Void, expired: @escaping () -> Void
  ) throws(Fault) -> String {
    try requireRoom()
    let token = Self.randomToken()
    if awaited { self.awaited.insert(token) }
    let timer = loop.after(milliseconds: Self.tokenMilliseconds) { [unowned self] in
      self.awaited.remove(token)
      if tokens.removeValue(forKey: token) != nil { expired() }
    }
    tokens[token] = { [unowned self] fd in
      loop.cancel(timer)
      attach(fd)
      self.awaited.remove(token)
    }
    return token
  }

  func close() {
    loop.forget(listener)
    Glibc.close(listener)
    for fd in waiting { refuse(fd) }
  }

  private func accept() {
    while let connection = try? UnixSocket.accept(listener) {
      let fd = connection.take()
      guard waiting.count < Self.mostWaiting else {
        Glibc.close(fd)
        continue
      }
      waiting.insert(fd)
      let timer = loop.after(milliseconds: Self.helloMilliseconds) { [unowned self] in refuse(fd) }
      loop.watch(fd, .read) { [unowned self] _ in hello(fd, timer) }
    }
  }

  /// Looks for the token's line, and takes no more than that: what follows it is the process's input.
  private func hello(_ fd: Int32, _ timer: Int) {
    let line: [UInt8]? = withUnsafeTemporaryAllocation(byteCount: Self.longestHello, alignment: 1) { buffer in
      let count = recv(fd, buffer.baseAddress, buffer.count, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
      if count < 0 && (errno == EAGAIN || errno == EINTR) { return nil }
      guard count > 0, let newline = buffer[..<count].firstIndex(of: 10) else {
        // Part of a line may still be completed; anything else ends it.
        return count > 0 && count < Self.longestHello ? nil : []
      }
      _ = recv(fd, buffer.baseAddress, newline + 1, Int32(MSG_DONTWAIT))
      return Array(buffer[..<newline])
    }
    guard let line else { return }
    loop.cancel(timer)
    guard !line.isEmpty, let attach = tokens.removeValue(forKey: String(decoding: line, as: UTF8.self)) else {
      return refuse(fd)
    }
    waiting.remove(fd)
    loop.forget(fd)
    attach(fd)
  }

  private func refuse(_ fd: Int32) {
    guard waiting.remove(fd) != nil else { return }
    loop.forget(fd)
    Glibc.close(fd)
  }

  /// 32 hexadecimal digits from the kernel's random source.
  private static func randomToken() -> String {
    var generator = SystemRandomNumberGenerator()
    let digits = Array("0123456789abcdef".utf8)
    let value = (generator.next() as UInt64, generator.next() as UInt64)
    var text: [UInt8] = []
    for half in [value.0, value.1] {
      for shift in stride(from: 60, through: 0, by: -4) {
        text.append(digits[Int(truncatingIfNeeded: half >> UInt64(shift)) & 15])
      }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
