import Glibc

// Rights go first, while there is one thread: threads inherit them and are not changed afterwards.
if let reason = Confinement.enter() {
  let text = "gantryd: \(reason)\n"
  _ = text.withCString { write(STDERR_FILENO, $0, strlen($0)) }
  exit(1)
}
await GatewayCommand.start()
