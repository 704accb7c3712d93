public import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol
internal import Synchronization
public import SystemPackage

/// Hands out addresses of raw byte streams: a caller connects, writes its token, and the connected socket goes to whoever
/// made the promise. Tokens work once and expire after 30 s.
public final class StreamServer: Sendable {
  /// How long a token waits for its connection.
  public static let tokenMilliseconds = 30_000
  /// Milliseconds that a connection has to write its token.
  static let greetingMilliseconds = 5_000
  /// Promises that may wait at once.
  static let promiseLimit = 4096

  private struct State {
    var promises: [String: StreamPromise] = [:]
    var isClosed = false
  }

  private let path: FilePath
  private let listener: Int32
  private let peers: PeerRule
  private let tokenMilliseconds: Int
  private let state = Mutex(State())

  /// Listens on `path` (0660); tokens expire after `tokenMilliseconds`.
  public init(
    path: FilePath, peers: PeerRule = PeerRule(), gid: UInt32? = nil,
    tokenMilliseconds: Int = StreamServer.tokenMilliseconds
  ) throws(Fault) {
    self.path = path
    self.peers = peers
    self.tokenMilliseconds = tokenMilliseconds
    do throws(Errno) {
      listener = try UnixSocket.listen(path: path, mode: 0o660, gid: gid, nonBlocking: false).take()
    } catch {
      throw Fault(.internal, "cannot listen on \(path)", cause: ["\(error)"])
    }
    DetachedThread.start { [self] in acceptConnections() }
  }

  /// A new address; the promise takes its connection.
  public func promise() throws(Fault) -> StreamPromise {
    var generator = SystemRandomNumberGenerator()
    let token = (0..<2).map { _ in
      let text = String(generator.next() as UInt64, radix: 16)
      return String(repeating: "0", count: 16 - text.count) + text
    }.joined()
    let promise = StreamPromise(
      address: StreamAddress(socket: path.string, token: token), deadline: .after(milliseconds: tokenMilliseconds)
    ) { [weak self] in self?.forget(token) }
    try state.withLock { state throws(Fault) in
      if state.isClosed { throw Fault(.unavailable, "the service is stopping: try again") }
      if state.promises.count >= Self.promiseLimit {
        throw Fault(.limitExceeded, "more than \(Self.promiseLimit) streams wait for their connections")
      }
      state.promises[token] = promise
    }
    promise.startTimer()
    return promise
  }

  /// Takes no more connections; promises that wait fail.
  public func close() {
    let promises = state.withLock { state -> [StreamPromise] in
      if state.isClosed { return [] }
      state.isClosed = true
      let promises = Array(state.promises.values)
      state.promises = [:]
      shutdown(listener, Int32(SHUT_RDWR))
      return promises
    }
    for promise in promises { promise.fail(Fault(.unavailable, "the service is stopping")) }
    unlink(path.string)
  }

  private func forget(_ token: String) { _ = state.withLock { $0.promises.removeValue(forKey: token) } }

  private func acceptConnections() {
    while !state.withLock({ $0.isClosed }) {
      let accepted: Int32?
      do throws(Errno) {
        accepted = try UnixSocket.accept(listener, nonBlocking: false)?.take()
      } catch .invalidArgument {
        break  // shut down
      } catch {
        // No descriptor or memory for now: a connection waits in the backlog.
        usleep(20_000)
        continue
      }
      guard let descriptor = accepted else { continue }
      if peers.admit(descriptor) == nil {
        Descriptors.close(descriptor)
      } else if !DetachedThread.start({ [self] in greet(descriptor) }) {
        Descriptors.close(descriptor)
      }
    }
    Descriptors.close(listener)
  }

  /// Reads the token, byte for byte so that nothing of what follows is taken.
  private func greet(_ descriptor: Int32) {
    let socket = OwnedDescriptor(descriptor)
    let deadline = Deadline.after(milliseconds: Self.greetingMilliseconds)
    var token: [UInt8] = []
    while true {
      var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let ready = Glibc.poll(&poll, 1, Int32(deadline.millisecondsLeft))
      if ready < 0, errno == EINTR { continue }
      if ready <= 0 { return }
      // What is there is looked at first, so that one read takes the token and its newline and nothing else.
      var buffer = [UInt8](repeating: 0, count: 33 - token.count)
      let seen = recv(descriptor, &buffer, buffer.count, Int32(MSG_PEEK))
      if seen <= 0 { return }
      let newline = buffer[..<seen].firstIndex(of: 10)
      let count = newline.map { $0 + 1 } ?? seen
      guard recv(descriptor, &buffer, count, 0) == count else { return }
      token += buffer[..<(newline ?? seen)]
      if newline != nil { break }
      if token.count > 32 { return }
    }
    let text = String(decoding: token, as: UTF8.self)
    state.withLock { $0.promises.removeValue(forKey: text) }?.fulfil(socket.take())
  }
}
