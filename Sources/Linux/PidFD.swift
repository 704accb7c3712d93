internal import CLinux
public import SystemPackage

/// How a process ended.
public enum ProcessExit: Sendable, Equatable {
  /// It called exit with this code (0 to 255).
  case exited(Int32)
  /// A signal ended it.
  case signalled(Int32, coreDumped: Bool)

  /// The code that a shell shows: the exit code, or 128 plus the signal.
  public var shellCode: Int32 {
    switch self {
    case .exited(let code): code
    case .signalled(let signal, _): 128 + signal
    }
  }
}

/// A process by a descriptor: unlike a pid it never becomes another process. Readable (epoll) when the process has ended.
public struct PidFD: ~Copyable, Sendable {
  /// The descriptor.
  public let descriptor: OwnedDescriptor

  /// Takes a pidfd that a clone returned.
  public init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Opens the process that has `pid` now.
  public init(pid: Int32) throws(Errno) {
    descriptor = OwnedDescriptor(try check(cl_pidfd_open(pid, 0)))
  }

  /// Sends a signal; `noSuchProcess` when it has ended and was waited for.
  public borrowing func signal(_ number: Int32) throws(Errno) {
    try check(cl_pidfd_send_signal(descriptor.rawValue, number))
  }

  /// Sends a signal by the number of a pidfd that somebody else owns.
  public static func signal(_ descriptor: Int32, _ number: Int32) throws(Errno) {
    try check(cl_pidfd_send_signal(descriptor, number))
  }

  /// Whether it has not ended yet (a zombie has).
  public borrowing func isAlive() -> Bool {
    var events: UInt32 = 0
    return (try? Polling.wait(descriptor.rawValue, for: .readable, milliseconds: 0, events: &events)) == false
  }

  /// Waits for a child and takes its exit status; nil with `noHang` when it still runs.
  public borrowing func wait(noHang: Bool = false, keep: Bool = false) throws(Errno) -> ProcessExit? {
    try Children.wait(idType: CL_P_PIDFD, id: descriptor.rawValue, noHang: noHang, keep: keep)?.exit
  }
}

/// Waiting for children.
public enum Children {
  /// The next child that has ended (any when `pid` is nil), its status taken. Nil with `noHang` when none has;
  /// `Errno.noChildProcess` when there is none at all.
  public static func wait(pid: Int32? = nil, noHang: Bool = false) throws(Errno) -> (pid: Int32, exit: ProcessExit)? {
    try wait(idType: pid == nil ? CL_P_ALL : CL_P_PID, id: pid ?? 0, noHang: noHang, keep: false)
  }

  static func wait(idType: Int32, id: Int32, noHang: Bool, keep: Bool) throws(Errno)
    -> (pid: Int32, exit: ProcessExit)?
  {
    var pid: Int32 = 0
    var signalled: Int32 = 0
    var status: Int32 = 0
    var dumped: Int32 = 0
    try check(cl_wait(idType, id, noHang ? 1 : 0, keep ? 1 : 0, &pid, &signalled, &status, &dumped))
    if pid == 0 { return nil }
    return (pid, signalled == 1 ? .signalled(status, coreDumped: dumped == 1) : .exited(status))
  }

  /// Orphans below this process become its children instead of init's.
  public static func becomeSubreaper() throws(Errno) {
    try check(cl_prctl(Int32(CL_PR_SET_CHILD_SUBREAPER), 1, 0, 0, 0))
  }
}
