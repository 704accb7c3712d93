internal import Archive
internal import ContentStore
internal import Faults
internal import Linux
internal import OCI
internal import SystemPackage
internal import Tar

/// Stores a layer without the compression that it came with.
enum LayerExpansion {
  /// Decompresses `source`, whose digest is `digest`; the result must be `expected`.
  static func expand(
    _ source: ImportPlan.Source, digest: Digest, expected: Digest, content: ContentStore, limits: ImportLimits
  ) throws(Fault) -> StagedBlob {
    do {
      switch source {
      case .data(let data):
        return try expand(ClosureSource(bytes: [UInt8](data)), expected, content, limits)
      case .staged(let blob):
        return try expand(file: blob.path, expected, content, limits)
      case .stored:
        return try expand(file: content.path(of: digest), expected, content, limits)
      }
    } catch {
      throw Fault(describing: error).wrapped("the layer \(digest) cannot be decompressed")
    }
  }

  private static func expand(
    file path: FilePath, _ expected: Digest, _ content: ContentStore, _ limits: ImportLimits
  ) throws -> StagedBlob {
    let file = try openat2(nil, path.string, [.readOnly, .noFollow])
    return try expand(DescriptorSource(file.rawValue, name: path.string), expected, content, limits)
  }

  private static func expand(
    _ source: any ByteSource, _ expected: Digest, _ content: ContentStore, _ limits: ImportLimits
  ) throws -> StagedBlob {
    let plain = try DecompressedSource(source, limits: ArchiveLimits(expandedBytes: limits.expandedBytes))
    let ingest = try content.ingest(expected.algorithm)
    while true {
      let chunk = try plain.next()
      if chunk.isEmpty { break }
      try ingest.append(chunk)
    }
    return try ingest.finish(expected: expected)
  }
}
