internal import CLinux
internal import Glibc
public import SystemPackage

/// What a descriptor is ready for, or watched for.
public struct EpollEvents: OptionSet, Sendable {
  /// The kernel's `EPOLL*` bits.
  public let rawValue: UInt32
  /// Takes the kernel's bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// There is something to read, or the end of input.
  public static let readable = EpollEvents(rawValue: 0x001)
  /// Exceptional data (cgroup `memory.events` and other `POLLPRI` files).
  public static let priority = EpollEvents(rawValue: 0x002)
  /// A write would take something.
  public static let writable = EpollEvents(rawValue: 0x004)
  /// An error; always reported.
  public static let error = EpollEvents(rawValue: 0x008)
  /// Both directions ended; always reported.
  public static let hangUp = EpollEvents(rawValue: 0x010)
  /// Reported once, until changed again.
  public static let oneShot = EpollEvents(rawValue: 1 << 30)
}

/// A set of watched descriptors, each with a number that the caller chose.
public struct Epoll: ~Copyable, Sendable {
  /// One ready descriptor.
  public struct Ready: Sendable {
    /// What for.
    public var events: EpollEvents
    /// The number given when it was added.
    public var token: UInt64
  }

  /// The descriptor of the set itself.
  public let descriptor: OwnedDescriptor

  /// An empty set.
  public init() throws(Errno) { descriptor = OwnedDescriptor(try check(cl_epoll_create())) }

  /// Watches `watched`; `token` comes back with its events.
  public borrowing func add(_ watched: Int32, _ events: EpollEvents, token: UInt64) throws(Errno) {
    try check(cl_epoll_ctl(descriptor.rawValue, 1, watched, events.rawValue, token))
  }

  /// Changes what a watched descriptor is watched for.
  public borrowing func change(_ watched: Int32, _ events: EpollEvents, token: UInt64) throws(Errno) {
    try check(cl_epoll_ctl(descriptor.rawValue, 3, watched, events.rawValue, token))
  }

  /// Stops watching. Do it before the descriptor is closed.
  public borrowing func remove(_ watched: Int32) throws(Errno) {
    try check(cl_epoll_ctl(descriptor.rawValue, 2, watched, 0, 0))
  }

  /// Calls `body` for every ready descriptor (at most 64 a call); `milliseconds` nil waits without end. Returns how many.
  @discardableResult
  public borrowing func wait(milliseconds: Int32? = nil, _ body: (Ready) -> Void) throws(Errno) -> Int {
    try withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 64) { tokens throws(Errno) in
      try withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { events throws(Errno) in
        let count = cl_epoll_wait(
          descriptor.rawValue, events.baseAddress, tokens.baseAddress, 64, milliseconds ?? -1)
        if count == -EINTR { return 0 }
        try check(count)
        for index in 0..<Int(count) {
          body(Ready(events: EpollEvents(rawValue: events[index]), token: tokens[index]))
        }
        return Int(count)
      }
    }
  }
}

/// Waiting on one descriptor.
public enum Polling {
  /// Waits until `descriptor` is ready for `wanted` (errors and hang-up count); false when the time is over first.
  public static func wait(
    _ descriptor: Int32, for wanted: EpollEvents, milliseconds: Int32?, events: inout UInt32
  ) throws(Errno) -> Bool {
    var poll = pollfd(fd: descriptor, events: Int16(truncatingIfNeeded: wanted.rawValue), revents: 0)
    while true {
      let count = Glibc.poll(&poll, 1, milliseconds ?? -1)
      if count > 0 {
        events = UInt32(UInt16(bitPattern: poll.revents))
        return true
      }
      if count == 0 { return false }
      if errno != EINTR { throw Errno(rawValue: errno) }
    }
  }
}
