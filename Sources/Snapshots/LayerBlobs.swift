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
    let folder = try open("\(place)/fs", [.readOnly, .directory, .noFollow])
    guard folders.exists(Self.recipe(place)) else {
      throw Fault(.notFound, "the bytes of the layer \(params.chainID) cannot be made again: it came as a blob")
    }
    let recipe = try open(Self.recipe(place), [.readOnly, .noFollow])
    let socket = try Self.connect(params.stream)
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

  /// A stream that was promised, with its token written.
  private static func connect(_ stream: StreamAddress) throws(Fault) -> OwnedDescriptor {
    do throws(Errno) {
      let socket = try UnixSocket.connect(path: FilePath(stream.socket))
      let greeting = Array("\(stream.token)\n".utf8)
      try greeting.withUnsafeBufferPointer { bytes throws(Errno) in
        try Descriptors.writeAll(socket.rawValue, UnsafeRawBufferPointer(bytes))
      }
      return socket
    } catch {
      throw Fault(.unavailable, "the stream \(stream.socket) cannot be reached", cause: ["\(error)"])
    }
  }

  /// Opens something of the service's own.
  func open(
    _ place: SnapshotFolders.Place, _ flags: OpenFlags, mode: UInt32 = 0
  ) throws(Fault) -> OwnedDescriptor {
    let path = folders.path(place).string
    do throws(Errno) { return try openat2(nil, path, flags, mode: mode) } catch { throw Fault(storing: error, path) }
  }

  /// Where the recipe of the layer at `place` is.
  static func recipe(_ place: SnapshotFolders.Place) -> SnapshotFolders.Place { "\(place)/recipe" }
}
