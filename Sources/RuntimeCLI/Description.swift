internal import Faults
internal import FoundationEssentials
internal import Linux
internal import OCI
internal import QuickJSON
internal import Runtime
internal import SystemPackage

/// A container's `config.json`.
///
/// The section about system calls is most of it, and is needed only when no compiled filter of it is kept: it stays text.
struct Description {
  var spec: RuntimeSpec
  /// The file.
  let bytes: [UInt8]
  /// The text of `linux.seccomp`, if it has one.
  let seccomp: [UInt8]?

  init(file: FilePath) throws(Fault) {
    let bytes: [UInt8]
    do throws(Errno) {
      bytes = try Files.read(file.string, limit: 16 << 20)
    } catch {
      throw Fault(
        error == .noSuchFileOrDirectory ? .notFound : .invalidArgument, "the description \(file) cannot be read",
        cause: ["\(error)"])
    }
    self.bytes = bytes
    if let (spec, range) = try? QuickDecoder.decode(
      RuntimeSpec.self, from: bytes, leavingOut: ["linux", "seccomp"])
    {
      self.spec = spec
      // A section that is null is none.
      seccomp = range.map { Array(bytes[$0]) }.flatMap { $0.starts(with: Array("null".utf8)) ? nil : $0 }
    } else {
      do {
        spec = try JSONDecoder().decode(RuntimeSpec.self, from: Data(bytes))
        seccomp = try spec.linux?.seccomp.map { section in
          let encoder = JSONEncoder()
          encoder.outputFormatting = .sortedKeys
          return try Array(encoder.encode(section))
        }
      } catch {
        throw Fault(.invalidArgument, "the description \(file) is not valid", cause: ["\(error)"])
      }
    }
    guard spec.ociVersion.hasPrefix("1.") else {
      throw Fault(
        .unsupported, "\(file) is of version \"\(spec.ociVersion)\" of the runtime specification: 1.x is supported")
    }
  }

  /// The section about system calls, read.
  func seccompSection() throws(Fault) -> RuntimeSpec.Seccomp? {
    guard let seccomp else { return nil }
    if let section = try? QuickDecoder.decode(RuntimeSpec.Seccomp.self, from: seccomp) { return section }
    do {
      return try JSONDecoder().decode(RuntimeSpec.Seccomp.self, from: Data(seccomp))
    } catch {
      throw Fault(.invalidArgument, "linux.seccomp of the description is not valid", cause: ["\(error)"])
    }
  }

  /// The description with the part of its system call section that a filter's supervisor is told, when it has one.
  mutating func completeSupervisor(filterFlags: UInt32) throws(Fault) {
    guard filterFlags & 8 != 0 else { return }
    let section = try seccompSection()
    spec.linux?.seccomp = section
  }
}

/// A process's description in a file of its own (`exec --process`).
enum ProcessFile {
  static func read(_ path: String) throws(Fault) -> RuntimeSpec.Process {
    do {
      let bytes = try Files.read(path, limit: 16 << 20)
      if let process = try? QuickDecoder.decode(RuntimeSpec.Process.self, from: bytes) { return process }
      return try JSONDecoder().decode(RuntimeSpec.Process.self, from: Data(bytes))
    } catch {
      throw Fault(.invalidArgument, "the process description \(path) cannot be read", cause: ["\(error)"])
    }
  }
}
