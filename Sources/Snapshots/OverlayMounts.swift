internal import Faults
internal import Protocol

/// How a snapshot is mounted, as text for whoever mounts it.
struct OverlayMounts {
  let folders: SnapshotFolders

  /// The mounts of `snapshot` on the layers `stack`, topmost first.
  func mounts(_ snapshot: SnapshotRecord, _ stack: [LayerRecord]) throws(Fault) -> [MountSpec] {
    let lower = try lowerFolders(stack)
    guard let place = snapshot.place else {
      guard snapshot.kind == .view else {
        throw Fault(
          .corrupt, "the folder of the snapshot \(snapshot.key) is gone: it was removed by something other than Gantry")
      }
      if lower.count == 1 { return [MountSpec(type: "bind", source: lower[0], options: ["rbind", "ro"])] }
      return [MountSpec(type: "overlay", source: "overlay", options: lower.map { "lowerdir+=\($0)" } + ["ro"])]
    }
    let folder = folders.path(place)
    let upper = folder.appending("fs").string
    if snapshot.kind == .view { return [MountSpec(type: "bind", source: upper, options: ["rbind", "ro"])] }
    if lower.isEmpty { return [MountSpec(type: "bind", source: upper, options: ["rbind", "rw"])] }
    var options = lower.map { "lowerdir+=\($0)" }
    options.append("upperdir=\(upper)")
    options.append("workdir=\(folder.appending("work").string)")
    if snapshot.isVolatile { options.append("volatile") }
    return [MountSpec(type: "overlay", source: "overlay", options: options)]
  }

  /// The layers' folders, topmost first.
  ///
  /// overlayfs refuses the same folder twice: of equal ones the topmost counts, because it hides all that the other has.
  /// Nothing below an opaque top folder is seen; overlayfs does not read that mark on the top folder itself.
  func lowerFolders(_ stack: [LayerRecord]) throws(Fault) -> [String] {
    var lower: [String] = []
    var seen: Set<Int64> = []
    for layer in stack {
      guard let place = layer.place else {
        throw Fault(
          .corrupt,
          "the folder of the layer \(layer.chainID) is gone: load or pull the image again, or run `snapshot.unpack`")
      }
      if seen.insert(layer.content).inserted { lower.append(folders.path(place).appending("fs").string) }
      if layer.isOpaque { break }
    }
    return lower
  }
}
