internal import Glibc

/// Carries entries from the spool to the destination, in order, and writes down how far it came.
///
/// - A destination that is away is tried again, after a pause that grows to ten seconds, for as long as the container runs.
/// - What a destination refuses for good is passed over and told.
/// - When the container may not wait, and more than its buffer waits, the oldest entries are passed over and counted.
/// - After the container's end (the shim's connection ends) what is left is delivered; a destination that is away gets ten
///   more seconds. What it missed is sent when the container is started again.
final class Courier {
  private static let longestPause = 10_000
  private static let graceAfterEnd = 10_000

  private var spool: Spool
  private let destination: any Destination
  private let blocking: Bool
  private let maxBuffer: UInt64
  private let control: Int32
  private let mark: Int32
  private let say: (String) -> Void
  /// When to give up, in milliseconds of the clock that never jumps; nil while the container runs.
  private var deadline: Int?
  private var isAway = false
  private var left = (entries: 0, bytes: 0)

  init(
    spool: Spool, destination: any Destination, blocking: Bool, maxBuffer: UInt64, control: Int32, mark: Int32,
    say: @escaping (String) -> Void
  ) {
    self.spool = spool
    self.destination = destination
    self.blocking = blocking
    self.maxBuffer = maxBuffer
    self.control = control
    self.mark = mark
    self.say = say
  }

  /// Works until the container has ended and everything was delivered, or the time after its end is over.
  func run() {
    while true {
      leaveOutWhatIsTooMuch()
      var events = spool.next(destination.batch)
      if events.isEmpty {
        if deadline != nil { return }
        waitForMore()
        continue
      }
      if destination.linger > 0, deadline == nil, events.count < destination.batch.events {
        events += gather(events.count)
      }
      if left.entries > 0 { events.insert(notice(), at: 0) }
      guard deliver(events) else { return }
    }
  }

  /// Sends `events`; false when it has to be given up.
  private func deliver(_ events: [LogEvent]) -> Bool {
    var rest = events
    var pause = destination.pause
    while !rest.isEmpty {
      var taken = 0
      do throws(DeliveryFailure) {
        try destination.send(rest, taken: &taken)
        taken = rest.count
        if isAway { say("\(destination.name) takes entries again") }
        isAway = false
      } catch {
        rest.removeFirst(taken)
        if taken > 0 { pause = destination.pause }
        guard case .away = error else {
          say("\(destination.name) refuses an entry: \(error.words)")
          if !rest.isEmpty { rest.removeFirst() }
          continue
        }
        if !isAway { say("\(destination.name) is away: \(error.words)") }
        isAway = true
        guard sleep(pause) else { return false }
        pause = max(pause, min(pause * 2, Self.longestPause))
        if !blocking, deadline == nil, spool.waiting > maxBuffer {
          left.entries += rest.count
          left.bytes += rest.reduce(0) { $0 + $1.text.count }
          break
        }
        continue
      }
      break
    }
    remember("a")
    return true
  }

  private func leaveOutWhatIsTooMuch() {
    guard !blocking, spool.waiting > maxBuffer else { return }
    let skipped = spool.skip(leaving: maxBuffer)
    left.entries += skipped.entries
    left.bytes += skipped.bytes
  }

  private func notice() -> LogEvent {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    let text =
      "gantry: \(left.entries) log entries (\(left.bytes) bytes) were not delivered: the destination did not keep up"
    say("\(destination.name): \(text)")
    left = (0, 0)
    return LogEvent(
      text: Array(text.utf8), stream: 2, time: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }

  /// What comes while a driver that likes many at once waits for them.
  private func gather(_ count: Int) -> [LogEvent] {
    let end = Self.now() + destination.linger
    var more: [LogEvent] = []
    while deadline == nil, count + more.count < destination.batch.events, Self.now() < end {
      remember("w", spool.position, durable: false)
      listen(end - Self.now())
      more += spool.next((destination.batch.events - count - more.count, destination.batch.bytes))
    }
    return more
  }

  private func waitForMore() {
    remember("w")
    listen(-1)
  }

  /// Writes down, and tells the shim, that everything before the spool's position is done with.
  private func remember(_ kind: Character, _ place: UInt64? = nil, durable: Bool = true) {
    var position = (place ?? spool.position).littleEndian
    if durable { _ = pwrite(mark, &position, 8, 0) }
    var delivered = durable ? position : UInt64(0)
    var message = [kind.asciiValue ?? 0]
    withUnsafeBytes(of: &delivered) { message.append(contentsOf: $0) }
    _ = Glibc.send(control, message, message.count, Int32(MSG_NOSIGNAL))
  }

  /// Waits for a word of the shim, for so many milliseconds, or without end (-1).
  private func listen(_ milliseconds: Int) {
    var ready = pollfd(fd: control, events: Int16(POLLIN), revents: 0)
    guard poll(&ready, 1, Int32(clamping: milliseconds)) > 0 else { return }
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = read(control, &bytes, bytes.count)
    if count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN), deadline == nil {
      deadline = Self.now() + Self.graceAfterEnd
    }
  }

  /// Waits before another try; false when there is no time for one.
  private func sleep(_ milliseconds: Int) -> Bool {
    let end = Self.now() + milliseconds
    while true {
      let now = Self.now()
      if let deadline, now >= deadline { return false }
      if now >= end { return true }
      if deadline != nil {
        poll(nil, 0, Int32(clamping: min(end - now, 100)))
      } else {
        listen(end - now)
      }
    }
  }

  private static func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
  }
}
