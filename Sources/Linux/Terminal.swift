internal import CLinux
internal import Glibc
public import SystemPackage

/// Rows and columns of a terminal.
public struct TerminalSize: Sendable, Equatable {
  /// Lines.
  public var rows: UInt16
  /// Characters a line.
  public var columns: UInt16
  /// Takes both.
  public init(rows: UInt16, columns: UInt16) {
    self.rows = rows
    self.columns = columns
  }
}

/// Terminals and pseudo terminals.
public enum Terminal {
  /// A terminal's settings, to be put back.
  public struct State: Sendable {
    fileprivate var bytes: [UInt8]
  }

  /// Whether `descriptor` is a terminal.
  public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// A new pseudo terminal: the master, and the terminal that programs get. `ptmx` names which devpts it is of.
  public static func open(ptmx: String = "/dev/ptmx") throws(Errno) -> PseudoTerminal {
    let master = try openat2(nil, ptmx, [.readWrite, .noControllingTerminal])
    return try open(master: master)
  }

  /// A new pseudo terminal of an open `ptmx`.
  public static func open(master: consuming OwnedDescriptor) throws(Errno) -> PseudoTerminal {
    try check(cl_tty_unlock(master.rawValue))
    // TIOCGPTPEER opens the terminal without a path: nothing can be swapped under it (CVE-2025-52565).
    let terminal = OwnedDescriptor(try check(cl_tty_peer(master.rawValue, O_RDWR | O_NOCTTY | O_CLOEXEC)))
    return PseudoTerminal(master: master, terminal: terminal)
  }

  /// The N of `/dev/pts/N`.
  public static func number(master: Int32) throws(Errno) -> Int32 { try check(cl_tty_number(master)) }

  /// The size of the window.
  public static func size(_ descriptor: Int32) throws(Errno) -> TerminalSize {
    var size = TerminalSize(rows: 0, columns: 0)
    try check(cl_tty_get_size(descriptor, &size.rows, &size.columns))
    return size
  }

  /// Sets the size of the window; its foreground processes get SIGWINCH.
  public static func setSize(_ descriptor: Int32, _ size: TerminalSize) throws(Errno) {
    try check(cl_tty_set_size(descriptor, size.rows, size.columns))
  }

  /// Raw mode: every byte goes through as it is. Returns what to restore.
  public static func makeRaw(_ descriptor: Int32) throws(Errno) -> State {
    var bytes = [UInt8](repeating: 0, count: 64)
    try check(cl_tty_raw(descriptor, &bytes))
    return State(bytes: bytes)
  }

  /// Puts back what `makeRaw` changed.
  public static func restore(_ descriptor: Int32, _ state: State) throws(Errno) {
    try check(cl_tty_restore(descriptor, state.bytes))
  }

  /// Makes it the controlling terminal of the caller, which must lead a session.
  public static func makeControlling(_ descriptor: Int32) throws(Errno) {
    try check(cl_tty_make_controlling(descriptor))
  }

  /// Makes `group` the foreground process group.
  public static func setForeground(_ descriptor: Int32, group: Int32) throws(Errno) {
    try check(cl_tty_set_foreground(descriptor, group))
  }
}

/// Both sides of a pseudo terminal.
@frozen public struct PseudoTerminal: ~Copyable {
  /// The side that shows: what is read from it is output, what is written to it is typed.
  public var master: OwnedDescriptor
  /// The side that programs have as 0, 1 and 2.
  public var terminal: OwnedDescriptor

  init(master: consuming OwnedDescriptor, terminal: consuming OwnedDescriptor) {
    self.master = master
    self.terminal = terminal
  }
}
