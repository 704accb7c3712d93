import Faults
import Linux
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// Gives byte streams to clients: a call returns this server's socket and a token; who connects and writes the token gets
/// the stream. Each stream has a thread of its own, so that a slow client holds up nobody.
final class StreamServer: Sendable {
  /// How long a token may wait for its connection.
  static let tokenLifetime: Int64 = 30_000_000_000
  private static let stackSize = 512 * 1024
  private static let mostConnections = 512

  private struct Pending {
    var job: @Sendable (Int32) -> Void
    var expires: Int64
  }
  private struct State {
    var pending: [String: Pending] = [:]
    var connections = 0
    var listener: Int32 = -1
    var running = false
  }
  private let state = Mutex(State())
  /// Path of the socket.
  let path: String
  private let group: UInt32?

  init(path: String, group: UInt32?) {
    self.path = path
    self.group = group
  }

  /// Begins to listen; the socket has mode 0660.
  func start() throws {
    let socket: Int32
    do {
      socket = try UnixSocket.listen(path: FilePath(path), mode: 0o660, gid: group, nonBlocking: false).take()
    } catch {
      throw Fault(.unavailable, "\(path): cannot listen on it: \(error)")
    }
    state.withLock {
      $0.listener = socket
      $0.running = true
    }
    startThread(stackSize: StreamServer.stackSize) { self.acceptLoop(socket) }
  }

  /// Stops to listen and takes the socket away.
  func stop() {
    let socket = state.withLock { state -> Int32 in
      let socket = state.listener
      state.listener = -1
      state.running = false
      state.pending = [:]
      return socket
    }
    if socket >= 0 {
      shutdown(socket, Int32(SHUT_RDWR))
      unlink(path)
    }
  }

  /// A token for one connection, on which `job` runs (the descriptor is closed after it).
  func offer(_ job: @escaping @Sendable (Int32) -> Void) -> String {
    let token = Identifier.random(digits: 32)
    let now = monotonicNanoseconds()
    state.withLock { state in
      if state.pending.count > 64 { state.pending = state.pending.filter { $0.value.expires > now } }
      state.pending[token] = Pending(job: job, expires: now + StreamServer.tokenLifetime)
    }
    return token
  }

  private func acceptLoop(_ listener: Int32) {
    defer { close(listener) }
    while true {
      let connection: Int32
      do {
        guard let accepted = try UnixSocket.accept(listener, nonBlocking: false) else { return }
        connection = accepted.take()
      } catch {
        guard state.withLock({ $0.running }) else { return }
        usleep(20_000)  // out of descriptors: wait for some to be closed
        continue
      }
      let admitted = state.withLock { state -> Bool in
        guard state.running, state.connections < StreamServer.mostConnections else { return false }
        state.connections += 1
        return true
      }
      guard admitted else {
        close(connection)
        continue
      }
      startThread(stackSize: StreamServer.stackSize) {
        self.serve(connection)
        close(connection)
        self.state.withLock { $0.connections -= 1 }
      }
    }
  }

  private func serve(_ connection: Int32) {
    var limit = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var token: [UInt8] = []
    while token.count < 128 {
      var byte: UInt8 = 0
      let count = recv(connection, &byte, 1, 0)
      if count < 0, errno == EINTR { continue }
      guard count == 1 else { return }
      if byte == 10 { break }
      token.append(byte)
    }
    let now = monotonicNanoseconds()
    let text = String(decoding: token, as: UTF8.self)
    let job = state.withLock { state -> (@Sendable (Int32) -> Void)? in
      guard let pending = state.pending.removeValue(forKey: text), pending.expires > now else { return nil }
      return pending.job
    }
    job?(connection)
  }
}

/// Nanoseconds of a clock that never jumps.
func monotonicNanoseconds() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

private final class ThreadBody {
  let body: @Sendable () -> Void
  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// Runs `body` on a new thread that nobody joins: for blocking calls, which must not hold a thread of the pool.
func startThread(stackSize: Int, _ body: @escaping @Sendable () -> Void) {
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  pthread_attr_setstacksize(&attributes, stackSize)
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  var thread = pthread_t()
  let box = Unmanaged.passRetained(ThreadBody(body))
  let result = pthread_create(
    &thread, &attributes,
    { argument in
      guard let argument else { return nil }
      Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().body()
      return nil
    }, box.toOpaque())
  pthread_attr_destroy(&attributes)
  if result != 0 {
    box.release()
    body()  // no thread to be had: better late here than never
  }
}
