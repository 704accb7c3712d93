import Faults
import FoundationEssentials
import Glibc
import JSONRPC
import Linux
import OCI
import Protocol
import SystemPackage

// task-example BUNDLE [COMMAND...]: runs the program of an OCI bundle in a container of the task service, prints what it
// writes, and ends with its exit code. Protocols/TASKS.md explains it; Protocols/python/bundle.py is the same in Python.

/// Runs the bundle in `folder` and returns its program's exit code.
func run(_ folder: String, _ command: [String]) throws -> Int32 {
  let state = ProcessInfo.processInfo.environment["GANTRY_STATE"] ?? "/run/gantry"
  let tasks = try BlockingConnection(path: FilePath("\(state)/task.sock"))

  let config = try Files.read("\(folder)/config.json", limit: 16 << 20)
  var spec = try JSONDecoder().decode(RuntimeSpec.self, from: Data(config))
  spec.process?.terminal = false
  if !command.isEmpty { spec.process?.args = command }
  let rootfs = FileManager.default.currentDirectoryPath + "/\(folder)/\(spec.root?.path ?? "rootfs")"

  // The container is made, and its program runs, in one call. `hold` keeps its output until the stream is there.
  let id = "swift-\(getpid())"
  let created = try tasks.call(
    TaskAPI.Method.create,
    TaskAPI.CreateParams(
      id: id, spec: spec, rootfs: [MountSpec(type: "bind", source: rootfs, options: ["rbind"])], stdin: false,
      hold: true,
      start: true, attach: AttachStreams(stdin: false, stdout: true, stderr: true)))
  if let stream = created.stream { try copyFrames(from: stream) }

  // The exit is kept until it is asked for: a caller that was away finds it later.
  let exit = try tasks.call(TaskAPI.Method.wait, TaskAPI.WaitParams(id: id)).exit
  _ = try tasks.call(TaskAPI.Method.delete, TaskAPI.DeleteParams(id: id))
  return Int32(exit.code)
}

/// Connects to the stream, and writes each frame of output to the descriptor that it is for, until the output ends.
func copyFrames(from address: StreamAddress) throws {
  let socket = try UnixSocket.connect(path: FilePath(address.socket))
  try Array("\(address.token)\n".utf8).withUnsafeBytes { try Descriptors.writeAll(socket.rawValue, $0) }
  while let header = try read(8, from: socket.rawValue) {
    let length = header[4..<8].reduce(0) { $0 << 8 | Int($1) }
    guard let bytes = try read(length, from: socket.rawValue) else { return }
    try bytes.withUnsafeBytes { try Descriptors.writeAll(Int32(header[0]), $0) }
  }
}

/// Exactly `count` bytes; nil at the end of input.
func read(_ count: Int, from descriptor: Int32) throws -> [UInt8]? {
  var bytes = [UInt8](repeating: 0, count: count)
  var have = 0
  while have < count {
    let got = try bytes.withUnsafeMutableBytes {
      try Descriptors.read(descriptor, into: UnsafeMutableRawBufferPointer(rebasing: $0[have...]))
    }
    if got == 0 { return nil }
    have += got
  }
  return bytes
}

guard CommandLine.arguments.count > 1 else {
  print("usage: task-example BUNDLE [COMMAND...]")
  exit(2)
}
do {
  exit(try run(CommandLine.arguments[1], Array(CommandLine.arguments.dropFirst(2))))
} catch {
  print("task-example: \(error)")
  exit(1)
}
