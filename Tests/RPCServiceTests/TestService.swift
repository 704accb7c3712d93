import Faults
import FoundationEssentials
import Glibc
import JSONRPC
import Linux
import Logging
import RPCService
import Synchronization
import SystemPackage
import Testing

struct Text: Codable, Sendable, Equatable {
  var text: String
}

struct Nothing: Codable, Sendable, Equatable {}

/// A service of the tests' own.
final class TestService: Sendable {
  static let echo = RPCMethod<Text, Text>("t.echo", isMutating: true)
  static let wait = RPCMethod<Nothing, Nothing>("t.wait", isUnbounded: true)
  static let slow = RPCMethod<Nothing, Nothing>("t.slow", deadlineMilliseconds: 30)
  static let hold = RPCMethod<Nothing, Nothing>("t.hold")
  static let progress = RPCMethod<Nothing, Nothing>("t.progress")
  static let subscribe = RPCMethod<Nothing, Nothing>("t.subscribe")
  static let event = RPCNotification<Text>("t.event")

  let gate = Gate()
  let seen = Counter()
  let cancelled = Counter()
  let closed = Counter()
  let subscribers = Mutex<[any RPCConnection]>([])

  var table: RPCTable {
    RPCTable(
      name: "t", document: #"{"openrpc":"1.3.2"}"#,
      methods: [
        "t.echo": Self.echo.traits, "t.wait": Self.wait.traits, "t.slow": Self.slow.traits,
        "t.hold": Self.hold.traits,
        "t.progress": Self.progress.traits, "t.subscribe": Self.subscribe.traits,
      ]
    ) { [self] (method, params, context) async throws(Fault) -> Data in
      switch method {
      case "t.echo":
        let text: Text = try RPCCoding.decode(params)
        if text.text == "fail" { throw Fault(.conflict, "as told", cause: ["because"]) }
        return try RPCCoding.encode(text)
      case "t.wait", "t.slow", "t.hold":
        seen.add()
        await gate.wait()
        if context.isCancelled { cancelled.add() }
      case "t.progress":
        for step in ["one", "two"] { context.progress(Text(text: step)) }
      case "t.subscribe":
        if let connection = context.connection {
          connection.onClose { [closed] in closed.add() }
          subscribers.withLock { $0.append(connection) }
        }
      default: throw RPCCoding.unknownMethod(method)
      }
      return Data("{}".utf8)
    }
  }
}

/// Holds tasks until it opens or they are cancelled.
actor Gate {
  private var isOpen = false
  private var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
  private var next = 0

  func wait() async {
    next += 1
    let key = next
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if isOpen || Task.isCancelled { continuation.resume() } else { waiting[key] = continuation }
      }
    } onCancel: {
      Task { await self.release(key) }
    }
  }

  func open() {
    isOpen = true
    for continuation in waiting.values { continuation.resume() }
    waiting = [:]
  }

  private func release(_ key: Int) { waiting.removeValue(forKey: key)?.resume() }
}

final class Counter: Sendable {
  private let count = Mutex(0)
  var value: Int { count.withLock { $0 } }
  func add() { count.withLock { $0 += 1 } }

  /// Waits until the count is reached; false after 10 s.
  func reaches(_ number: Int) async -> Bool { await eventually { self.value >= number } }
}

/// Looks again until `condition` holds; false after 10 s.
func eventually(_ condition: () async -> Bool) async -> Bool {
  let deadline = Deadline.after(seconds: 10)
  while !(await condition()) {
    if deadline.hasPassed { return false }
    try? await Task.sleep(nanoseconds: 2_000_000)
  }
  return true
}

/// A server in a folder of its own, which goes with it.
struct Fixture: Sendable {
  let service = TestService()
  let folder: FilePath
  let server: RPCServer
  var path: FilePath { folder.appending("t.sock") }

  init(options: RPCServerOptions = RPCServerOptions()) async throws {
    folder = try Self.makeFolder()
    server = try await RPCServer(
      service.table, path: folder.appending("t.sock"), options: options, logger: Self.logger)
  }

  static let logger = Logger(label: "test") { ServiceLog(label: $0, level: .critical) }

  static func makeFolder() throws -> FilePath {
    var template = Array("/tmp/gantry-rpc-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
    return FilePath(String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }

  func end() async {
    await service.gate.open()
    await server.shutDown(within: 1000)
    try? FileManager.default.removeItem(atPath: folder.string)
  }

  /// Runs `body` with a server, and ends it.
  static func with(
    options: RPCServerOptions = RPCServerOptions(), _ body: (Fixture) async throws -> Void
  ) async throws {
    let fixture = try await Fixture(options: options)
    do { try await body(fixture) } catch {
      await fixture.end()
      throw error
    }
    await fixture.end()
  }
}

/// A client that writes what it likes. Reading gives the thread back while nothing is there: handlers need it too.
final class RawPeer: @unchecked Sendable {  // one test task reads, one writes
  let socket: Int32
  private var buffer = LineBuffer()

  init(_ path: FilePath) throws {
    socket = try UnixSocket.connect(path: path).take()
    var time = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(socket) }

  /// Writes as much as the other side takes; false when it has hung up.
  @discardableResult
  func write(_ bytes: [UInt8]) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { send(socket, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL)) }
      if count <= 0 { return false }
      sent += count
    }
    return true
  }

  @discardableResult
  func write(_ line: String) -> Bool { write(Array((line + "\n").utf8)) }

  func request(_ id: Int, _ method: String, _ params: String = "{}") {
    write(#"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":\#(params)}"#)
  }

  /// The next message; nil at the end of input.
  func read() async throws -> Message? {
    while true {
      if let line = try buffer.next() { return try MessageCodec.parse(line) }
      guard let bytes = try await Self.bytes(of: socket), !bytes.isEmpty else { return nil }
      bytes.withUnsafeBytes { buffer.append($0) }
    }
  }

  /// Code and id of the failure that comes next.
  func failure() async throws -> (id: RPCID?, code: FaultCode)? {
    guard case .failure(let id, let fault)? = try await read() else { return nil }
    return (id, fault.code)
  }

  /// Everything up to the end of input.
  static func text(of descriptor: Int32) async throws -> String {
    var text: [UInt8] = []
    while let bytes = try await bytes(of: descriptor), !bytes.isEmpty { text += bytes }
    return String(decoding: text, as: UTF8.self)
  }

  /// Some bytes, waited for at most 10 s; nil or none at the end.
  private static func bytes(of descriptor: Int32) async throws -> [UInt8]? {
    let deadline = Deadline.after(seconds: 10)
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      if Glibc.poll(&poll, 1, 0) > 0 {
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        if count < 0 { return errno == ECONNRESET ? nil : [] }
        return Array(bytes[..<count])
      }
      if deadline.hasPassed { throw Errno.timedOut }
      try await Task.sleep(nanoseconds: 1_000_000)
    }
  }
}
