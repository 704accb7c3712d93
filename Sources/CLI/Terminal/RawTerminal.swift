internal import Glibc
internal import Linux

/// The terminal of standard input in raw mode, put back as it was on every way out of the process.
///
/// `exit` runs the handler that `enter` registers; the signals that would end the process are taken as events meanwhile.
enum RawTerminal {
  // Only the main thread of this single-threaded program uses it; the exit handler runs there too.
  nonisolated(unsafe) private static var saved: Terminal.State?
  nonisolated(unsafe) private static var registered = false

  /// Switches to raw mode; nothing happens where standard input is not a terminal.
  static func enter() {
    guard saved == nil, Terminal.isTerminal(STDIN_FILENO), let state = try? Terminal.makeRaw(STDIN_FILENO) else {
      return
    }
    saved = state
    // A reader of our output that goes away must not end the process before the terminal is put back.
    signal(SIGPIPE, SIG_IGN)
    if !registered {
      registered = true
      atexit { RawTerminal.leave() }
    }
  }

  /// Puts the terminal back.
  static func leave() {
    guard let state = saved else { return }
    saved = nil
    try? Terminal.restore(STDIN_FILENO, state)
  }
}
