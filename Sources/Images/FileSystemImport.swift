internal import Archive
internal import ContentStore
internal import Faults
internal import FoundationEssentials
internal import Linux
public import OCI
internal import Tar

/// What becomes of an archive that is a file system and not an image (`docker import`).
public struct FileSystemImport: Sendable {
  /// What a container of the image runs.
  public var execution: ImageConfig.Execution
  /// Free text for the history.
  public var comment: String?
  /// When, RFC 3339.
  public var created: String

  /// Takes them.
  public init(execution: ImageConfig.Execution, comment: String?, created: String) {
    self.execution = execution
    self.comment = comment
    self.created = created
  }
}

extension ImageStore {
  /// The image of one layer that the archive from `descriptor` is. The layer is stored as it came, compressed or not; xz and
  /// bzip2, which OCI has no types for, as plain tar. What the archive holds is checked when it is unpacked.
  func plan(
    _ descriptor: Int32, _ wishes: FileSystemImport, _ platform: Platform?, _ job: ImportJob
  ) throws -> ImportPlan {
    let source = DescriptorSource(descriptor, name: "the archive", chunkSize: 1 << 20)
    let ingest = try content.ingest()
    while true {
      let chunk = try source.next()
      if chunk.isEmpty { break }
      guard ingest.size + Int64(chunk.count) <= limits.expandedBytes else {
        throw Fault(.limitExceeded, "the archive has more than \(limits.expandedBytes) bytes, which is the limit")
      }
      try ingest.append(chunk)
      try job.advance(chunk.count)
    }
    guard ingest.size > 0 else { throw Fault(.invalidArgument, "the archive is empty: give a tar archive to import") }
    let (layer, blob, diffID) = try stored(ingest.finish())
    let machine = platform ?? Platform.host
    let config = ImageConfig(
      architecture: machine.architecture, os: machine.os, variant: machine.variant, created: wishes.created,
      config: wishes.execution, rootfs: .init(diffIDs: [diffID]),
      history: [.init(created: wishes.created, comment: wishes.comment)], comment: wishes.comment)
    let data = try ImageDocument.encode(config)
    let manifest = ImageManifest(
      config: Descriptor(mediaType: MediaType.ociConfig, digest: Digest.of(data), size: Int64(data.count)),
      layers: [layer])
    let manifestData = try ImageDocument.encode(manifest)
    let digest = Digest.of(manifestData)
    return ImportPlan(
      record: try ImageRecord(
        manifest: Descriptor(mediaType: MediaType.ociManifest, digest: digest, size: Int64(manifestData.count)),
        document: manifest, config: config),
      names: [],
      blobs: [digest: .data(manifestData), Digest.of(data): .data(data), layer.digest: .staged(blob)])
  }

  /// The blob to keep of an archive: its descriptor, and the digest of the plain tar.
  private func stored(_ blob: StagedBlob) throws -> (Descriptor, StagedBlob, Digest) {
    let compression = try blob.head(6).withUnsafeBytes { Compression(head: $0) }
    let file = try openat2(nil, blob.path.string, [.readOnly, .noFollow])
    let archive = ArchiveLimits(expandedBytes: limits.expandedBytes)
    let plain = try DecompressedSource(DescriptorSource(file.rawValue, name: "the archive"), limits: archive)
    func described(_ mediaType: String, _ blob: StagedBlob) -> Descriptor {
      Descriptor(mediaType: mediaType, digest: blob.digest, size: blob.size)
    }
    switch compression {
    case .none: return (described(MediaType.ociLayer, blob), blob, blob.digest)
    case .gzip, .zstd:
      var hasher = ContentHasher()
      while true {
        let chunk = try plain.next()
        if chunk.isEmpty { break }
        hasher.update(chunk)
      }
      let type = compression == .gzip ? MediaType.ociLayerGzip : MediaType.ociLayerZstd
      return (described(type, blob), blob, hasher.finish())
    case .xz, .bzip2:
      let expanded = try content.ingest()
      while true {
        let chunk = try plain.next()
        if chunk.isEmpty { break }
        try expanded.append(chunk)
      }
      let whole = try expanded.finish()
      return (described(MediaType.ociLayer, whole), whole, whole.digest)
    }
  }
}
