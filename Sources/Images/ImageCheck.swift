internal import ContentStore
public import Faults
internal import GRDB
internal import GarbageCollection
internal import Linux
public import OCI
internal import SystemPackage

/// Content that is not what it must be.
public struct ContentDamage: Sendable, Equatable {
  /// The blob.
  public var digest: Digest
  /// What is wrong.
  public var problem: String
  /// The ids of the images that need it.
  public var images: [Digest]
}

/// What a check of all content found.
public struct ContentCheck: Sendable, Equatable {
  /// The blobs that were read.
  public var blobs = 0
  /// Their bytes.
  public var bytes: Int64 = 0
  /// What is wrong, by digest.
  public var damage: [ContentDamage] = []
}

extension ImageStore {
  /// Reads all content and compares it with its digests, and the images with the content that they need. Changes nothing
  /// but what `setAside` says; others work meanwhile.
  ///
  /// - Parameter setAside: move damaged files to `set-aside/`, so that the same content can come again: content that is
  ///   there is not written.
  public func verify(setAside: Bool = false, observer: ImportObserver = ImportObserver()) throws(Fault) -> ContentCheck
  {
    var check = ContentCheck()
    var problems: [Digest: String] = [:]
    let listed = try content.list().sorted { $0.key < $1.key }
    let total = listed.reduce(0) { $0 + $1.value }
    for (digest, size) in listed {
      let intact = try content.isIntact(digest) { count throws(Fault) in
        check.bytes += Int64(count)
        if observer.isCancelled() { throw Fault(.cancelled, "the check was taken back") }
        observer.progress(ImportProgress(stage: "check", current: check.bytes, total: total))
      }
      check.blobs += 1
      if !intact { problems[digest] = "its \(size) bytes are not those of its digest" }
    }
    let (graph, rows, sizes) = try database.read { database in
      (
        try Self.graph(database), try ImageQueries.images(database),
        try Row.fetchAll(database, sql: "SELECT DISTINCT digest, size FROM layer").map { row in
          (try Digest(parsing: row["digest"]), row["size"] as Int64)
        }
      )
    }
    for (digest, size) in sizes + rows.flatMap({ [($0.manifest.digest, $0.manifest.size), ($0.id, $0.config.size)] }) {
      guard problems[digest] == nil else { continue }
      switch content.size(of: digest) {
      case size: break
      case nil: problems[digest] = "it is missing"
      case let found?: problems[digest] = "it has \(found) bytes instead of \(size)"
      }
    }
    let ids = Dictionary(rows.map { ($0.manifest.digest.rawValue, $0.id) }) { first, _ in first }
    for (digest, problem) in problems.sorted(by: { $0.key < $1.key }) {
      let images = graph.dependents(of: .blob(digest.rawValue)).compactMap { node in
        if case .image(let manifest) = node { ids[manifest] } else { nil }
      }
      check.damage.append(ContentDamage(digest: digest, problem: problem, images: Set(images).sorted()))
      guard setAside, content.size(of: digest) != nil else { continue }
      let aside = try content.setAside(content.path(of: digest))
      log.error("damaged content is set aside", metadata: ["digest": "\(digest)", "aside": "\(aside)"])
    }
    return check
  }
}
