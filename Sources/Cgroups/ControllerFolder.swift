import Faults
import Glibc

/// One container's folder in the tree of one controller: its files are the controller's settings and counters.
struct ControllerFolder: Sendable, Equatable {
  var controller: Controller
  var version: CgroupVersion
  /// The folder, such as `/sys/fs/cgroup/memory/gantry/ID`.
  var path: String

  /// Writes `value` to `file`. `hint` is a sentence that says what to do when the kernel refuses.
  func write(_ file: String, _ value: String, hint: String? = nil) throws(Fault) {
    let error = attempt(file, value)
    if error != 0 { throw refusal(file, value, error, hint: hint) }
  }

  /// Writes `value` to `file` and returns 0 or the errno.
  func attempt(_ file: String, _ value: String) -> Int32 { KernelFile.write("\(path)/\(file)", value) }

  /// Writes several values to `file`, each in a write(2) of its own, with one open.
  func write(_ file: String, each values: [String]) throws(Fault) {
    guard !values.isEmpty else { return }
    let descriptor = open("\(path)/\(file)", O_WRONLY | O_TRUNC | O_CLOEXEC)
    guard descriptor >= 0 else { throw refusal(file, values[0], errno, hint: nil) }
    defer { close(descriptor) }
    for value in values {
      let error = KernelFile.write(value + "\n", to: descriptor)
      if error != 0 { throw refusal(file, value, error, hint: nil) }
    }
  }

  /// The text of `file` without the final newline; nil when the kernel has no such file.
  func read(_ file: String) -> String? {
    guard var text = KernelFile.text("\(path)/\(file)") else { return nil }
    if text.hasSuffix("\n") { text.removeLast() }
    return text
  }

  /// The number in `file`; nil when there is none, or it is `max`.
  func number(_ file: String) -> UInt64? { read(file).flatMap { UInt64($0) } }

  /// The lines `name number` of `file`, such as memory.stat.
  func table(_ file: String) -> [String: UInt64] {
    var result: [String: UInt64] = [:]
    for line in (read(file) ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ")
      if fields.count == 2, let value = UInt64(fields[1]) { result[String(fields[0])] = value }
    }
    return result
  }

  /// Whether the kernel offers `file` in this folder.
  func has(_ file: String) -> Bool { KernelFile.exists("\(path)/\(file)") }

  /// What to throw when the kernel refused `value` in `file` with `error`.
  func refusal(_ file: String, _ value: String, _ error: Int32, hint: String?) -> Fault {
    let code: FaultCode =
      switch error {
      case EINVAL, ERANGE, EDOM: .invalidArgument
      case EBUSY: .conflict
      case EPERM, EACCES: .permissionDenied
      case ENOENT, ENODEV, EOPNOTSUPP: .unsupported
      case ENOSPC: .noSpace
      default: .internal
      }
    var text = "\(controller.rawValue): the kernel refused \"\(value)\" in \(path)/\(file): \(KernelFile.words(error))"
    if let hint {
      text += "; \(hint)"
    } else if error == ENOENT {
      text += "; this kernel does not offer that setting"
    }
    return Fault(code, text)
  }

  /// What to throw for a setting that this version of cgroups does not have.
  func unsupported(_ setting: String) -> Fault {
    Fault(
      .unsupported, "\(controller.rawValue): cgroup v\(version.rawValue) has no setting for \(setting); leave it out")
  }
}
