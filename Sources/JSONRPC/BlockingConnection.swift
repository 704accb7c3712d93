public import Faults
public import FoundationEssentials
internal import Glibc
public import Linux
public import SystemPackage

/// A request whose answer has not been taken yet.
public struct PendingCall<Result: Codable & Sendable>: Sendable {
  /// What its answer will carry.
  public let id: Int64
}

/// A client without threads, event loops or concurrency: for the command line and for processes that have one thread.
///
/// Requests can be pipelined: `send` several, then take the answers in any order. It is not to be shared between threads.
public final class BlockingConnection {
  private let socket: OwnedDescriptor
  private var lines = LineBuffer()
  private var nextID: Int64 = 1
  private var answers: [Int64: Swift.Result<Data, Fault>] = [:]
  private var waiting: [Int64: ((Data) -> Void)?] = [:]
  private var ended: Fault?
  private let name: String

  /// Gets every message that the service sends unasked: its name and its params as JSON.
  public var onNotification: ((_ name: String, _ params: Data) -> Void)?

  /// Connects to the Unix socket at `path`.
  ///
  /// - Throws: `.unavailable` when nobody listens there, `.permissionDenied` when the caller may not connect.
  public init(path: FilePath) throws(Fault) {
    name = path.string
    do throws(Errno) {
      socket = try UnixSocket.connect(path: path)
    } catch .permissionDenied {
      throw Fault(.permissionDenied, "permission to use \(path) is missing: be root or in the socket's group")
    } catch {
      throw Fault(.unavailable, "nothing answers on \(path): is the service running?", cause: ["connect: \(error)"])
    }
  }

  /// Adopts a connected stream socket.
  public init(descriptor: consuming OwnedDescriptor, name: String = "the connection") {
    socket = descriptor
    self.name = name
  }

  /// The socket, for poll(2): readable means that `receiveAvailable` has something to do.
  public var descriptor: Int32 { socket.rawValue }

  /// Whether the other side has ended the connection.
  public var hasEnded: Bool { ended != nil }

  /// Sends a request and waits for its answer.
  ///
  /// - Parameters:
  ///   - deadline: travels with the request; nil stands for the method's own, or 60 s.
  ///   - progress: gets what the service tells on the way, as JSON.
  public func call<Params, Result>(
    _ method: RPCMethod<Params, Result>, _ params: Params, deadline: Deadline? = nil,
    progress: ((Data) -> Void)? = nil
  ) throws(Fault) -> Result {
    let deadline = deadline ?? method.traits.usualDeadline
    return try wait(try send(method, params, deadline: deadline, progress: progress), deadline: deadline)
  }

  /// Sends a request; its answer is taken with `wait` or `answer`.
  public func send<Params, Result>(
    _ method: RPCMethod<Params, Result>, _ params: Params, deadline: Deadline? = nil,
    progress: ((Data) -> Void)? = nil
  ) throws(Fault) -> PendingCall<Result> {
    let id = try send(
      method: method.name, params: try RPCCoding.encode(params), deadline: deadline, progress: progress)
    return PendingCall(id: id)
  }

  /// Sends a request whose params are JSON already.
  public func send(
    method: String, params: Data, deadline: Deadline? = nil, progress: ((Data) -> Void)? = nil
  ) throws(Fault) -> Int64 {
    let id = nextID
    nextID += 1
    let meta = RequestMeta(
      deadlineMilliseconds: deadline?.millisecondsLeft,
      progressToken: progress == nil ? nil : Data(String(id).utf8))
    try write(try MessageCodec.request(id: .number(id), method: method, params: params, meta: meta))
    waiting[id] = .some(progress)
    return id
  }

  /// Takes a request back. Its answer comes all the same, usually `.cancelled`.
  public func cancel<Result>(_ call: PendingCall<Result>) throws(Fault) {
    try write(try MessageCodec.cancel(id: .number(call.id)))
  }

  /// The answer if it is there already.
  public func answer<Result>(_ call: PendingCall<Result>) throws(Fault) -> Result? {
    guard let result = try answer(id: call.id) else { return nil }
    return try RPCCoding.decode(result)
  }

  /// Waits for an answer; messages that come before it are handed out on the way.
  ///
  /// - Throws: the service's fault; `.unavailable` when the connection ends; `.deadlineExceeded` when time is over.
  public func wait<Result>(_ call: PendingCall<Result>, deadline: Deadline? = nil) throws(Fault) -> Result {
    try RPCCoding.decode(try wait(id: call.id, deadline: deadline))
  }

  /// Waits for the answer to a request that was sent by name.
  public func wait(id: Int64, deadline: Deadline? = nil) throws(Fault) -> Data {
    while true {
      if let result = try answer(id: id) { return result }
      if !(try waitReadable(until: deadline)) {
        waiting[id] = nil
        throw Fault(.deadlineExceeded, "\(name) did not answer in time")
      }
      try receive()
    }
  }

  /// Waits until messages have come and hands them out; false when `deadline` passes first.
  public func waitForMessages(until deadline: Deadline? = nil) throws(Fault) -> Bool {
    if let ended { throw ended }
    guard try waitReadable(until: deadline) else { return false }
    try receive()
    return true
  }

  /// Reads what is there, without waiting, and hands it out. An ended connection shows in `hasEnded` and in later calls.
  public func receiveAvailable() throws(Fault) {
    while ended == nil, try waitReadable(until: .now) { try receive() }
  }

  // MARK: Inside

  private func answer(id: Int64) throws(Fault) -> Data? {
    if let answer = answers.removeValue(forKey: id) { return try answer.get() }
    guard waiting[id] != nil else { throw Fault(.internal, "the answer to request \(id) was taken before") }
    if let ended {
      waiting[id] = nil
      throw ended
    }
    return nil
  }

  private func write(_ line: Data) throws(Fault) {
    if let ended { throw ended }
    var bytes = line
    bytes.append(10)
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(socket.rawValue, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count >= 0 {
        sent += count
      } else if errno != EINTR {
        throw end("write: \(Errno(rawValue: errno))")
      }
    }
  }

  private func waitReadable(until deadline: Deadline?) throws(Fault) -> Bool {
    var poll = pollfd(fd: socket.rawValue, events: Int16(POLLIN), revents: 0)
    while true {
      let time = deadline.map { Int32(clamping: $0.millisecondsLeft) } ?? -1
      let count = Glibc.poll(&poll, 1, time)
      if count > 0 { return true }
      if count == 0 {
        if time == Int32.max { continue }
        return false
      }
      if errno != EINTR { throw end("poll: \(Errno(rawValue: errno))") }
      if let deadline, deadline.hasPassed { return false }
    }
  }

  private func receive() throws(Fault) {
    var count = 0
    withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 1) { buffer in
      repeat {
        count = Glibc.recv(socket.rawValue, buffer.baseAddress, buffer.count, 0)
      } while count < 0 && errno == EINTR
      if count > 0 { lines.append(UnsafeRawBufferPointer(start: buffer.baseAddress, count: count)) }
    }
    if count < 0 {
      let error = Errno(rawValue: errno)
      if error == .wouldBlock { return }
      _ = end("read: \(error)")
    } else if count == 0 {
      _ = end("end of input")
    }
    while let line = try lines.next() { take(try MessageCodec.parse(line)) }
  }

  private func take(_ message: Message) {
    switch message {
    case .result(.number(let id), let result) where waiting[id] != nil: settle(id, .success(result))
    case .failure(.number(let id)?, let fault) where waiting[id] != nil: settle(id, .failure(fault))
    case .failure(nil, let fault): ended = ended ?? fault
    case .notification(WireMethod.progress, let params):
      guard let parts = MessageCodec.progressParts(params),
        let id = Int64(String(decoding: parts.token, as: UTF8.self)), let handler = waiting[id] ?? nil
      else { return }
      handler(parts.value)
    case .notification(let name, let params): onNotification?(name, params)
    default: return
    }
  }

  private func settle(_ id: Int64, _ answer: Swift.Result<Data, Fault>) {
    answers[id] = answer
    waiting[id] = .some(nil)
  }

  private func end(_ words: String) -> Fault {
    let fault = ended ?? Fault(.unavailable, "the connection to \(name) has ended", cause: [words])
    ended = fault
    return fault
  }
}
