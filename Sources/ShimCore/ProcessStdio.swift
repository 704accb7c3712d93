internal import Glibc
internal import Linux
internal import Protocol

/// Standard input, output and error of one process (init or exec): from its pipes or terminal to the log and every
/// attached client, and from the clients back.
///
/// Reading stops while it is held (a client was promised the output from its first byte) and while the primary client is
/// congested; nothing else holds the process up. After the process's end (`processExited`) what it wrote is read to the
/// last byte: children that still have its output open are not waited for.
final class ProcessStdio {
  /// One output: stream 1 is stdout or the terminal, 2 is stderr.
  private struct Output {
    let stream: UInt8
    let fd: Int32
    var open = true
    var watched = false
    /// Its pipe has been made as large as one read.
    var widened = false
  }

  let terminal: Bool
  private unowned let loop: EventLoop
  private let scratch: ScratchBuffer
  private let log: ContainerLog?
  private var outputs: [Output] = []
  private let input: ProcessInput?
  private var clients: [StreamClient] = []
  private var held: Bool
  private var holdTimer: Int?
  private var exited = false
  private var exitRecorded = false
  /// Whether a log whose delivery is behind holds the output back.
  private var waitsForLog = true
  private var pacer = ReadPacer()

  /// All output has been read, logged and handed to clients (which may still be taking it).
  var onFinished: () -> Void = {}
  /// The client that was promised the output is gone. Also called when the process's end closes its connection.
  var onPrimaryGone: () -> Void = {}

  /// Takes over the descriptors of the shim's side. On a terminal `stdout` is the master and `stdin` a duplicate of it.
  init(
    stdin: Int32?, stdout: Int32?, stderr: Int32?, terminal: Bool, log: ContainerLog?, held: Bool,
    loop: EventLoop, scratch: ScratchBuffer
  ) {
    self.terminal = terminal
    self.loop = loop
    self.scratch = scratch
    self.log = log
    self.held = held
    for fd in [stdin, stdout, stderr].compactMap({ $0 }) { Self.makeNonBlocking(fd) }
    input = stdin.map { ProcessInput(fd: $0, terminal: terminal, loop: loop) }
    if let stdout { outputs.append(Output(stream: 1, fd: stdout)) }
    if let stderr { outputs.append(Output(stream: 2, fd: stderr)) }
    input?.onRoom = { [unowned self] in for client in clients { client.setInputWanted(true) } }
  }

  /// Whether every output has ended.
  var isFinished: Bool { !outputs.contains { $0.open } }
  /// Whether a client is still attached.
  var hasClients: Bool { !clients.isEmpty }

  /// Begins to read, unless held. Call once.
  func begin() { updateReading() }

  /// Reads on although the client that was promised has not come.
  func releaseHold() {
    guard held else { return }
    endHold()
    resumeReading()
  }

  /// The same, so many milliseconds from now.
  func releaseHold(afterMilliseconds milliseconds: Int) {
    guard held else { return }
    holdTimer = loop.after(milliseconds: milliseconds) { [unowned self] in releaseHold() }
  }

  /// An abandoned process keeps no timer, and no timer keeps it.
  private func endHold() {
    held = false
    if let holdTimer { loop.cancel(holdTimer) }
    holdTimer = nil
  }

  /// Attaches the connected socket `fd`; the first client ends a hold.
  func attach(fd: Int32, selection: AttachStreams, primary: Bool) {
    Self.makeNonBlocking(fd)
    let client = StreamClient(fd: fd, selection: selection, primary: primary, raw: terminal, loop: loop)
    client.onInput = { [unowned self] client, bytes in
      guard let input else { return }
      input.write(bytes)
      if input.isFull { for client in clients { client.setInputWanted(false) } }
    }
    client.onInputEnd = { [unowned self] _ in input?.finish() }
    client.onDrained = { [unowned self] _ in resumeReading() }
    if primary { client.onGone = { [unowned self] in onPrimaryGone() } }
    client.onClosed = { [unowned self] client in
      if primary { onPrimaryGone() }
      clients.removeAll { $0 === client }
      resumeReading()
      onClientGone()
    }
    clients.append(client)
    client.begin()
    if input?.isFull ?? false { client.setInputWanted(false) }
    if isFinished && exitRecorded { client.end() }
    releaseHold()
  }

  /// A client's connection has ended.
  var onClientGone: () -> Void = {}

  /// Ends the process's input as if the client had closed its half.
  func closeInput() { input?.finish() }

  /// The names of its pipes in /proc, which are the same at both ends; nil for what is closed or was never there.
  var pipeNames: (input: String?, output: String?, error: String?) {
    func name(_ fd: Int32?) -> String? { fd.flatMap { try? Files.readLink("/proc/self/fd/\($0)") } }
    func output(_ stream: UInt8) -> String? { name(outputs.first { $0.stream == stream && $0.open }?.fd) }
    return (name(input?.openDescriptor), output(1), output(2))
  }

  /// Sets the terminal's size in characters; false when there is no terminal.
  func resize(width: UInt16, height: UInt16) -> Bool {
    guard terminal, let output = outputs.first, output.open else { return false }
    var size = winsize(ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0)
    return ioctl(output.fd, UInt(TIOCSWINSZ), &size) == 0
  }

  /// The process's exit has been written down: clients may see the end of their streams now.
  func exitWasRecorded() {
    exitRecorded = true
    if isFinished { for client in clients { client.end() } }
  }

  /// The process has ended: reads what it wrote to the last byte, then finishes. A log whose delivery is behind gets some
  /// time to catch up with what the pipes still hold.
  func processExited() {
    exited = true
    input?.close()
    resumeReading()
    guard !isFinished, log?.isCongested ?? false else { return }
    loop.after(milliseconds: Self.patienceAfterEnd) { [weak self] in
      self?.waitsForLog = false
      self?.resumeReading()
    }
  }

  /// Stops everything: drops clients, reads what is there into the log, closes.
  func shutDown() {
    endHold()
    exited = true
    waitsForLog = false
    for client in clients { client.close() }
    input?.close()
    for index in outputs.indices { readAll(index) }
  }

  private var isCongested: Bool {
    clients.contains { $0.isCongested } || (waitsForLog && log?.isCongested ?? false)
  }

  /// The delivery of the log may have caught up.
  func logMayHaveRoom() { resumeReading() }

  private func updateReading() {
    let reading = !held && !isCongested
    for index in outputs.indices where outputs[index].open && outputs[index].watched != reading {
      outputs[index].watched = reading
      let fd = outputs[index].fd
      // Forgotten, not changed to nothing: a pipe without writers reports a hang-up for ever.
      if reading { loop.watch(fd, .read) { [unowned self] _ in readOnce(index) } } else { loop.forget(fd) }
    }
  }

  /// Reads again where nothing holds it back. After the process's end everything there is, at once: a child that still has
  /// the output open would never report an end.
  private func resumeReading() {
    updateReading()
    if exited && !held { for index in outputs.indices { readAll(index) } }
  }

  private func readOnce(_ index: Int) {
    if !terminal && !exited { pacer.pause() }
    _ = read(index)
    if exited { readAll(index) }
  }

  private func readAll(_ index: Int) {
    while outputs[index].open && !isCongested && read(index) {}
  }

  /// Reads once; false when there was nothing to read.
  private func read(_ index: Int) -> Bool {
    guard outputs[index].open else { return false }
    let output = outputs[index]
    let count = Glibc.read(output.fd, scratch.base, min(ScratchBuffer.size, log?.readable ?? .max))
    if count > 0 {
      let bytes = UnsafeRawBufferPointer(start: scratch.base, count: count)
      scratch.used(count)
      pacer.didRead(count, ofRoom: output.widened ? ScratchBuffer.size : Self.usualPipe)
      if count >= Self.usualPipe / 2, !output.widened { widen(index) }
      log?.append(output.stream, bytes, time: .now())
      for client in clients { client.send(output.stream, bytes) }
      if isCongested { updateReading() }
      return true
    }
    let error = errno
    if count < 0 && error == EINTR { return true }
    if count < 0 && error == EAGAIN && !exited { return false }
    end(index)  // end of file; EIO from a terminal that nobody has open; nothing left after the process's end
    return false
  }

  /// A process that fills its pipe gets a larger one: fewer turns between it and us. Where the kernel refuses (its bound for
  /// all pipes of a user), the pipe stays as it is.
  private func widen(_ index: Int) {
    outputs[index].widened = true
    _ = fcntl(outputs[index].fd, Self.setPipeSize, Int32(ScratchBuffer.size))
  }

  /// Milliseconds after the process's end for which a log's delivery may hold back what the pipes still have.
  private static let patienceAfterEnd = 10_000
  private static let usualPipe = 65_536
  /// F_SETPIPE_SZ (linux/fcntl.h), a macro that Swift does not see.
  private static let setPipeSize: Int32 = 1031

  private func end(_ index: Int) {
    let output = outputs[index]
    outputs[index].open = false
    loop.forget(output.fd)
    close(output.fd)
    log?.finish(output.stream)
    log?.flush()
    guard isFinished else { return }
    if exitRecorded { for client in clients { client.end() } }
    onFinished()
  }

  private static func makeNonBlocking(_ fd: Int32) { _ = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) }
}

/// What every output is read into: 256 kB of pages that exist only while there is output.
final class ScratchBuffer {
  static let size = 262_144
  let base: UnsafeMutableRawPointer
  private var dirtied = 0

  init() {
    let memory = mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    if let memory, memory != MAP_FAILED {
      base = memory
    } else {
      base = UnsafeMutableRawPointer.allocate(byteCount: Self.size, alignment: 4096)
    }
  }

  deinit { munmap(base, Self.size) }

  func used(_ count: Int) { dirtied = max(dirtied, count) }

  var isDirty: Bool { dirtied > 0 }

  func releaseIdleMemory() {
    guard dirtied > 0 else { return }
    madvise(base, Self.size, MADV_DONTNEED)
    dirtied = 0
  }
}

/// Lets a pipe fill while a process writes many small pieces in a row: one wake-up then carries hundreds of lines. A
/// process that fills its pipe meanwhile is not kept waiting: the pause shrinks to what it needs for about half of it.
struct ReadPacer {
  private var last = 0
  private var streak = 0
  private var pauseNanoseconds = longestPause

  /// Small reads this close together (nanoseconds) are a burst.
  private static let burstGap = 100_000
  private static let burstLength = 32
  private static let longestPause = 200_000
  /// A shorter pause costs more than it saves.
  private static let shortestPause = 20_000

  /// Takes note of a read of `count` bytes from a pipe that holds `room`.
  mutating func didRead(_ count: Int, ofRoom room: Int) {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let now = time.tv_sec * 1_000_000_000 + time.tv_nsec
    let gap = now - last
    last = now
    if count < room / 2 && gap < Self.burstGap + (streak > Self.burstLength ? 2 * pauseNanoseconds : 0) {
      streak += 1
    } else if count < room / 2 || gap > 1_000_000 {
      streak = 0
    }
    if count > room / 4 * 3 {
      pauseNanoseconds /= 2
    } else if count < room / 4 {
      pauseNanoseconds = min(max(pauseNanoseconds, Self.shortestPause) * 2, Self.longestPause)
    }
  }

  mutating func pause() {
    guard streak > Self.burstLength, pauseNanoseconds >= Self.shortestPause else { return }
    var time = timespec(tv_sec: 0, tv_nsec: pauseNanoseconds)
    nanosleep(&time, nil)
  }
}
