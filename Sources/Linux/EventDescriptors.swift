internal import CLinux
internal import Glibc
public import SystemPackage

/// A counter to wait on: one side adds, the other reads and resets.
public struct EventFD: ~Copyable, Sendable {
  /// The descriptor, readable while the counter is not 0.
  public let descriptor: OwnedDescriptor

  /// A counter of 0.
  public init(nonBlocking: Bool = true) throws(Errno) {
    descriptor = OwnedDescriptor(try check(cl_eventfd(0, O_CLOEXEC | (nonBlocking ? O_NONBLOCK : 0))))
  }

  /// Adds `value`.
  public borrowing func add(_ value: UInt64 = 1) throws(Errno) {
    var value = value
    try withUnsafeBytes(of: &value) { bytes throws(Errno) in
      _ = try Descriptors.write(descriptor.rawValue, bytes)
    }
  }

  /// The counter, which becomes 0; nil when it is 0 already and does not wait.
  @discardableResult
  public borrowing func take() throws(Errno) -> UInt64? {
    var value: UInt64 = 0
    do {
      let count = try withUnsafeMutableBytes(of: &value) { bytes throws(Errno) in
        try Descriptors.read(descriptor.rawValue, into: bytes)
      }
      return count == 8 ? value : nil
    } catch Errno.wouldBlock {
      return nil
    }
  }
}

/// Signals as readable events. Only for a single-threaded process: the signals are blocked in the calling thread.
public struct SignalFD: ~Copyable, Sendable {
  /// The descriptor, readable while a signal is waiting.
  public let descriptor: OwnedDescriptor

  /// Blocks `signals` and receives them here.
  public init(_ signals: [Int32]) throws(Errno) {
    descriptor = OwnedDescriptor(try check(cl_signalfd(signals, Int32(signals.count))))
  }

  /// The next signal and its sender's pid; nil when there is none.
  public borrowing func next() throws(Errno) -> (signal: Int32, sender: Int32)? {
    var sender: UInt32 = 0
    do {
      return (try check(cl_signalfd_read(descriptor.rawValue, &sender)), Int32(bitPattern: sender))
    } catch Errno.wouldBlock {
      return nil
    }
  }
}
