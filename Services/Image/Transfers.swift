import ContentStore
import Faults
import Images
import JSONRPC
import OCI
import Protocol
import RPCService
import SystemPackage

/// Bytes that come into the content store and go out of it through streams.
struct Transfers: Sendable {
  let imports: StreamJobs<[Images.ImageSummary]>
  private let blobs: StreamJobs<FilePath>
  let saves: StreamJobs<Int64>
  private let store: ImageStore

  init(_ store: ImageStore, _ streams: StreamServer) {
    self.store = store
    imports = StreamJobs("import", streams)
    blobs = StreamJobs("blob", streams)
    saves = StreamJobs("save", streams)
  }

  /// An archive that comes in.
  func openImport(_ request: ImportRequest) throws(Fault) -> (name: String, address: StreamAddress) {
    try imports.open { [store] (socket, observer) throws(Fault) in
      try store.importArchive(
        descriptor: socket, request,
        observer: ImportObserver(progress: { observer.progress($0.message) }, isCancelled: observer.isCancelled))
    }
  }

  /// An archive that goes out.
  func openSave(_ archive: SavedArchive) throws(Fault) -> (name: String, address: StreamAddress) {
    try saves.open { (socket, _) throws(Fault) in
      try archive.write(to: socket)
      return archive.size
    }
  }

  /// The bytes of one layer. Nil when they are there; either way the lease holds the blob.
  func openBlob(_ digest: Digest, _ size: Int64, lease: String) throws(Fault) -> (name: String, address: StreamAddress)?
  {
    if try store.hold(digest, lease: lease) { return nil }
    return try blobs.open { [store] (socket, observer) throws(Fault) in
      try store.receive(digest, size, from: socket, isCancelled: observer.isCancelled)
    }
  }

  func finishBlob(_ name: String, _ context: CallContext) async throws(Fault) -> FilePath {
    try await blobs.finish(name, context)
  }
}
