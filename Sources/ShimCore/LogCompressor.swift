internal import Glibc
internal import Linux
internal import SystemPackage

/// Compresses the rotated parts of a log, the oldest first, one at a time, in a child of its own: the container's output
/// never waits for it. Only the shim renames, so no rotation comes in between.
///
///     PATH.2 → (gantry-logger compress) → PATH.compressing → PATH.2.gz
final class LogCompressor {
  private enum Work {
    case idle
    /// Rotation may move the part on while it is read.
    case compressing(pid: Int32, part: Int)
  }

  private let file: RotatingLog
  private let program: String
  private var work = Work.idle
  private var temporary: String { file.path + ".compressing" }

  /// Compresses parts of `file` with `program`, gantry-logger.
  init(file: RotatingLog, program: String) {
    self.file = file
    self.program = program
    unlink(temporary)  // of a shim that was killed
  }

  /// Whether a part is being compressed.
  var isBusy: Bool { if case .compressing = work { true } else { false } }

  /// Every part has moved on by one.
  func rotated() {
    if case .compressing(let pid, let part) = work { work = .compressing(pid: pid, part: part + 1) }
    next()
  }

  /// Takes the end of a child; false when it is none of ours.
  func childEnded(_ pid: Int32, code: Int32) -> Bool {
    guard case .compressing(let ours, let part) = work, ours == pid else { return false }
    work = .idle
    if code == 0, access(file.part(part), F_OK) == 0 {
      rename(temporary, file.part(part) + ".gz")
      unlink(file.part(part))
      next()
    } else {
      unlink(temporary)
      if code == 0 {
        next()  // that part was so old that it went meanwhile
      } else {
        // It stays as it is, until the next rotation tries again.
        Diagnostics.say("\(file.part(part)) cannot be compressed: gantry-logger ended with \(code)")
      }
    }
    return true
  }

  private func next() {
    guard case .idle = work, let part = file.uncompressedParts.first else { return }
    do throws(Errno) {
      let input = try openat2(nil, file.part(part), [.readOnly, .noFollow])
      let output = try openat2(nil, temporary, [.writeOnly, .create, .truncate, .noFollow], mode: 0o640)
      let child = try SpawnRequest(
        .path(FilePath(program)), arguments: ["gantry-logger", "compress"],
        descriptors: [input.rawValue, output.rawValue, 2]
      ).spawn()
      work = .compressing(pid: child.pid, part: part)
    } catch {
      Diagnostics.say("\(file.part(part)) cannot be compressed: \(program): \(error)")
    }
  }
}
