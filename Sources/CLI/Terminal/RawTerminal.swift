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
  ///
  /// - Returns: what was typed before, ctrl-D as its byte: in raw mode the kernel would make a NUL of it.
  static func enter() -> [UInt8] {
    guard saved == nil, Terminal.isTerminal(STDIN_FILENO) else { return [] }
    let typed = typedAhead()
    guard let state = try? Terminal.makeRaw(STDIN_FILENO) else { return typed }
    saved = state
    // A reader of our output that goes away must not end the process before the terminal is put back.
    signal(SIGPIPE, SIG_IGN)
    if !registered {
      registered = true
      atexit { RawTerminal.leave() }
    }
    return typed
  }

  /// The whole lines, and ends of input, that wait in a terminal which still edits lines.
  private static func typedAhead() -> [UInt8] {
    var settings = termios()
    guard tcgetattr(STDIN_FILENO, &settings) == 0, settings.c_lflag & tcflag_t(ICANON) != 0 else { return [] }
    var typed: [UInt8] = []
    var line = [UInt8](repeating: 0, count: 4096)
    var ready = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    while typed.count < 1 << 16, poll(&ready, 1, 0) == 1, ready.revents & Int16(POLLHUP | POLLERR) == 0 {
      let count = read(STDIN_FILENO, &line, line.count)
      if count < 0 { break }
      typed += count == 0 ? [4] : Array(line[..<count])
    }
    return typed
  }

  /// Puts the terminal back.
  static func leave() {
    guard let state = saved else { return }
    saved = nil
    try? Terminal.restore(STDIN_FILENO, state)
  }
}
