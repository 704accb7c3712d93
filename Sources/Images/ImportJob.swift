internal import Archive
internal import ContentStore
internal import Faults
internal import FoundationEssentials
internal import OCI
internal import Tar

/// One import while it reads: collects members, counts bytes, and keeps the blobs that it counts on from being removed.
final class ImportJob {
  /// How many bytes there are between two reports.
  static let reportInterval: Int64 = 8 << 20

  private let store: ImageStore
  private let observer: ImportObserver
  private var held: [String] = []
  private var current: Int64 = 0
  private var reported: Int64 = 0
  /// The bytes of the input, when they are known and the input is not compressed.
  var total: Int64?

  init(store: ImageStore, observer: ImportObserver) {
    self.store = store
    self.observer = observer
  }

  deinit {
    store.holds.release(held)
  }

  /// Whether the store has the blob; from then until the import's end it is not removed.
  func pin(_ digest: Digest, _ size: Int64) -> Bool {
    store.holds.hold([digest.rawValue])
    held.append(digest.rawValue)
    return store.content.size(of: digest) == size
  }

  /// Counts bytes; throws `cancelled`.
  func advance(_ count: Int) throws(Fault) {
    current += Int64(count)
    try checkCancelled()
    if current - reported >= Self.reportInterval { report("read") }
  }

  func report(_ stage: String) {
    reported = current
    let total = total.map { max($0, current) }
    observer.progress(ImportProgress(stage: stage, current: current, total: total))
  }

  func checkCancelled() throws(Fault) {
    if observer.isCancelled() { throw Fault(.cancelled, "the import was cancelled; nothing was kept") }
  }

  /// Reads all members of an archive.
  func collect(_ archive: ArchiveReader) throws -> ImportMembers {
    let members = ImportMembers()
    while let entry = try archive.next() {
      let text = String(decoding: entry.path, as: UTF8.self)
      switch entry.kind {
      case .file:
        let name = try Self.name(text)
        try members.add(name, try member(name, entry, archive, members))
      case .hardLink(let target):
        try members.add(
          try Self.name(text), .link(to: try Self.target(String(decoding: target, as: UTF8.self), of: text)))
      case .symbolicLink(let target):
        let target = String(decoding: target, as: UTF8.self)
        let folder = text.split(separator: "/").dropLast().joined(separator: "/")
        guard !target.hasPrefix("/") else { throw Self.outside(text) }
        try members.add(try Self.name(text), .link(to: try Self.target("\(folder)/\(target)", of: text)))
      default:
        continue
      }
    }
    return members
  }

  private func member(
    _ name: String, _ entry: ArchiveEntry, _ archive: ArchiveReader, _ members: ImportMembers
  ) throws -> ImportMembers.Member {
    let named = Self.digest(inName: name)
    if members.fitsMemory(entry.size) {
      let data = Data(try archive.readAll(limit: ImportMembers.smallSize))
      try advance(data.count)
      return .memory(data, Digest.of(data, named?.algorithm ?? .sha256))
    }
    if let named, pin(named, entry.size) {
      try advance(Int(entry.size))
      return .stored(named, size: entry.size)
    }
    let ingest = try store.content.ingest(named?.algorithm ?? .sha256)
    try archive.forEachChunk { chunk in
      try ingest.append(chunk)
      try advance(chunk.count)
    }
    guard ingest.size == entry.size else {
      throw Fault(.corrupt, "the archive was cut off in the middle of \(ImportMembers.shown(name))")
    }
    return .staged(try ingest.finish())
  }

  private static func name(_ text: String) throws(Fault) -> String {
    guard let name = ImportMembers.normalized(text) else { throw outside(text) }
    return name
  }

  private static func target(_ text: String, of name: String) throws(Fault) -> String {
    guard let target = ImportMembers.normalized(text) else { throw outside(name) }
    return target
  }

  private static func outside(_ name: String) -> Fault {
    Fault(.corrupt, "the archive's member \(ImportMembers.shown(name)) leads out of the archive; it is not used")
  }

  /// The digest of `blobs/sha256/HEX`.
  static func digest(inName name: String) -> Digest? {
    let parts = name.split(separator: "/")
    guard parts.count == 3, parts[0] == "blobs" else { return nil }
    return try? Digest(parsing: "\(parts[1]):\(parts[2])")
  }
}
