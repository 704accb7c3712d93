import Glibc
public import SystemPackage

/// A folder of a test's own, removed with the value.
public final class Scratch: Sendable {
  /// Its absolute path.
  public let path: FilePath

  /// Makes an empty folder below `/tmp`, or below `parent`.
  public init(_ parent: String = "/tmp") {
    var template = Array("\(parent)/gantry-test-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil, "no folder can be made in \(parent)")
    path = FilePath(String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }

  deinit { _ = shell("chattr -R -i '\(path)' 2>/dev/null; umount -R '\(path)' 2>/dev/null; rm -rf '\(path)'") }

  /// A path in the folder.
  public subscript(_ name: String) -> FilePath { path.appending(name) }

  /// Writes a file and gives its path.
  @discardableResult
  public func write(_ name: String, _ bytes: [UInt8]) -> FilePath {
    let file = path.appending(name)
    let descriptor = open(file.string, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      precondition(count > 0, "cannot write \(file)")
      rest = rest.dropFirst(count)
    }
    close(descriptor)
    return file
  }

  /// Makes a folder and gives its path.
  @discardableResult
  public func folder(_ name: String) -> FilePath {
    let folder = path.appending(name)
    mkdir(folder.string, 0o755)
    return folder
  }
}

/// What a shell command prints (with its errors), and its exit status.
public func shell(_ command: String) -> (output: String, status: Int32) {
  guard let stream = popen("( \(command) ) 2>&1", "r") else { return ("", -1) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = fread(&buffer, 1, buffer.count, stream)
    if count == 0 { break }
    bytes += buffer[..<count]
  }
  let status = pclose(stream)
  return (String(decoding: bytes, as: UTF8.self), status >> 8)
}
