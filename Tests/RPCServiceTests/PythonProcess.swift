import Glibc
import Linux
import SystemPackage

/// Python as a peer of its own process.
enum PythonProcess {
  /// What `script` prints. `prefix` goes before `python3` on the command line.
  static func output(
    _ script: String, _ arguments: [String], prefix: [String] = [], environment: [String] = []
  ) async throws -> String {
    let pipe = try Descriptors.pipe()
    let process = try SpawnRequest(
      .path("/usr/bin/env"), arguments: ["env"] + prefix + ["python3", "-B", "-c", script] + arguments,
      environment: ["PATH=/usr/local/bin:/usr/bin:/bin"] + environment, descriptors: [nil, pipe.write.rawValue, 2]
    ).spawn()
    let reader = try pipe.read.duplicate()
    _ = consume pipe
    let text = try await RawPeer.text(of: reader.rawValue)
    // It has closed its output: it is at its end.
    _ = try Children.wait(pid: process.pid)
    return text
  }
}
