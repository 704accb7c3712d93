internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import Runtime
internal import SystemPackage

/// A program in the container as a probe: healthy when it exits with 0.
///
/// Its output goes through one pipe, whose first 4096 bytes are kept. A short probe is read when its end is seen; only one
/// that takes longer is watched, so that it cannot fill the pipe and hang.
final class ProcessProbe: RunningProbe {
  /// Milliseconds after which the pipe is watched.
  private static let patience = 200

  private unowned let loop: EventLoop
  let pid: Int32?
  private let pipe: Int32
  private let done: Done
  private var watch: Int?
  private var isOpen = true
  private(set) var output: [UInt8] = []

  /// Runs `process` through `start`, which is given its input, output and error.
  init(
    loop: EventLoop, _ start: (ProcessIO) throws(Fault) -> ContainerProcess, done: @escaping Done
  ) throws(Fault) {
    self.loop = loop
    self.done = done
    let null = try Self.opened { () throws(Errno) in try openat2(nil, "/dev/null", .readOnly) }
    let ends = try Self.opened { () throws(Errno) in try Descriptors.pipe() }
    _ = fcntl(ends.read.rawValue, F_SETFL, O_NONBLOCK)
    let child = try start(
      .descriptors(input: null.rawValue, output: ends.write.rawValue, error: ends.write.rawValue))
    pid = child.pid
    pipe = ends.read.take()
    watch = loop.after(milliseconds: Self.patience) { [unowned self] in
      watch = nil
      loop.watch(pipe, .read) { [unowned self] _ in self.read() }
    }
  }

  deinit { close() }

  private static func opened<Result: ~Copyable>(_ body: () throws(Errno) -> Result) throws(Fault) -> Result {
    do throws(Errno) {
      return try body()
    } catch {
      throw Fault(.limitExceeded, "no pipe can be made for the health check's output", cause: ["\(error)"])
    }
  }

  func cancel() {
    // The leader of a session of its own: what it has started goes with it.
    if let pid {
      kill(-pid, SIGKILL)
      kill(pid, SIGKILL)
    }
    read()
    close()
  }

  func childEnded(_ pid: Int32, _ exit: ProcessExit) -> Bool {
    guard pid == self.pid else { return false }
    read()
    close()
    done(Int32(exit.shellCode), output)
    return true
  }

  /// Keeps what there is room for and drops the rest.
  private func read() {
    withUnsafeTemporaryAllocation(byteCount: ProbeResult.mostOutput, alignment: 16) { buffer in
      // Bounded: a probe that writes without end comes back to the loop.
      for _ in 0..<16 where isOpen {
        let count = Glibc.read(pipe, buffer.baseAddress, buffer.count)
        guard count > 0 else {
          if count == 0 { close() }
          return
        }
        output += buffer[..<min(count, ProbeResult.mostOutput - output.count)]
      }
    }
  }

  private func close() {
    if let watch { loop.cancel(watch) }
    watch = nil
    guard isOpen else { return }
    isOpen = false
    loop.forget(pipe)
    Glibc.close(pipe)
  }
}
