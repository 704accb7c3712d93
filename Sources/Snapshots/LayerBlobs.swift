internal import Archive
internal import Faults
internal import Linux
internal import OCI
internal import Protocol
internal import SystemPackage
internal import Tar

/// The bytes of layers' blobs, made again from their folders.
///
///     layers/N/fs        the files
///     layers/N/recipe    how the layer's tar archive is made of them (`LayerRecipe`); absent for a layer that came as a blob
extension SnapshotStore {
  /// The work of `snapshot.writeBlob`.
  func writeBlob(_ params: SnapshotAPI.WriteBlobParams, isCancelled: () -> Bool) throws -> SnapshotAPI.WriteBlobResult {
    let layer = try database.read { try $0.layer(params.chainID) }
    guard let layer, let place = layer.place else {
      throw Fault(.notFound, "there is no layer \(params.chainID): its image must be loaded or pulled again")
    }
    let folder: OwnedDescriptor
    let recipe: OwnedDescriptor
    do throws(Errno) {
      folder = try openat2(nil, folders.path("\(place)/fs").string, [.readOnly, .directory, .noFollow])
      recipe = try openat2(nil, folders.path(Self.recipe(place)).string, [.readOnly, .noFollow])
    } catch .noSuchFileOrDirectory {
      throw Fault(.notFound, "the bytes of the layer \(params.chainID) cannot be made again: it came as a blob")
    } catch {
      throw Fault(storing: error, folders.path(place).string)
    }
    let socket: OwnedDescriptor
    do throws(Errno) {
      socket = try UnixSocket.connect(path: FilePath(params.stream.socket))
      let greeting = Array("\(params.stream.token)\n".utf8)
      try greeting.withUnsafeBufferPointer { bytes throws(Errno) in
        try Descriptors.writeAll(socket.rawValue, UnsafeRawBufferPointer(bytes))
      }
    } catch {
      throw Fault(.unavailable, "the stream \(params.stream.socket) cannot be reached", cause: ["\(error)"])
    }
    let source = try RebuiltLayer(folder: folder.rawValue, recipe: recipe.rawValue)
    while true {
      if isCancelled() { throw Fault(.cancelled, "the blob is not wanted any more") }
      let chunk = try source.next()
      if chunk.isEmpty { break }
      do throws(Errno) { try Descriptors.writeAll(socket.rawValue, chunk) } catch {
        throw Fault(.cancelled, "nobody reads the blob any more", cause: ["\(error)"])
      }
    }
    UnixSocket.shutdownWriting(socket.rawValue)
    return .init(bytes: source.bytes)
  }

  /// Where the recipe of the layer at `place` is.
  static func recipe(_ place: SnapshotFolders.Place) -> SnapshotFolders.Place { "\(place)/recipe" }
}
