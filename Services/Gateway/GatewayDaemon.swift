import Glibc

/// The process `gantryd`.
public enum GatewayDaemon {
  /// Gives up rights; to be called while the process has one thread. Returns the service, which runs until SIGTERM.
  public static func prepare() -> @Sendable () async -> Void {
    if let reason = Confinement.enter() {
      let text = "gantryd: \(reason)\n"
      _ = text.withCString { write(STDERR_FILENO, $0, strlen($0)) }
      exit(1)
    }
    return { await GatewayCommand.start() }
  }
}
