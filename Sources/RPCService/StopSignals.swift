internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// What the signal handler writes to. Unsafe but right: written once, before the handler is installed.
nonisolated(unsafe) private var stopSignalPipe: Int32 = -1

/// Waits for SIGTERM or SIGINT, and hears SIGHUP, without blocking a signal: what a service starts inherits nothing of it.
enum StopSignals {
  /// From now on the signals wake `wait` instead of killing the service.
  ///
  /// - Returns: what to read from.
  static func install() throws(Fault) -> Int32 {
    let reader: Int32
    do throws(Errno) {
      let pipe = try Descriptors.pipe()
      reader = try pipe.read.duplicate().take()
      stopSignalPipe = try pipe.write.duplicate().take()
    } catch {
      throw Fault(.internal, "cannot wait for signals", cause: ["\(error)"])
    }
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { signal in
      var byte = UInt8(truncatingIfNeeded: signal)
      let saved = errno
      _ = write(stopSignalPipe, &byte, 1)
      errno = saved
    }
    action.sa_flags = Int32(SA_RESTART)
    sigaction(SIGTERM, &action, nil)
    sigaction(SIGINT, &action, nil)
    sigaction(SIGHUP, &action, nil)
    return reader
  }

  /// Returns when the service has to stop; until then calls `onReload` for each SIGHUP.
  static func wait(_ reader: Int32, onReload: @escaping @Sendable () -> Void) async {
    await withCheckedContinuation { continuation in
      let started = DetachedThread.start {
        var byte: UInt8 = 0
        while true {
          let count = read(reader, &byte, 1)
          if count < 0, errno == EINTR { continue }
          guard count == 1, Int32(byte) == SIGHUP else { break }
          onReload()
        }
        continuation.resume()
      }
      if !started { continuation.resume() }
    }
  }
}
