internal import Glibc
public import Linux
public import SystemPackage

/// How a waiting shim gets its task: one message over the socket pair that taskd left it, the folder's path with the open
/// and locked folder beside it. What follows on the socket is `ShimReady` and JSON-RPC.
public enum ShimAssignment {
  /// Bytes of the longest path of a folder.
  private static let longestPath = 4096

  /// The arguments that a waiting shim is started with: the second holds the place for the folder's path, which is what ps
  /// shows once the shim has its task.
  public static func arguments(folderLength: Int) -> [String] {
    ["gantry-shim", String(repeating: "-", count: max(folderLength, 1))]
  }

  /// Whether the second argument is such a placeholder and no folder.
  public static func isPlaceholder(_ argument: String) -> Bool { argument.hasPrefix("-") }

  /// taskd: assigns `folder`; fails when the shim has ended.
  public static func send(_ socket: Int32, folder: FilePath, lock: Int32) throws(Errno) {
    let path = Array(folder.string.utf8)
    try path.withUnsafeBufferPointer { bytes throws(Errno) in
      _ = try UnixSocket.send(socket, UnsafeRawBufferPointer(bytes), descriptors: [lock])
    }
  }

  /// The shim: waits for the assignment; nil when taskd has gone, or said something else. The lock stays open, and the
  /// folder locked, until the process ends.
  static func receive(_ socket: Int32) -> FilePath? {
    withUnsafeTemporaryAllocation(byteCount: longestPath, alignment: 1) { buffer in
      guard let (count, descriptors) = try? UnixSocket.receive(socket, into: buffer, maximumDescriptors: 1),
        count > 0, !descriptors.isEmpty
      else { return nil }
      return FilePath(String(decoding: buffer[..<count], as: UTF8.self))
    }
  }
}
