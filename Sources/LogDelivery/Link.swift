internal import Glibc

/// Where a socket leads.
enum LinkAddress: Equatable {
  case unixStream(String)
  case unixDatagram(String)
  case tcp(host: String, port: String)
  case udp(host: String, port: String)

  /// Takes `HOST:PORT`, `[v6]:PORT` or `HOST` apart.
  static func hostAndPort(_ text: Substring, default port: String) -> (String, String) {
    let text = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)[0]
    if text.hasPrefix("["), let close = text.firstIndex(of: "]") {
      let rest = text[text.index(after: close)...]
      return (String(text[text.index(after: text.startIndex)..<close]), rest.isEmpty ? port : String(rest.dropFirst()))
    }
    guard let colon = text.lastIndex(of: ":") else { return (text.isEmpty ? "localhost" : String(text), port) }
    let host = text[..<colon]
    return (host.isEmpty ? "localhost" : String(host), String(text[text.index(after: colon)...]))
  }
}

/// A connection that is opened when it is first needed, and again after it broke. Blocking with limits, on one thread.
final class Link {
  private static let connectMilliseconds: Int32 = 5000
  private let address: LinkAddress
  private let writeMilliseconds: Int32
  private var socket: Int32 = -1

  init(_ address: LinkAddress, writeMilliseconds: Int32 = 10_000) {
    self.address = address
    self.writeMilliseconds = writeMilliseconds
  }

  deinit { close() }

  func close() {
    if socket >= 0 { Glibc.close(socket) }
    socket = -1
  }

  /// Connects, unless it is connected and the other side has not hung up.
  func open() throws(DeliveryFailure) {
    if socket >= 0, !hasEnded { return }
    close()
    switch address {
    case .unixStream(let path): socket = try Self.connectUnix(path, Int32(SOCK_STREAM.rawValue))
    case .unixDatagram(let path): socket = try Self.connectUnix(path, Int32(SOCK_DGRAM.rawValue))
    case .tcp(let host, let port): socket = try Self.connect(host, port, Int32(SOCK_STREAM.rawValue))
    case .udp(let host, let port): socket = try Self.connect(host, port, Int32(SOCK_DGRAM.rawValue))
    }
  }

  /// Whether a peer that sends nothing has closed: without that look, what is written next would be lost without an error.
  private var hasEnded: Bool {
    switch address {
    case .unixDatagram, .udp: return false
    case .unixStream, .tcp:
      var byte: UInt8 = 0
      let count = recv(socket, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
      return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)
    }
  }

  /// Sends all of `bytes`; a datagram in one. A failure closes the connection.
  func send(_ bytes: [UInt8]) throws(DeliveryFailure) {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(socket, $0.baseAddress! + done, $0.count - done, Int32(MSG_NOSIGNAL))  // not empty
      }
      if count > 0 {
        done += count
        continue
      }
      let code = errno
      if count < 0 && code == EINTR { continue }
      if count < 0 && code == EAGAIN {
        try wait(POLLOUT, writeMilliseconds)
        continue
      }
      if code == EMSGSIZE { throw .refused("it is longer than a datagram can be") }
      close()
      throw .away(String(cString: strerror(code)))
    }
  }

  /// Receives what comes within `milliseconds`; empty at the end.
  func receive(milliseconds: Int32) throws(DeliveryFailure) -> [UInt8] {
    try wait(POLLIN, milliseconds)
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = recv(socket, &bytes, bytes.count, 0)
    return count > 0 ? Array(bytes[..<count]) : []
  }

  private func wait(_ events: Int32, _ milliseconds: Int32) throws(DeliveryFailure) {
    var ready = pollfd(fd: socket, events: Int16(events), revents: 0)
    if poll(&ready, 1, milliseconds) > 0 { return }
    close()
    throw .away("it takes nothing for \(milliseconds) ms")
  }

  private static func connectUnix(_ path: String, _ type: Int32) throws(DeliveryFailure) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw .refused("\(path) is too long for a socket's address")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let socket = Glibc.socket(AF_UNIX, type | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    if result == 0 { return socket }
    let code = errno
    Glibc.close(socket)
    throw .away("\(path): \(String(cString: strerror(code)))")
  }

  private static func connect(_ host: String, _ port: String, _ type: Int32) throws(DeliveryFailure) -> Int32 {
    var hints = addrinfo()
    hints.ai_socktype = type
    hints.ai_flags = AI_ADDRCONFIG
    var found: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, port, &hints, &found)
    guard code == 0 else { throw .away("\(host):\(port): \(String(cString: gai_strerror(code)))") }
    defer { freeaddrinfo(found) }
    var failure = "no address"
    var next = found
    while let entry = next {
      let flags = Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
      let socket = Glibc.socket(entry.pointee.ai_family, type | flags, 0)
      if socket >= 0 {
        let error = finish(socket, Glibc.connect(socket, entry.pointee.ai_addr, entry.pointee.ai_addrlen))
        if error == 0 { return socket }
        failure = String(cString: strerror(error))
        Glibc.close(socket)
      }
      next = entry.pointee.ai_next
    }
    throw .away("\(host):\(port): \(failure)")
  }

  private static func finish(_ socket: Int32, _ result: Int32) -> Int32 {
    if result == 0 { return 0 }
    guard errno == EINPROGRESS else { return errno }
    var ready = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
    guard poll(&ready, 1, connectMilliseconds) > 0 else { return ETIMEDOUT }
    var error: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size)
    return error
  }
}
