internal import Glibc

/// The writing end of a process's standard input: a pipe, or a terminal's master.
///
/// Takes what fits without waiting and keeps the rest; `onRoom` says when all of it is gone, `isFull` that more should wait.
final class ProcessInput {
  private let fd: Int32
  private let terminal: Bool
  private unowned let loop: EventLoop
  private var queue = ByteQueue()
  private var closing = false
  private(set) var isOpen = true
  var onRoom: () -> Void = {}

  /// Takes over `fd`, which must not block.
  init(fd: Int32, terminal: Bool, loop: EventLoop) {
    self.fd = fd
    self.terminal = terminal
    self.loop = loop
  }

  var isFull: Bool { !queue.isEmpty }

  /// The writing end while it is open.
  var openDescriptor: Int32? { isOpen ? fd : nil }

  func write(_ bytes: UnsafeRawBufferPointer) {
    guard isOpen, !closing else { return }
    queue.append(bytes)
    drain()
  }

  /// Ends the process's input once it has taken everything. A terminal has no end of input but what is typed (ctrl-d).
  func finish() {
    guard isOpen, !terminal else { return }
    closing = true
    drain()
  }

  func close() {
    guard isOpen else { return }
    isOpen = false
    loop.forget(fd)
    Glibc.close(fd)
    queue.removeAll()
  }

  private func drain() {
    let wasFull = watching
    guard queue.drain(to: fd) == 0 else {  // nobody reads any more: what comes is taken and dropped
      close()
      onRoom()
      return
    }
    if queue.isEmpty {
      if closing { return close() }
      if wasFull {
        watching = false
        loop.forget(fd)
        onRoom()
      }
    } else if !watching {
      watching = true
      loop.watch(fd, .write) { [self] _ in drain() }
    }
  }

  private var watching = false
}
