internal import Glibc

/// Signals that a command takes as events while it is attached, and their names on the wire.
enum SignalNumbers {
  /// Those passed on to the container (`--sig-proxy`), and the change of the window's size.
  static let watched: [Int32] = [
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH,
  ]

  /// The name without `SIG`, as `kill` takes it; the number where it has none here.
  static func name(_ number: Int32) -> String {
    switch number {
    case SIGHUP: "HUP"
    case SIGINT: "INT"
    case SIGQUIT: "QUIT"
    case SIGTERM: "TERM"
    case SIGUSR1: "USR1"
    case SIGUSR2: "USR2"
    case SIGALRM: "ALRM"
    case SIGCONT: "CONT"
    case SIGWINCH: "WINCH"
    default: String(number)
    }
  }
}
