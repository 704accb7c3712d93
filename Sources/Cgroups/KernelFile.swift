import Faults
import Glibc

/// Reads and writes of the kernel's small text files.
enum KernelFile {
  /// The whole text of the file at `path`; nil when it cannot be read.
  static func text(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    return text(of: descriptor)
  }

  /// The text from the current position of `descriptor` to the end; nil when reading fails.
  static func text(of descriptor: Int32) -> String? {
    var bytes: [UInt8] = []
    var capacity = 4096
    while true {
      var failed = false
      let old = bytes.count
      let chunk = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
        let got = read(descriptor, buffer.baseAddress, capacity)
        if got < 0 { failed = true }
        count = max(got, 0)
      }
      if failed && errno == EINTR { continue }
      if failed { return nil }
      if chunk.isEmpty { return String(decoding: bytes, as: UTF8.self) }
      bytes.append(contentsOf: chunk)
      if bytes.count - old == capacity { capacity = min(capacity * 2, 1 << 20) }
    }
  }

  /// Writes `value` in one write(2) to the existing file at `path`. Returns 0 or the errno.
  static func write(_ path: String, _ value: String) -> Int32 {
    let descriptor = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC)
    guard descriptor >= 0 else { return errno }
    defer { close(descriptor) }
    return write(value, to: descriptor)
  }

  /// Writes `value` in one write(2). Returns 0 or the errno.
  static func write(_ value: String, to descriptor: Int32) -> Int32 {
    var value = value
    return value.withUTF8 { bytes in
      while true {
        if Glibc.write(descriptor, bytes.baseAddress, bytes.count) >= 0 { return 0 }
        if errno != EINTR { return errno }
      }
    }
  }

  /// The names of the folders directly in `path`; empty when it cannot be listed.
  static func folders(in path: String) -> [String] {
    guard let stream = opendir(path) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      guard entry.pointee.d_type == UInt8(DT_DIR) else { continue }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  /// Whether `path` exists.
  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// The system's words for an errno.
  static func words(_ error: Int32) -> String { String(cString: strerror(error)) }

  /// Waits `microseconds` without a clock of its own: used between bounded retries only.
  static func pause(microseconds: UInt32) { usleep(microseconds) }

  /// The monotonic clock, in nanoseconds.
  static func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
