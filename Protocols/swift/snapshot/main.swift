import Faults
import Glibc
import JSONRPC
import Linux
import OCI
import Protocol
import SystemPackage

// snapshot-example BASE: makes two layers, one on top of the other, out of files that it writes itself, and prints what the
// upper one holds. BASE becomes part of the names of its snapshots. Protocols/SNAPSHOTS.md explains it.

/// A snapshot mounted nowhere: only the descriptor leads there, and the mount ends with it. Needs root.
func mounted(_ mounts: [MountSpec]) throws -> OwnedDescriptor {
  guard let mount = mounts.first else { throw Fault(.internal, "no mount was given") }
  guard mount.type == "overlay" else { return try openat2(nil, mount.source, [.path, .directory]) }
  return try Mounts.make(
    "overlay", source: mount.source,
    parameters: mount.options.map { option in
      let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
      return (parts[0], parts.count > 1 ? parts[1] : nil)
    })
}

func run(_ base: String) throws {
  let state = getenv("GANTRY_STATE").map { String(cString: $0) } ?? "/run/gantry"
  let snapshots = try BlockingConnection(path: FilePath("\(state)/snapshot.sock"))
  let lease = "\(base)-lease"
  _ = try snapshots.call(SnapshotAPI.Method.lease, SnapshotAPI.LeaseParams(lease: lease, seconds: 600))
  var parent: String?
  for (number, digit) in ["1", "2"].enumerated() {
    // A writable snapshot on the layer below; what is written into it becomes the next layer.
    let key = "\(base)-\(number)"
    let mounts = try snapshots.call(
      SnapshotAPI.Method.prepare, SnapshotAPI.PrepareParams(key: key, parent: parent)
    ).mounts
    do {
      let root = try mounted(mounts)
      let file = try openat2(root.rawValue, "file\(digit)", [.writeOnly, .create, .truncate], mode: 0o644)
      try Array("layer \(digit)\n".utf8).withUnsafeBytes { try Descriptors.writeAll(file.rawValue, $0) }
    }
    // The names of layers are digests; those of an image's come from its diffIDs.
    let chainID = "sha256:" + String(repeating: digit, count: 64)
    _ = try snapshots.call(
      SnapshotAPI.Method.commit, SnapshotAPI.CommitParams(key: key, chainID: chainID, lease: lease))
    parent = chainID
  }
  let view = try snapshots.call(
    SnapshotAPI.Method.view, SnapshotAPI.ViewParams(key: "\(base)-view", parent: parent)
  ).mounts
  do {
    let root = try mounted(view)
    let folder = try openat2(root.rawValue, ".", [.readOnly, .directory])
    for name in try Files.list(folder.rawValue).sorted() { print(name) }
  }
  _ = try snapshots.call(SnapshotAPI.Method.remove, SnapshotAPI.RemoveParams(keys: ["\(base)-view"]))
  _ = try snapshots.call(SnapshotAPI.Method.release, SnapshotAPI.ReleaseParams(lease: lease))
  _ = try snapshots.call(
    SnapshotAPI.Method.remove,
    SnapshotAPI.RemoveParams(keys: ["1", "2"].map { "sha256:" + String(repeating: $0, count: 64) }))
}

guard CommandLine.arguments.count == 2 else {
  print("usage: snapshot-example BASE")
  exit(2)
}
do {
  try run(CommandLine.arguments[1])
} catch {
  print("snapshot-example: \(error)")
  exit(1)
}
