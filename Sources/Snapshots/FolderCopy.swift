internal import Faults
internal import Linux
internal import OCI
internal import Protocol
internal import SystemPackage

/// Copies a folder of an image's layers to a place on the host, such as a volume.
///
/// The layers are looked at as one tree through an overlay that is mounted nowhere: a detached mount, which ends with its
/// descriptor. The path is the image's own and resolved in it by the kernel (RESOLVE_IN_ROOT), so that no link of the image
/// leads to the host (CVE-2022-23648).
struct FolderCopy {
  let folders: SnapshotFolders
  /// Topmost first.
  let layers: [String]

  /// Copies what `path` holds into `target`. Nothing is copied when it is no folder in the image.
  func copy(_ path: String, to target: String, durable: Bool) throws -> CopyTree.Outcome {
    let place = try folder(target)
    let tree = try tree()
    guard let source = try find(path, in: tree.rawValue) else { return CopyTree.Outcome() }
    do throws(Errno) {
      let outcome = try CopyTree.copy(from: source.rawValue, to: place.rawValue, nodes: true, root: true)
      if durable, outcome.entries > 0 { try DurableFile.syncFileSystem(FilePath(target)) }
      return outcome
    } catch {
      throw Fault(storing: error, target).wrapped("the image's \(path) cannot be copied")
    }
  }

  private func folder(_ path: String) throws(Fault) -> OwnedDescriptor {
    do throws(Errno) {
      return try openat2(nil, path, [.readOnly, .directory], resolve: .noMagicLinks)
    } catch {
      throw Fault(
        error == .noSuchFileOrDirectory ? .notFound : .invalidArgument, "the folder \(path) cannot be filled",
        cause: ["\(error)"])
    }
  }

  private func find(_ path: String, in tree: Int32) throws(Fault) -> OwnedDescriptor? {
    do throws(Errno) {
      return try openat2(tree, path, [.readOnly, .directory], resolve: [.inRoot, .noMagicLinks])
    } catch {
      switch error {
      case .noSuchFileOrDirectory, .notDirectory: return nil
      default:
        throw Fault(.invalidArgument, "the image's path \(path) cannot be followed", cause: ["\(error)"])
      }
    }
  }

  /// The root of the layers as one tree.
  private func tree() throws(Fault) -> OwnedDescriptor {
    if layers.count == 1 {
      do throws(Errno) { return try openat2(nil, layers[0], [.readOnly, .directory, .noFollow]) } catch {
        throw Fault(storing: error, layers[0])
      }
    }
    do throws(Errno) {
      return try Mounts.overlay(layers, attributes: .readOnly)
    } catch {
      if error.rawValue == 7 {
        throw Fault(
          .unsupported,
          "an image of \(layers.count) layers cannot be copied from with Linux \(KernelFeatures.release): use Linux 6.8 "
            + "or newer, or the volume option nocopy")
      }
      throw Fault(.internal, "\(layers.count) layers cannot be looked at through an overlay", cause: ["\(error)"])
    }
  }
}

extension SnapshotStore {
  /// The work of `snapshot.fill`.
  func fill(_ params: SnapshotAPI.FillParams) async throws -> SnapshotAPI.FillResult {
    guard params.target.hasPrefix("/"), !params.target.utf8.contains(0), !params.path.utf8.contains(0) else {
      throw Fault(.invalidArgument, "the folder to fill must be an absolute path, not \"\(params.target)\"")
    }
    holds.hold([params.parent])
    defer { holds.release([params.parent]) }
    let stack = try database.read { try $0.stack(params.parent) }
    guard !stack.isEmpty else { throw Fault(.notFound, "there is no layer \(params.parent): unpack its image first") }
    let copy = FolderCopy(folders: folders, layers: try overlay.lowerFolders(stack))
    let outcome = try await turns.take(params.target) {
      try await copying.run { try copy.copy(params.path, to: params.target, durable: params.durable ?? false) }
    }
    return SnapshotAPI.FillResult(files: outcome.entries, bytes: outcome.bytes)
  }
}
