import Faults
import Glibc

@testable import Cgroups

/// A controller's folder made of ordinary files, removed when the test ends.
final class Fixture {
  let path: String

  /// Makes a temporary folder that holds `files` with their contents.
  init(_ files: [String: String] = [:]) {
    var template = Array("/tmp/gantry-cgroups-XXXXXX".utf8CString)
    path = String(cString: mkdtemp(&template))
    for (name, text) in files { put(name, text) }
  }

  /// The folder as that of `controller`.
  func folder(_ controller: Controller, _ version: CgroupVersion) -> ControllerFolder {
    ControllerFolder(controller: controller, version: version, path: path)
  }

  func put(_ name: String, _ text: String) {
    let descriptor = open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    _ = KernelFile.write(text, to: descriptor)
    close(descriptor)
  }

  /// What was written to `name` last.
  subscript(name: String) -> String? { KernelFile.text("\(path)/\(name)") }

  deinit {
    if let stream = opendir(path) {
      while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != "." && name != ".." { unlink("\(path)/\(name)") }
      }
      closedir(stream)
    }
    rmdir(path)
  }
}
