import Faults
import FoundationEssentials
import JSONRPC
import Linux
import Logging
import Protocol
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// The latest events in a file, `ROOT/gateway/events.json`: one JSON object a line, in order, a megabyte at most. So `since`
/// reaches back over restarts of the engine, and none of it is kept in memory.
///
/// Events are written a moment after they were told, many at once: a kill may take those of the last moment with it, and
/// what they told of is told again when the engine finds it. A file that cannot be written costs the history, nothing else.
final class EventJournal: Sendable {
  /// Bytes after which the older half is dropped.
  static let most = 1 << 20
  /// Milliseconds from an event to its writing.
  private static let delay = 20

  private struct Queue {
    var events: [Event] = []
    var isScheduled = false
  }
  private struct File {
    var descriptor: Int32 = -1
    var size = 0
    var hasFailed = false
  }

  private let path: String
  private let log: Logger
  private let queue = Mutex(Queue())
  private let file = Mutex(File())

  init(path: String, log: Logger) {
    self.path = path
    self.log = log
  }

  deinit {
    file.withLock { if $0.descriptor >= 0 { close($0.descriptor) } }
  }

  /// Takes an event; never waits.
  func append(_ event: Event) {
    let isFirst = queue.withLock { queue in
      queue.events.append(event)
      defer { queue.isScheduled = true }
      return !queue.isScheduled
    }
    guard isFirst else { return }
    Task { [weak self] in
      try? await Task.sleep(for: .milliseconds(Self.delay))
      self?.flush()
    }
  }

  /// Writes what was taken so far.
  func flush() { file.withLock { flush(&$0) } }

  /// All kept events, the oldest first.
  func events() -> [Event] {
    file.withLock { file in
      flush(&file)
      return ((try? Files.read(path, limit: 2 * Self.most)) ?? []).split(separator: 10).compactMap(Self.event)
    }
  }

  private func flush(_ file: inout File) {
    let events = queue.withLock { queue in
      defer { queue = Queue() }
      return queue.events
    }
    guard !events.isEmpty else { return }
    var bytes: [UInt8] = []
    for event in events {
      guard let text = try? RPCCoding.encode(event.wire) else { continue }
      bytes += text
      bytes.append(10)
    }
    do throws(Errno) {
      try open(&file)
      try Self.write(bytes, to: file.descriptor)
      file.size += bytes.count
      if file.size > Self.most { try shorten(&file) }
      file.hasFailed = false
    } catch {
      if !file.hasFailed { log.error("events are not kept", metadata: ["file": "\(path)", "error": "\(error)"]) }
      file.hasFailed = true
    }
  }

  /// Opens the file at its end. A line that a crash cut off is ended, so that it spoils no other.
  private func open(_ file: inout File) throws(Errno) {
    guard file.descriptor < 0 else { return }
    let descriptor = try openat2(nil, path, [.readWrite, .create, .append, .noFollow], mode: 0o600)
    file.size = Int(try FileStatus(of: descriptor.rawValue).size)
    var last: UInt8 = 10
    if file.size > 0, pread(descriptor.rawValue, &last, 1, off_t(file.size - 1)) == 1, last != 10 {
      try Self.write([10], to: descriptor.rawValue)
      file.size += 1
    }
    file.descriptor = descriptor.take()
  }

  /// Keeps the newer half, in a new file that takes the old one's place whole.
  private func shorten(_ file: inout File) throws(Errno) {
    let bytes = try Files.read(path, limit: 4 * Self.most)
    let middle = bytes.count - min(bytes.count, Self.most / 2)
    let start = bytes[middle...].firstIndex(of: 10).map { $0 + 1 } ?? bytes.count
    try DurableFile.write(FilePath(path), Array(bytes[start...]), durable: false)
    close(file.descriptor)
    file.descriptor = -1
    try open(&file)
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) throws(Errno) {
    try bytes.withUnsafeBufferPointer { bytes throws(Errno) in
      try Descriptors.writeAll(descriptor, UnsafeRawBufferPointer(bytes))
    }
  }

  private static func event(_ line: ArraySlice<UInt8>) -> Event? {
    guard let wire = try? JSONDecoder().decode(GatewayAPI.Event.self, from: Data(line)) else { return nil }
    return Event(
      wire.type, wire.action, actor: wire.actor.id, attributes: wire.actor.attributes,
      time: Timestamp(nanoseconds: wire.timeNano))
  }
}
