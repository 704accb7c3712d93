import Dispatch
import Faults
import FoundationEssentials
import Images
import JSONRPC
import Linux
import OCI
import Protocol
import Registry
import SystemPackage

/// `ImageService` on top of an `ImageStore`: decodes, calls, encodes.
struct Handlers: ImageService {
  let store: ImageStore
  let imports: ImportStreams
  let puller: ImagePuller
  let registry: RegistryClient

  func openImport(
    _ params: ImageAPI.OpenImportParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.OpenImportResult {
    let (name, address) = try imports.open(
      ImportRequest(names: params.names ?? [], platform: params.platform, lease: params.lease))
    return .init(import: name, stream: address)
  }

  func finishImport(
    _ params: ImageAPI.FinishImportParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.FinishImportResult {
    .init(images: try await imports.finish(params.import, context).map(Self.summary))
  }

  func cancelImport(
    _ params: ImageAPI.CancelImportParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.CancelImportResult {
    try imports.cancel(params.import)
    return .init()
  }

  func importPath(
    _ params: ImageAPI.ImportPathParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.ImportPathResult {
    let path = FilePath(params.path)
    guard path.isAbsolute else {
      throw Fault(.invalidArgument, "the path to import must be absolute, but is \"\(params.path.prefix(200))\"")
    }
    let images = try await blocking { () throws(Fault) in
      defer { HeapMemory.giveBack() }
      return try store.importPath(
        path, ImportRequest(names: params.names ?? [], platform: params.platform, lease: params.lease),
        observer: context.importObserver)
    }
    return .init(images: images.map(Self.summary))
  }

  func resolve(_ params: ImageAPI.ResolveParams, _ context: CallContext) async throws(Fault) -> ImageAPI.ResolveResult {
    let image = try store.resolve(
      params.reference, platform: try params.platform.map { text throws(Fault) in try Platform(parsing: text) },
      lease: params.lease)
    return .init(
      image: .init(
        id: image.id.rawValue, name: image.name, reference: image.reference, manifest: image.manifest,
        config: try RPCCoding.decode(image.config),
        layers: image.layers.map { layer in
          .init(
            descriptor: layer.descriptor, diffID: layer.diffID.rawValue, chainID: layer.chainID.rawValue,
            path: layer.path)
        }))
  }

  func list(_ params: ImageAPI.ListParams, _ context: CallContext) async throws(Fault) -> ImageAPI.ListResult {
    let images = try store.list()
    return .init(images: images.map(Self.summary))
  }

  func inspect(_ params: ImageAPI.InspectParams, _ context: CallContext) async throws(Fault) -> ImageAPI.InspectResult {
    .init(image: try store.inspect(params.reference).dockerDocument())
  }

  func history(_ params: ImageAPI.HistoryParams, _ context: CallContext) async throws(Fault) -> ImageAPI.HistoryResult {
    .init(
      entries: try store.history(params.reference).map { entry in
        .init(
          id: entry.id, created: entry.created.flatMap(Timestamp.seconds) ?? 0, createdBy: entry.createdBy,
          size: entry.size, comment: entry.comment, tags: entry.tags)
      })
  }

  func tag(_ params: ImageAPI.TagParams, _ context: CallContext) async throws(Fault) -> ImageAPI.TagResult {
    try await blocking { () throws(Fault) in try store.tag(source: params.source, target: params.target) }
    return .init()
  }

  func remove(_ params: ImageAPI.RemoveParams, _ context: CallContext) async throws(Fault) -> ImageAPI.RemoveResult {
    // An id that is none cannot be that of an image.
    let inUse = Set((params.inUse ?? []).compactMap { try? Digest(parsing: $0) })
    let removal = try await blocking { () throws(Fault) in
      try store.remove(params.reference, force: params.force ?? false, inUse: inUse)
    }
    return .init(untagged: removal.untagged, deleted: removal.deleted.map(\.rawValue), bytes: removal.bytes)
  }

  func usage(_ params: ImageAPI.UsageParams, _ context: CallContext) async throws(Fault) -> ImageAPI.UsageResult {
    let usage = try await blocking { () throws(Fault) in try store.usage() }
    return .init(blobs: Int64(usage.blobs), bytes: usage.bytes)
  }

  static func summary(_ image: Images.ImageSummary) -> Protocol.ImageSummary {
    .init(
      id: image.id.rawValue, repoTags: image.repoTags, repoDigests: image.repoDigests,
      created: image.created ?? Timestamp.never, size: image.size, labels: image.labels,
      architecture: image.architecture, os: image.os, manifest: image.manifest.rawValue, dangling: image.isDangling)
  }
}

extension CallContext {
  /// Progress and cancellation of a call as an import wants them.
  var importObserver: ImportObserver {
    ImportObserver(progress: { self.progress($0.message) }, isCancelled: { self.isCancelled })
  }
}

extension Images.ImportProgress {
  /// The same for the wire.
  var message: Protocol.ImportProgress { .init(stage: stage, id: "", current: current, total: total) }
}

/// Runs `body`, which waits for the disk, on a thread that may wait.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws(Fault) -> Value) async throws(Fault) -> Value {
  let result: Result<Value, Fault> = await withCheckedContinuation { continuation in
    DispatchQueue.global().async {
      do throws(Fault) {
        continuation.resume(returning: .success(try body()))
      } catch {
        continuation.resume(returning: .failure(error))
      }
    }
  }
  return try result.get()
}
