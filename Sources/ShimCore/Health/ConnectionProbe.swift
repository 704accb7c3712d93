internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// A connection to a port in the container's network as a probe; with a request, an HTTP answer too.
///
/// On the loopback interface a connection is made or refused by the time `connect` returns, and the loop is not involved. The
/// answer is not trusted: its first 4096 bytes are looked at, for its status line, and nothing of it is believed but three
/// digits.
final class ConnectionProbe: RunningProbe {
  private static let mostBytes = 4096

  private unowned let loop: EventLoop
  private let fd: OwnedDescriptor
  private let place: String
  private let request: [UInt8]?
  private let done: Done
  private var isDone = false
  private var answer: [UInt8] = []

  /// Connects `socket` to a numeric address; `request` is what is sent then, nil when the connection is enough.
  init(
    loop: EventLoop, socket: consuming OwnedDescriptor, host: String, port: UInt16, request: [UInt8]?,
    done: @escaping Done
  ) {
    self.loop = loop
    fd = socket
    place = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    self.request = request
    self.done = done
    begin(host, port)
  }

  deinit { close() }

  func cancel() { close() }

  /// A request for `path`.
  static func request(host: String, port: UInt16, path: String) -> [UInt8] {
    let name = host.contains(":") ? "[\(host)]" : host
    return Array(
      """
      GET \(path) HTTP/1.1\r
      Host: \(name):\(port)\r
      User-Agent: gantry-health\r
      Accept: */*\r
      Connection: close\r
      \r\n
      """.utf8)
  }

  private func begin(_ host: String, _ port: UInt16) {
    guard Self.connect(fd.rawValue, host, port) == 0 || errno == EINPROGRESS else { return finish(failed: errno) }
    var poll = pollfd(fd: fd.rawValue, events: Int16(POLLOUT), revents: 0)
    if Glibc.poll(&poll, 1, 0) > 0 { return connected() }
    loop.watch(fd.rawValue, .write) { [unowned self] _ in connected() }
  }

  private func connected() {
    var error: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(fd.rawValue, SOL_SOCKET, SO_ERROR, &error, &size)
    guard error == 0 else { return finish(failed: error) }
    guard let request else { return finish(0, "connected to \(place)") }
    // A fresh connection takes a request of two thousand bytes at once.
    let sent = request.withUnsafeBytes { send(fd.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    guard sent == request.count else { return finish(failed: sent < 0 ? errno : EPIPE) }
    loop.watch(fd.rawValue, .read) { [unowned self] _ in receive() }
  }

  private func receive() {
    let count = withUnsafeTemporaryAllocation(byteCount: Self.mostBytes, alignment: 16) { buffer in
      let count = recv(fd.rawValue, buffer.baseAddress, Self.mostBytes - answer.count, 0)
      if count > 0 { answer += buffer[..<count] }
      return count
    }
    if count < 0 {
      if errno != EAGAIN && errno != EINTR { finish(failed: errno) }
      return
    }
    let end = answer.firstIndex(of: 10)
    guard end != nil || count == 0 || answer.count >= Self.mostBytes else { return }
    let line = answer[..<(end ?? answer.endIndex)]
    guard let status = Self.status(line) else { return finish(1, "\(place) does not speak HTTP") }
    finish(status >= 200 && status < 400 ? 0 : 1, Self.printable(line))
  }

  /// The status of `HTTP/1.1 200 OK`.
  static func status(_ line: ArraySlice<UInt8>) -> Int? {
    let start = Array("HTTP/1.".utf8)
    let line = Array(line.prefix(13))
    guard line.count >= 12, Array(line[..<7]) == start, line[7] == 0x30 || line[7] == 0x31, line[8] == 0x20,
      line[9...11].allSatisfy({ (0x30...0x39).contains($0) }), line.count == 12 || line[12] == 0x20 || line[12] == 13
    else { return nil }
    return line[9...11].reduce(0) { $0 * 10 + Int($1 - 0x30) }
  }

  /// The line without what a terminal would act on.
  static func printable(_ line: ArraySlice<UInt8>) -> String {
    String(decoding: line.prefix(256).filter { $0 >= 0x20 && $0 < 0x7F }, as: UTF8.self)
  }

  private func finish(failed error: Int32) {
    finish(1, "\(place): \(String(cString: strerror(error)))")
  }

  private func finish(_ code: Int32, _ text: String) {
    guard !isDone else { return }
    close()
    done(code, Array(text.utf8))
  }

  private func close() {
    guard !isDone else { return }
    isDone = true
    loop.forget(fd.rawValue)
    // The descriptor is closed with this object; the other side is told now.
    shutdown(fd.rawValue, Int32(SHUT_RDWR))
  }

  private static func connect(_ fd: Int32, _ host: String, _ port: UInt16) -> Int32 {
    if host.contains(":") {
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      inet_pton(AF_INET6, host, &address.sin6_addr)
      return connect(fd, &address)
    }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    inet_pton(AF_INET, host, &address.sin_addr)
    return connect(fd, &address)
  }

  private static func connect<Address>(_ fd: Int32, _ address: inout Address) -> Int32 {
    withUnsafeBytes(of: &address) { bytes in
      guard let base = bytes.baseAddress else { return -1 }
      return Glibc.connect(fd, base.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
    }
  }
}
