/// How much an archive from outside may ask for before it is refused with `limitExceeded`.
public struct ArchiveLimits: Sendable, Equatable {
  /// The most bytes after decompression, and the most that the sizes of all entries (holes of sparse files too) add up to.
  public var expandedBytes: Int64
  /// The most entries.
  public var entries: Int
  /// The longest path or link, in bytes.
  public var pathBytes: Int
  /// The most bytes of headers (pax records, long names, sparse maps) before one entry.
  public var headerBytes: Int
  /// The largest zstd window, as a power of two: the memory that a frame may ask for.
  public var zstdWindowLog: Int32
  /// The most bytes of all extended attributes of one entry.
  public var attributeBytes: Int

  /// Takes the limits; the defaults admit every image seen in practice.
  ///
  /// 4095 bytes are the longest path that Linux takes (PATH_MAX); 27 is what `zstd` itself accepts without a flag.
  public init(
    expandedBytes: Int64 = 256 << 30, entries: Int = 4_000_000, pathBytes: Int = 4095, headerBytes: Int = 4 << 20,
    zstdWindowLog: Int32 = 27, attributeBytes: Int = 1 << 20
  ) {
    self.expandedBytes = expandedBytes
    self.entries = entries
    self.pathBytes = pathBytes
    self.headerBytes = headerBytes
    self.zstdWindowLog = zstdWindowLog
    self.attributeBytes = attributeBytes
  }
}
