internal import Glibc
internal import JSONRPC
internal import Linux
internal import NIOCore
internal import Synchronization

/// Gives memory back when a service has had nothing to do for a while: free heap, and program text that is mapped but was
/// last used long ago. Text comes back from the page cache when it is called again (about 0.2 ms for a call's worth).
///
/// Nothing wakes a process that stays idle: the timer runs only after work.
final class IdleTrim: Sendable {
  /// Milliseconds without a call until memory is given back.
  static let idleMilliseconds = 3_000

  private struct State {
    var lastCall = Deadline.now
    var isScheduled = false
  }

  private let loop: any EventLoop
  private let state = Mutex(State())

  init(loop: any EventLoop) {
    self.loop = loop
    noteCall()
  }

  /// A call has come or has finished.
  func noteCall() {
    let schedules = state.withLock { state in
      state.lastCall = .now
      defer { state.isScheduled = true }
      return !state.isScheduled
    }
    if schedules { schedule(after: Self.idleMilliseconds) }
  }

  private func schedule(after milliseconds: Int) {
    _ = loop.scheduleTask(in: .milliseconds(Int64(milliseconds))) { [weak self] in self?.look() }
  }

  private func look() {
    let rest = state.withLock { state -> Int? in
      let idle = Int((Deadline.now.nanoseconds - state.lastCall.nanoseconds) / 1_000_000)
      if idle < Self.idleMilliseconds { return Self.idleMilliseconds - idle }
      state.isScheduled = false
      return nil
    }
    if let rest { schedule(after: rest + 1) } else { Self.trim() }
  }

  /// Drops what can be had again; the text last, because everything here needs some.
  static func trim() {
    let ranges = droppable()
    HeapMemory.giveBack()
    for range in ranges {
      madvise(UnsafeMutableRawPointer(bitPattern: range.start), Int(range.end - range.start), MADV_DONTNEED)
    }
  }

  /// Mappings of program text without a page that was written to: such a page (a relocation) exists nowhere else.
  private static func droppable() -> [(start: UInt, end: UInt)] {
    guard let text = try? Files.readText("/proc/self/smaps", limit: 4 << 20) else { return [] }
    var ranges: [(start: UInt, end: UInt)] = []
    var candidate: (start: UInt, end: UInt)?
    for line in text.split(separator: "\n") {
      if line.hasPrefix("Anonymous:") {
        if let candidate, line.split(separator: " ").dropFirst().first == "0" { ranges.append(candidate) }
        candidate = nil
      } else if line.contains("-"), let range = executableFile(line) {
        candidate = range
      }
    }
    return ranges
  }

  /// The range of a mapping of program text: readable, executable, not writable, from a file.
  private static func executableFile(_ line: Substring) -> (start: UInt, end: UInt)? {
    let fields = line.split(separator: " ")
    guard fields.count >= 6, fields[1] == "r-xp", fields[5].hasPrefix("/") else { return nil }
    let ends = fields[0].split(separator: "-").map { UInt($0, radix: 16) }
    guard ends.count == 2, let start = ends[0], let end = ends[1] else { return nil }
    return (start, end)
  }
}
