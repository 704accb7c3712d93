public import Faults
public import FoundationEssentials
internal import Glibc
internal import Linux
public import OCI
internal import Synchronization
public import SystemPackage

/// Content by digest in one folder that is itself an OCI image layout, so that other programs can read it at any time.
///
///     ROOT/oci-layout            the layout's version
///     ROOT/index.json            derived from the image names; replaced as a whole (`writeIndex`)
///     ROOT/blobs/sha256/HEX      whole, verified, never changed
///     ROOT/ingest/NAME           being written; worthless after a crash
///     ROOT/ingest/sha256-HEX     the beginning of a blob that is being fetched (`PartialBlob`); the next pull goes on with it
///     ROOT/set-aside/NAME        what could not be read at a start, for a person to look at
///     ROOT/lock                  held while a service uses the folder
///
/// The way of a blob: `ingest()` → `append` … → `finish` (size and digest checked, on disk) → `publish` (renamed into
/// `blobs`, folder on disk). Only then may a database name it. Folders are 0700 and files 0600.
public final class ContentStore: Sendable {
  /// The layout's folder.
  public let root: FilePath
  /// What `init` found left over from a service that was killed: the names of ingest files that it removed.
  public let abandonedIngests: [String]

  private let lock: FolderLock?
  private let nextIngest = Atomic<UInt64>(0)

  /// Opens the folder `root`, making it if there is none, and takes its lock unless the caller holds it (`isLocked`).
  ///
  /// Throws `locked` when another process has it, `readOnly` or `noSpace` when it cannot be written.
  public init(root: FilePath, isLocked: Bool = false) throws(Fault) {
    self.root = root
    for folder in [root, root.appending("blobs"), root.appending("blobs/sha256"), root.appending("ingest")] {
      try Self.makeFolder(folder)
    }
    lock = isLocked ? nil : try FolderLock(root, owner: "image service")
    abandonedIngests = try Self.clearIngests(root.appending("ingest"))
    try StoredFile.clearTemporaries(root)
    try Self.checkMarker(root)
  }

  // MARK: Reading

  /// Where the blob `digest` is, whether or not it exists.
  public func path(of digest: Digest) -> FilePath {
    root.appending("blobs").appending(digest.algorithm.rawValue).appending(digest.hex)
  }

  /// The blob's length in bytes; nil when there is none.
  public func size(of digest: Digest) -> Int64? {
    var status = stat()
    guard lstat(path(of: digest).string, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return Int64(status.st_size)
  }

  /// Reads a small blob (a manifest or a configuration) and checks its digest.
  ///
  /// Throws `notFound`, `limitExceeded` beyond `limit` bytes, `corrupt` when the bytes are not those of the digest.
  public func read(_ digest: Digest, limit: Int = ImageDocument.sizeLimit) throws(Fault) -> Data {
    guard let size = size(of: digest) else { throw Fault(.notFound, "the content store has no blob \(digest)") }
    guard size <= limit else {
      throw Fault(.limitExceeded, "the blob \(digest) has \(size) bytes; more than \(limit) are not read as a document")
    }
    let data = try StoredFile.read(path(of: digest), limit: limit)
    guard Digest.of(data, digest.algorithm) == digest else {
      throw Fault(
        .corrupt, "the blob \(path(of: digest)) has changed on disk: its bytes are not \(digest); load the image again")
    }
    return data
  }

  /// The first bytes of the blob, `count` unless it is shorter.
  public func head(_ digest: Digest, _ count: Int) throws(Fault) -> Data {
    try StoredFile.head(path(of: digest), count)
  }

  /// The last bytes of the blob, `count` unless it is shorter.
  public func tail(_ digest: Digest, _ count: Int) throws(Fault) -> Data {
    try StoredFile.tail(path(of: digest), count)
  }

  /// Whether the blob's bytes are those of its digest; one that is gone is taken as such. `progress` gets the bytes of each
  /// piece that was read, and ends the reading by throwing.
  public func isIntact(_ digest: Digest, progress: (Int) throws(Fault) -> Void) throws(Fault) -> Bool {
    let path = path(of: digest)
    let file: OwnedDescriptor
    do throws(Errno) { file = try openat2(nil, path.string, [.readOnly, .noFollow]) } catch {
      return error == .noSuchFileOrDirectory
    }
    posix_fadvise(file.rawValue, 0, 0, POSIX_FADV_SEQUENTIAL)
    var hasher = ContentHasher(digest.algorithm)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: Ingest.alignment)
    defer { buffer.deallocate() }
    while true {
      let count: Int
      do throws(Errno) { count = try Descriptors.read(file.rawValue, into: buffer) } catch {
        // A disk that cannot give the bytes any more does not have them.
        return false
      }
      if count == 0 { return hasher.finish() == digest }
      hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      try progress(count)
    }
  }

  /// All blobs with their sizes; other files in the folder are not listed.
  public func list() throws(Fault) -> [Digest: Int64] {
    var found: [Digest: Int64] = [:]
    for algorithm in Digest.Algorithm.allCases {
      let folder = root.appending("blobs").appending(algorithm.rawValue)
      for name in try StoredFile.names(in: folder) {
        guard let digest = try? Digest(parsing: "\(algorithm.rawValue):\(name)"), let size = size(of: digest)
        else { continue }
        found[digest] = size
      }
    }
    return found
  }

  // MARK: Writing

  /// Starts to write a blob. `algorithm` is that of the digest that `Ingest.finish` gives.
  public func ingest(_ algorithm: Digest.Algorithm = .sha256) throws(Fault) -> Ingest {
    let number = nextIngest.wrappingAdd(1, ordering: .relaxed).oldValue
    return try Ingest(path: root.appending("ingest").appending("\(getpid())-\(number)"), algorithm: algorithm)
  }

  /// Starts or resumes the transfer of the blob `digest` of `size` bytes. One transfer of a blob at a time.
  public func partial(_ digest: Digest, size: Int64) throws(Fault) -> PartialBlob {
    try PartialBlob(path: partialPath(of: digest), digest: digest, size: size)
  }

  /// Where the beginning of the blob `digest` is while it is fetched.
  public func partialPath(of digest: Digest) -> FilePath {
    root.appending("ingest").appending(PartialBlob.name(digest))
  }

  /// Writes a small blob that is in memory; it is staged as by `Ingest.finish`.
  public func stage(_ data: Data, expected: Digest? = nil) throws(Fault) -> StagedBlob {
    let ingest = try ingest(expected?.algorithm ?? .sha256)
    do {
      try data.withUnsafeBytes { try ingest.append($0) }
    } catch {
      throw Fault(describing: error)
    }
    return try ingest.finish(expected: expected)
  }

  /// Makes staged blobs visible, all before it returns; blobs that exist already are left as they are.
  ///
  /// When it throws, some may be visible: they are whole, and whoever collects garbage removes them when nothing names them.
  public func publish(_ blobs: [StagedBlob]) throws(Fault) {
    var folders: Set<FilePath> = []
    for blob in blobs {
      let target = path(of: blob.digest)
      let folder = target.removingLastComponent()
      if blob.digest.algorithm != .sha256 { try Self.makeFolder(folder) }
      if size(of: blob.digest) == blob.size {
        blob.discard()
      } else {
        try blob.move(to: target)
        folders.insert(folder)
      }
    }
    for folder in folders { try StoredFile.syncFolder(folder) }
  }

  /// The bytes that the blob takes on disk; 0 when there is none.
  public func allocated(_ digest: Digest) -> Int64 {
    var status = stat()
    guard lstat(path(of: digest).string, &status) == 0 else { return 0 }
    return Int64(status.st_blocks) * 512
  }

  /// Removes the blob `digest`, if there is one. Returns the bytes of disk that it had.
  @discardableResult
  public func remove(_ digest: Digest) throws(Fault) -> Int64 {
    let allocated = allocated(digest)
    if unlink(path(of: digest).string) != 0, errno != ENOENT {
      throw Fault(Errno(rawValue: errno), "remove the blob", path(of: digest))
    }
    return allocated
  }

  /// Removes beginnings of blobs that nobody asked for again for a week; returns their bytes.
  public func removeOldPartials() throws(Fault) -> Int64 {
    let folder = root.appending("ingest")
    var removed: Int64 = 0
    for name in try StoredFile.names(in: folder) {
      let path = folder.appending(name)
      guard case .old(let bytes) = PartialBlob.leftover(path), unlink(path.string) == 0 else { continue }
      removed += bytes
    }
    return removed
  }

  // MARK: The layout's index

  /// Replaces `index.json` as a whole; readers see the old one or the new one. Nothing is done when it is the same.
  public func writeIndex(_ index: ImageIndex) throws(Fault) {
    let data = try ImageDocument.encode(index)
    let path = root.appending("index.json")
    if let current = try? StoredFile.read(path), current == data { return }
    try StoredFile.replace(path, with: data)
  }

  /// The current `index.json`; nil when there is none or it cannot be read as one.
  public func readIndex() -> ImageIndex? {
    guard let data = try? StoredFile.read(root.appending("index.json")) else { return nil }
    return try? JSONDecoder().decode(ImageIndex.self, from: data)
  }

  /// Moves a file that cannot be read out of the way, to `set-aside/`; returns where it is now.
  public func setAside(_ path: FilePath) throws(Fault) -> FilePath {
    let folder = root.appending("set-aside")
    try Self.makeFolder(folder)
    let name = "\(path.lastComponent?.string ?? "file").\(Int(Date().timeIntervalSince1970))"
    let target = folder.appending(name)
    guard rename(path.string, target.string) == 0 else {
      throw Fault(Errno(rawValue: errno), "set aside", path)
    }
    return target
  }

  // MARK: Opening

  private static func makeFolder(_ path: FilePath) throws(Fault) {
    try Fault.mapping("make the folder", path) { try Files.makeDirectories(path) }
  }

  /// What a killed service left in `ingest` was never acknowledged to anyone: it is removed, and named. Beginnings of blobs
  /// stay for a while, as their transfers can be resumed.
  private static func clearIngests(_ folder: FilePath) throws(Fault) -> [String] {
    let names = try StoredFile.names(in: folder)
    var removed: [String] = []
    for name in names {
      let path = folder.appending(name)
      if case .fresh(let bytes) = PartialBlob.leftover(path), bytes > 0 { continue }
      removed.append(name)
      guard unlink(path.string) == 0 || errno == ENOENT || errno == EISDIR else {
        throw Fault(Errno(rawValue: errno), "remove the abandoned ingest file", path)
      }
    }
    return removed.sorted()
  }

  private static func checkMarker(_ root: FilePath) throws(Fault) {
    let path = root.appending("oci-layout")
    if let data = try? StoredFile.read(path) {
      let layout = try ImageDocument.decode(ImageLayout.self, from: data, named: "\(path)")
      guard layout.imageLayoutVersion == ImageLayout.version else {
        throw Fault(
          .unsupported,
          "\(path) says image layout version \(layout.imageLayoutVersion.prefix(20)); this engine knows 1.0.0")
      }
      return
    }
    try StoredFile.replace(path, with: ImageDocument.encode(ImageLayout()))
  }
}
