internal import Glibc
internal import Linux

/// Questions to a person at the terminal.
enum Prompt {
  private static let answerLimit = 64 << 10

  /// Asks on standard error and reads one line; with `isSecret` nothing of it is shown.
  static func ask(_ question: String, isSecret: Bool = false) throws -> String {
    Output.note(question)
    guard isSecret else { return try line() }
    var settings = termios()
    guard tcgetattr(STDIN_FILENO, &settings) == 0 else {
      throw CommandFailure("the terminal cannot be kept from showing the password: use --password-stdin")
    }
    let shown = settings
    settings.c_lflag &= ~tcflag_t(ECHO)
    // A signal that ends the process would leave the terminal mute: they wait until the answer is there.
    let signals = try SignalFD([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
    guard tcsetattr(STDIN_FILENO, TCSAFLUSH, &settings) == 0 else {
      throw CommandFailure("the terminal cannot be kept from showing the password: use --password-stdin")
    }
    defer {
      var shown = shown
      Self.unblock([SIGINT, SIGTERM, SIGHUP, SIGQUIT])
      tcsetattr(STDIN_FILENO, TCSANOW, &shown)
      Output.note("\n")
    }
    return try line(signals.descriptor.rawValue)
  }

  private static func unblock(_ signals: [Int32]) {
    var set = sigset_t()
    sigemptyset(&set)
    for signal in signals { sigaddset(&set, signal) }
    sigprocmask(SIG_UNBLOCK, &set, nil)
  }

  /// One line of standard input, without its end. Where `interrupt` becomes readable first the command ends.
  private static func line(_ interrupt: Int32 = -1) throws -> String {
    var bytes: [UInt8] = []
    while bytes.count < answerLimit {
      var fds = [
        pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
        pollfd(fd: interrupt, events: Int16(POLLIN), revents: 0),
      ]
      poll(&fds, 2, -1)
      if fds[1].revents != 0 { throw CommandFailure("", code: 130) }
      var byte: UInt8 = 0
      let count = read(STDIN_FILENO, &byte, 1)
      if count < 0, errno == EINTR { continue }
      guard count == 1 else {
        if bytes.isEmpty { throw CommandFailure("no answer came: the input ended") }
        break
      }
      if byte == UInt8(ascii: "\n") { break }
      bytes.append(byte)
    }
    if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }
}
