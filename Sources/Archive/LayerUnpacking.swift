internal import Faults
internal import Linux
public import OCI
internal import Synchronization
public import SystemPackage
public import Tar

internal import struct Crypto.SHA256

/// What is known of a layer after it was unpacked.
public struct UnpackedLayer: Sendable, Equatable {
  /// sha256 of the decompressed archive: the layer's name in the image's configuration.
  public var diffID: Digest
  /// Bytes of file content written, without holes.
  public var bytes: Int64
  /// Files, folders, links and nodes made.
  public var inodes: Int64
  /// The archive says that nothing of the layers below is to be seen (`.wh..wh..opq` at the top).
  public var isOpaque: Bool
  /// Extended attributes that the file system does not take, and that were left out.
  public var attributesLeftOut: Int
  /// Hard links that are still to be made, to files that only the layers below can have: `OuterLinks` makes them.
  public var outerLinks: [OuterLink]
}

/// A running unpacking as others see it: how far it is, and the way to stop it.
public final class UnpackingProgress: Sendable {
  private let read = Atomic<Int64>(0)
  private let cancelled = Atomic<Bool>(false)

  public init() {}

  /// The bytes of the (compressed) blob read so far.
  public var bytesRead: Int64 { read.load(ordering: .relaxed) }
  /// Whether `cancel` was called.
  public var isCancelled: Bool { cancelled.load(ordering: .relaxed) }
  /// Makes the unpacking end soon with `cancelled`.
  public func cancel() { cancelled.store(true, ordering: .relaxed) }

  func add(_ bytes: Int) { read.add(Int64(bytes), ordering: .relaxed) }
}

/// Unpacks layers: read and inflate, digest, and write, each on a thread of its own.
public enum LayerUnpacking {
  /// Unpacks the layer in the file `blob` into the open, empty folder `folder`, in overlayfs's form: whiteouts become
  /// character devices 0:0, opaque folders get `trusted.overlay.opaque`.
  ///
  /// Nothing outside of `folder` is touched, whatever the archive says. On an error the folder holds a part of the layer
  /// and is the caller's to remove; the same is true when the returned diffID is not the expected one. Blocks: to be called
  /// on a thread that may wait.
  ///
  /// - Parameter growingTo: the length that the file will have, when it is still being written: it is read as it grows.
  public static func unpack(
    blob: FilePath, growingTo size: Int64? = nil, into folder: Int32, limits: ArchiveLimits = ArchiveLimits(),
    progress: UnpackingProgress = UnpackingProgress()
  ) throws -> UnpackedLayer {
    let file = try OwnedFile(blob)
    let ring = ChunkRing()
    let result = Mutex<Digest?>(nil)
    return try withThreads(
      ring,
      produce: {
        do {
          let bytes: any ByteSource =
            try size.map { try GrowingSource(file, size: $0, progress: progress) }
            ?? DescriptorSource(file.descriptor, name: blob.string)
          let source = ProgressSource(bytes, progress)
          ring.fill(from: try DecompressedSource(source, limits: limits))
        } catch {
          ring.fill(from: ClosureSource { throw error })
        }
      },
      digest: {
        let digest = try? digest(RingSource(ring, .digest))
        result.withLock { $0 = digest }
      },
      consume: {
        let source = RingSource(ring, .archive)
        let writer = try LayerWriter(folder)
        let reader = ArchiveReader(tar: source, limits: limits)
        while let entry = try reader.next() { try writer.write(entry, reader) }
        try writer.finish()
        // The digest covers what follows the end-of-archive marker too.
        while try !source.next().isEmpty {}
        return writer
      },
      finish: { writer in
        guard let diffID = result.withLock({ $0 }) else {
          throw Fault(.internal, "the layer's digest was not computed")
        }
        return UnpackedLayer(
          diffID: diffID, bytes: writer.bytes, inodes: writer.inodes, isOpaque: writer.isRootOpaque,
          attributesLeftOut: writer.attributesLeftOut, outerLinks: writer.outerLinks)
      })
  }

  private static func digest(_ source: RingSource) throws -> Digest? {
    var hash = SHA256()
    while true {
      let chunk = try source.next()
      if chunk.isEmpty { return Digest(.sha256, bytes: Array(hash.finalize())) }
      hash.update(bufferPointer: chunk)
    }
  }

  private static func withThreads(
    _ ring: ChunkRing, produce: @escaping @Sendable () -> Void, digest: @escaping @Sendable () -> Void,
    consume: () throws -> LayerWriter, finish: (LayerWriter) throws -> UnpackedLayer
  ) throws -> UnpackedLayer {
    guard let producer = WorkThread(produce) else { throw noThread }
    guard let hasher = WorkThread(digest) else {
      ring.cancel()
      producer.join()
      throw noThread
    }
    let outcome = Result { try consume() }
    if case .failure = outcome { ring.cancel() }
    producer.join()
    hasher.join()
    return try finish(outcome.get())
  }

  private static var noThread: Fault { Fault(.unavailable, "this machine has no thread left to unpack a layer with") }
}

/// Counts what passes, and ends with `cancelled` when that was asked for.
final class ProgressSource: ByteSource {
  private let upstream: any ByteSource
  private let progress: UnpackingProgress

  init(_ upstream: any ByteSource, _ progress: UnpackingProgress) {
    self.upstream = upstream
    self.progress = progress
  }

  func next() throws -> UnsafeRawBufferPointer {
    if progress.isCancelled { throw Fault(.cancelled, "the unpacking was taken back") }
    let chunk = try upstream.next()
    progress.add(chunk.count)
    return chunk
  }
}
