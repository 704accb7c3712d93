import Linux
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// Something a thread waits for in `poll`.
final class Wake: Sendable {
  private let event: EventFD

  init() throws { event = try EventFD() }

  /// The descriptor that becomes readable; valid as long as this object.
  var descriptor: Int32 { event.descriptor.rawValue }

  func signal() { try? event.add() }
}

/// Tells the threads that follow a log that its container has ended.
final class LogFollowers: Sendable {
  private struct State {
    var wakes: [Int: Wake] = [:]
    var next = 0
  }
  private let state = Mutex(State())

  /// Becomes readable at the container's end; give it back with `remove`. Nil when no descriptor is left for it.
  func add() -> (key: Int, wake: Wake)? {
    guard let wake = try? Wake() else { return nil }
    return state.withLock { state in
      state.next += 1
      state.wakes[state.next] = wake
      return (state.next, wake)
    }
  }

  /// How many follow now.
  var count: Int { state.withLock { $0.wakes.count } }

  func remove(_ key: Int) { state.withLock { _ = $0.wakes.removeValue(forKey: key) } }

  /// Wakes everyone.
  func end() {
    for wake in state.withLock({ Array($0.wakes.values) }) { wake.signal() }
  }
}

/// Writes a log, as a query asks, to a client's socket; blocking, on the thread of its stream.
struct LogStream {
  let path: String
  let query: LogQuery
  let followers: LogFollowers
  /// Whether the container may still write.
  let isLive: @Sendable () -> Bool

  func run(_ socket: Int32) {
    // Registered before the first look at the state: an end in between is not missed.
    let follower = query.follow ? followers.add() : nil
    defer { if let follower { followers.remove(follower.key) } }
    let notify = query.follow ? watch() : -1
    defer { if notify >= 0 { close(notify) } }

    var reader = LogReader(path: path, query: query)
    let output = LogOutput()
    while true {
      let live = isLive()
      output.removeAll()
      let progress = reader.next(into: output)
      if output.count > 0, !send(output.bytes, to: socket) { return }
      switch progress {
      case .more: continue
      case .ended: return
      case .caughtUp:
        // What was read after the container was seen to have ended is all there is.
        guard query.follow, live else { return }
        if let until = query.until, Timestamp.now() >= until { return }
        guard wait(notify, follower?.wake.descriptor ?? -1, socket) else { return }
      }
    }
  }

  /// An inotify descriptor for the log's folder (the file itself may not exist yet, and is renamed on rotation).
  private func watch() -> Int32 {
    let descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    guard descriptor >= 0 else { return -1 }
    let folder = path.split(separator: "/", omittingEmptySubsequences: true).dropLast().joined(separator: "/")
    _ = inotify_add_watch(descriptor, "/" + folder, UInt32(IN_MODIFY) | UInt32(IN_CREATE) | UInt32(IN_MOVED_TO))
    return descriptor
  }

  /// Waits for more in the log or the container's end; false when the client went away.
  private func wait(_ notify: Int32, _ ended: Int32, _ socket: Int32) -> Bool {
    var entries = [
      pollfd(fd: notify, events: Int16(POLLIN), revents: 0),
      pollfd(fd: ended, events: Int16(POLLIN), revents: 0),
      pollfd(fd: socket, events: 0, revents: 0),
    ]
    // Without inotify (its instances are used up) look again four times a second.
    var timeout: Int32 = notify < 0 ? 250 : -1
    if let until = query.until {
      let left = Int32(clamping: max(0, until.nanoseconds - Timestamp.now().nanoseconds) / 1_000_000 + 1)
      timeout = timeout < 0 ? left : min(timeout, left)
    }
    if poll(&entries, 3, timeout) < 0, errno != EINTR { return false }
    if entries[2].revents & Int16(POLLHUP | POLLERR | POLLNVAL) != 0 { return false }
    if entries[0].revents & Int16(POLLIN) != 0 {
      var scratch = [UInt8](repeating: 0, count: 4096)
      while read(notify, &scratch, scratch.count) > 0 {}
    }
    return true
  }

  private func send(_ bytes: UnsafeRawBufferPointer, to socket: Int32) -> Bool {
    var offset = 0
    while offset < bytes.count, let base = bytes.baseAddress {
      let count = Glibc.send(socket, base + offset, bytes.count - offset, Int32(MSG_NOSIGNAL))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return false }
      offset += count
    }
    return true
  }
}
