internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// A process of a container that the command waits for: signals go on to it, and a terminal to the caller's.
///
/// Made before the process, so that no signal is lost; the runtime gives the process signals as a new program has them.
final class Foreground {
  private let signals: SignalFD

  init() throws(Fault) {
    let real = (Int32(34)...64).map { $0 }
    do throws(Errno) {
      signals = try SignalFD(
        [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCHLD, SIGCONT, SIGWINCH] + real)
    } catch {
      throw Fault(.internal, "signals cannot be received", cause: ["\(error)"])
    }
    signal(SIGPIPE, SIG_IGN)
  }

  /// Waits for the child `pid` and returns its exit code, 128 and the signal when one ended it.
  ///
  /// - Parameters:
  ///   - master: its terminal's master, which is closed in the end; nil without a terminal.
  func wait(pid: Int32, master: Int32?) -> Int32 {
    let proxy = TerminalProxy(master: master ?? -1)
    defer { proxy.end() }
    var exit: Int32?
    while true {
      if let exit, proxy.isDone { return exit }
      proxy.poll(with: signals.descriptor.rawValue, hurry: exit != nil)
      while let number = nextSignal() {
        switch number {
        case SIGCHLD: exit = exit ?? ended(pid)
        case SIGWINCH where master != nil: proxy.resize()
        default: _ = kill(pid, number)
        }
      }
    }
  }

  private func nextSignal() -> Int32? {
    guard let next = try? signals.next() else { return nil }
    return next.signal
  }

  /// The exit code of the child, once it has ended.
  private func ended(_ pid: Int32) -> Int32? {
    do throws(Errno) {
      guard let child = try Children.wait(pid: pid, noHang: true) else { return nil }
      return child.exit.shellCode
    } catch {
      return 1  // somebody else has waited for it: its code is lost
    }
  }
}

/// Copies between the caller's standard streams and the master of the container's terminal.
private final class TerminalProxy {
  private let master: Int32
  private var saved: Terminal.State?
  private var typed: [UInt8] = []
  private var readsInput = true
  private(set) var isDone: Bool

  init(master: Int32) {
    self.master = master
    isDone = master < 0
    guard master >= 0 else { return }
    try? Descriptors.setNonBlocking(master, true)
    if Terminal.isTerminal(0) { saved = try? Terminal.makeRaw(0) }
    resize()
  }

  func resize() {
    if let size = try? Terminal.size(0) { try? Terminal.setSize(master, size) }
  }

  func end() {
    if let saved { try? Terminal.restore(0, saved) }
    Descriptors.close(master)
  }

  /// Waits until something can be done, and does it. With `hurry` only what is there already is copied, and then it is done.
  func poll(with signals: Int32, hurry: Bool) {
    let wanted = Int16(POLLIN) | (typed.isEmpty ? 0 : Int16(POLLOUT))
    var set = [
      pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
      pollfd(fd: isDone ? -1 : master, events: wanted, revents: 0),
      pollfd(fd: isDone || !readsInput || !typed.isEmpty ? -1 : 0, events: Int16(POLLIN), revents: 0),
    ]
    let count = Glibc.poll(&set, 3, hurry ? 0 : -1)
    if hurry && count <= 0 {
      isDone = true
      return
    }
    guard count > 0 else { return }
    if set[1].revents != 0 { copyOutput() }
    if !typed.isEmpty { type() }
    if set[2].revents != 0 { readInput() }
  }

  private func copyOutput() {
    var bytes = [UInt8](repeating: 0, count: 32768)
    let count = Glibc.read(master, &bytes, bytes.count)
    if count > 0 {
      _ = try? bytes[..<count].withUnsafeBytes { try Descriptors.writeAll(1, $0) }
    } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
      isDone = true  // EIO: the last user of the terminal has closed it
    }
  }

  private func readInput() {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(0, &bytes, bytes.count)
    if count > 0 {
      typed = Array(bytes[..<count])
      type()
    } else {
      readsInput = false
    }
  }

  private func type() {
    let count = Glibc.write(master, typed, typed.count)
    if count > 0 { typed.removeFirst(count) }
  }
}
