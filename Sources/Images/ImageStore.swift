public import ContentStore
public import Faults
internal import FoundationEssentials
internal import GRDB
internal import GarbageCollection
public import Logging
public import OCI
internal import Synchronization
public import SystemPackage

/// Images by name, id and digest, on top of a content store: everything that the image service does, without a transport.
///
///     ROOT/            the content store, an OCI image layout (see `ContentStore`)
///     ROOT/images.db   names and facts (see `ImageDatabase`); `index.json` is derived from it after every change
///
/// Methods block on the disk and may be called from any thread. Every change is on disk when its method returns.
public final class ImageStore: Sendable {
  /// The blobs.
  public let content: ContentStore
  /// Bounds on what imports accept.
  public let limits: ImportLimits

  let database: ImageDatabase
  let log: Logger
  /// Blobs that running calls found here and count on: kept although no image needs them.
  let holds = CallHolds()
  private let resolved = Mutex(ResolvedCache())

  /// Opens the folder `root`, makes it when there is none, and repairs what a killed service left.
  ///
  /// A database that cannot be read is set aside and its content taken from `index.json`.
  /// Throws `locked` when another process uses the folder, `readOnly` or `noSpace` when it cannot be written.
  /// - Parameter isLocked: whether the caller holds the folder's lock already.
  public init(root: FilePath, limits: ImportLimits = ImportLimits(), isLocked: Bool = false, log: Logger) throws(Fault)
  {
    self.limits = limits
    self.log = log
    let content = try ContentStore(root: root, isLocked: isLocked)
    self.content = content
    if !content.abandonedIngests.isEmpty {
      log.notice(
        "removed half-written content of an earlier run", metadata: ["files": "\(content.abandonedIngests.count)"])
    }
    database = try Self.open(content, log)
    try recover()
  }

  private static func open(_ content: ContentStore, _ log: Logger) throws(Fault) -> ImageDatabase {
    let path = content.root.appending("images.db")
    do throws(Fault) {
      return try ImageDatabase(path: path)
    } catch {
      guard error.code == .corrupt else { throw error }
      for suffix in ["-wal", "-shm"] {
        _ = try? content.setAside(FilePath(path.string + suffix))
      }
      let aside = try content.setAside(path)
      log.error(
        "the image database is damaged and was set aside; names are taken from index.json",
        metadata: ["path": "\(aside)"])
      return try ImageDatabase(path: path)
    }
  }

  /// At start: an empty database takes the images of `index.json`, or those found among the blobs; else blobs that
  /// nothing names are removed. `index.json` is made anew.
  private func recover() throws(Fault) {
    let known = try database.read { try ImageQueries.images($0).count }
    if known == 0 {
      var index = content.readIndex()
      if index == nil { index = try found() }
      if let index, !index.manifests.isEmpty { return try adopt(index) }
    }
    let collected = try changeAndCollect { _ in }.collected
    if collected.blobs > 0 {
      log.notice(
        "removed blobs that no image has", metadata: ["blobs": "\(collected.blobs)", "bytes": "\(collected.bytes)"])
    }
  }

  /// An index of the manifests among the blobs: what is left when both the database and `index.json` are lost.
  private func found() throws(Fault) -> ImageIndex {
    var manifests: [Descriptor] = []
    for (digest, size) in try content.list() where size <= 1 << 20 {
      guard let data = try? content.read(digest) else { continue }
      for mediaType in [MediaType.ociManifest, MediaType.dockerManifest] {
        guard let manifest = try? ImageDocument.manifest(data, mediaType: mediaType, digest: digest),
          manifest.layers.allSatisfy({ content.size(of: $0.digest) == $0.size })
        else { continue }
        manifests.append(Descriptor(mediaType: mediaType, digest: digest, size: size))
        break
      }
    }
    return ImageIndex(manifests: manifests.sorted { $0.digest < $1.digest })
  }

  /// Takes images and names from the folder's own index; what is not whole is left out and reported. Removes nothing.
  private func adopt(_ index: ImageIndex) throws(Fault) {
    var records: [(ImageRecord, Reference?)] = []
    for descriptor in index.manifests {
      do throws(Fault) {
        let manifest = try ImageDocument.manifest(
          try content.read(descriptor.digest), mediaType: descriptor.mediaType, digest: descriptor.digest)
        let config = try ImageDocument.decode(
          ImageConfig.self, from: try content.read(manifest.config.digest),
          named: "the configuration \(manifest.config.digest)")
        for layer in manifest.layers where content.size(of: layer.digest) != layer.size {
          throw Fault(.corrupt, "the layer \(layer.digest) is missing or has another size")
        }
        var bare = descriptor
        bare.annotations = nil
        bare.platform = nil
        let record = try ImageRecord(manifest: bare, document: manifest, config: config)
        let name = descriptor.annotations?[AnnotationKey.containerdImageName].flatMap { try? Reference(parsing: $0) }
        records.append((record, name?.withDefaultTag))
      } catch {
        log.error(
          "an image of index.json cannot be used", metadata: ["manifest": "\(descriptor.digest)", "reason": "\(error)"])
      }
    }
    let adopted = records
    try database.write { database in
      let now = Date().timeIntervalSince1970
      for (record, name) in adopted {
        try ImageQueries.insert(database, record, added: now)
        if let name { try ImageQueries.setName(database, name, manifest: record.manifest.digest, at: now) }
      }
    } after: { [content] database, _ in
      try Self.rewriteIndex(database, content)
    }
    log.notice("took images from index.json", metadata: ["images": "\(records.count)"])
  }

  // MARK: Changes

  /// Makes `target` a further name of the image `source`; `target` may have belonged to another image.
  public func tag(source: String, target: String) throws(Fault) {
    let name = try Reference(parsing: target).withDefaultTag
    guard name.digest == nil else {
      throw Fault(.invalidArgument, "refusing to create a tag with a digest reference: \(name.familiar)")
    }
    try change { database in
      let found = try Self.find(database, source)
      try ImageQueries.setName(database, name, manifest: found.row.manifest.digest, at: Date().timeIntervalSince1970)
    }
  }

  /// Runs `body` in one transaction, then rewrites `index.json`.
  @discardableResult
  func change<Result>(_ body: (Database) throws -> Result) throws(Fault) -> Result {
    try database.write {
      try body($0)
    } after: { [content] database, _ in
      resolved.withLock { $0.clear() }
      try Self.rewriteIndex(database, content)
    }
  }

  /// The same, and removes content that nothing needs any more.
  func changeAndCollect<Result>(
    _ body: (Database) throws -> Result
  ) throws(Fault) -> (result: Result, collected: Collected) {
    var collected = Collected()
    let result = try database.write {
      try body($0)
    } after: { [content] database, _ in
      resolved.withLock { $0.clear() }
      try Self.rewriteIndex(database, content)
      collected = try collect(database)
    }
    return (result, collected)
  }

  /// `index.json` from the rows: a descriptor for every name, and one without a name for every image without any.
  static func rewriteIndex(_ database: Database, _ content: ContentStore) throws {
    var images: [Digest: ImageRow] = [:]
    for image in try ImageQueries.images(database) { images[image.manifest.digest] = image }
    var unnamed = Set(images.keys)
    var descriptors: [Descriptor] = []
    for name in try ImageQueries.names(database) {
      guard let image = images[name.manifest] else { continue }
      unnamed.remove(name.manifest)
      var descriptor = image.manifest
      descriptor.platform = image.platform
      descriptor.annotations = [
        AnnotationKey.refName: name.familiar, AnnotationKey.containerdImageName: name.canonical,
      ]
      descriptors.append(descriptor)
    }
    for manifest in unnamed.sorted() {
      guard let image = images[manifest] else { continue }
      var descriptor = image.manifest
      descriptor.platform = image.platform
      descriptors.append(descriptor)
    }
    try content.writeIndex(ImageIndex(manifests: descriptors))
  }

  // MARK: Resolving

  /// Finds the image that `reference` means: a name, a name with a digest, an id, or the unique beginning of one.
  ///
  /// Throws `notFound` in Docker's words, `invalidArgument` for a malformed or ambiguous reference.
  /// - Parameter lease: what then keeps the image's content, whatever becomes of the image.
  public func resolve(
    _ reference: String, platform: Platform? = nil, lease: String? = nil
  ) throws(Fault) -> ResolvedImage {
    if let lease { try hold(reference, lease) }
    let key = ResolvedCache.Key(reference: reference, platform: platform)
    let (cached, generation) = resolved.withLock { ($0[key], $0.generation) }
    if let cached { return cached }
    let (found, layers) = try database.read { database in
      let found = try Self.find(database, reference)
      return (found, try ImageQueries.layers(database, manifest: found.row.manifest.digest))
    }
    if let platform, found.row.platform.distance(from: platform) == nil {
      throw Fault(
        .notFound,
        "image with reference \(reference) was found but it is for \(found.row.platform), not for \(platform.normalized)"
      )
    }
    let image = ResolvedImage(
      id: found.row.id, name: found.name?.familiar, reference: found.name?.canonical ?? found.row.id.rawValue,
      manifest: found.row.manifest, config: try content.read(found.row.id),
      layers: layers.map { layer in
        LayerSource(
          descriptor: layer.descriptor, diffID: layer.diffID, chainID: layer.chainID,
          path: content.path(of: layer.descriptor.digest).string)
      })
    resolved.withLock { $0.insert(image, key, generation) }
    return image
  }

  /// An image and how it was found.
  struct Found {
    var row: ImageRow
    /// The name with its tag or digest; nil when the image was found by its id.
    var name: Reference?
  }

  /// The order of Docker: a whole id or digest, then a name, then the beginning of an id.
  static func find(_ database: Database, _ text: String) throws -> Found {
    let hex = text.hasPrefix("sha256:") ? String(text.dropFirst("sha256:".count)) : text
    let isHex = !hex.isEmpty && hex.utf8.allSatisfy { Digest.isLowerHex($0) }
    if isHex, hex.utf8.count == 64 {
      let digest = try Digest(parsing: "sha256:" + hex)
      if let row = try ImageQueries.images(database, id: digest).first { return Found(row: row) }
      if let row = try ImageQueries.image(database, manifest: digest) { return Found(row: row) }
      throw noSuchImage(text)
    }
    var malformed: Fault?
    do {
      let name = try Reference(parsing: text).withDefaultTag
      if let row = try find(database, name: name) { return Found(row: row, name: name) }
    } catch let fault as Fault {
      malformed = fault
    }
    if isHex, hex.utf8.count < 64 {
      let ids = try ImageQueries.ids(database, prefix: hex)
      if ids.count > 1 {
        throw Fault(
          .invalidArgument, "image id \(text) is ambiguous: more than one id begins with it; give more digits")
      }
      if let id = ids.first, let row = try ImageQueries.images(database, id: id).first { return Found(row: row) }
    }
    if let malformed { throw malformed }
    throw noSuchImage(text)
  }

  private static func find(_ database: Database, name: Reference) throws -> ImageRow? {
    let manifest: Digest? =
      if let digest = name.digest {
        try ImageQueries.manifest(database, repository: name.name, digest: digest)
      } else {
        try ImageQueries.name(database, repository: name.name, tag: name.tag ?? Reference.defaultTag)?.manifest
      }
    return try manifest.flatMap { try ImageQueries.image(database, manifest: $0) }
  }

  static func noSuchImage(_ text: String) -> Fault {
    let shown = (try? Reference(parsing: text).withDefaultTag.familiar) ?? String(text.prefix(200))
    return Fault(.notFound, "No such image: \(shown)")
  }
}

/// The answers of `resolve` until the next change: a container's start should not touch the disk for them.
private struct ResolvedCache {
  struct Key: Hashable {
    var reference: String
    var platform: Platform?
  }

  /// How many answers are kept; configurations are small.
  static let limit = 128

  private var images: [Key: ResolvedImage] = [:]
  /// Counts the changes, so that an answer read before one is not kept after it.
  private(set) var generation = 0

  subscript(key: Key) -> ResolvedImage? { images[key] }

  mutating func insert(_ image: ResolvedImage, _ key: Key, _ generation: Int) {
    guard generation == self.generation else { return }
    if images.count >= Self.limit { images.removeAll() }
    images[key] = image
  }

  mutating func clear() {
    images.removeAll()
    generation += 1
  }
}
