import Faults
import Foundation
import SystemPackage

/// A folder of a test's own, gone with it.
final class Scratch {
  let path: FilePath

  init() {
    path = FilePath(FileManager.default.temporaryDirectory.appending(path: "configuration-\(UUID())").path)
    try? FileManager.default.createDirectory(atPath: path.string, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path.string) }

  /// Writes `text` to a file, whose folders are made; returns its path.
  @discardableResult
  func write(_ name: String, _ text: String) throws -> FilePath {
    let file = path.pushing(FilePath(name))
    try FileManager.default.createDirectory(
      atPath: file.removingLastComponent().string, withIntermediateDirectories: true)
    try text.write(toFile: file.string, atomically: true, encoding: .utf8)
    return file
  }
}

/// What `body` throws, in words.
func refusal(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "(accepted)"
  } catch {
    return "\(error)"
  }
}
