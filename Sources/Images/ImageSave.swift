internal import ContentStore
public import Faults
internal import FoundationEssentials
internal import GRDB
internal import Linux
public import OCI
internal import SystemPackage
internal import Tar

/// An archive of images that is decided on and not yet written: an OCI image layout (OCI image specification 1.1) that is a
/// docker-archive as well, as Docker 25 and later write it. Each blob is in it once, as it is stored.
///
///     oci-layout  index.json                the layout
///     manifest.json  repositories           Docker's tables: images by configuration and names, names by topmost layer
///     blobs/sha256/HEX                      manifests, configurations, layers
///
/// Two saves of the same images are equal byte for byte.
public final class SavedArchive: Sendable {
  enum Content: Sendable {
    case data([UInt8])
    case blob(Digest)
  }

  struct Member: Sendable {
    var path: String
    var size: Int64
    /// Nil for a folder.
    var content: Content?
  }

  private let store: ImageStore
  private let members: [Member]
  /// The archive's length in bytes.
  public let size: Int64
  private let held: [Digest]

  init(store: ImageStore, members: [Member], held: [Digest]) {
    self.store = store
    self.members = members
    self.held = held
    size = members.reduce(1024) {
      $0 + Int64(TarHeader.bytes(Self.entry($1)).header.count) + ($1.size + 511) / 512 * 512
    }
  }

  deinit { store.endHold(held) }

  /// Writes the archive to an open file, pipe or socket.
  ///
  /// Throws `corrupt` when a blob is not what it was, `cancelled` when nobody reads any more.
  public func write(to descriptor: Int32) throws(Fault) {
    do {
      let writer = TarWriter(descriptor)
      for member in members {
        let entry = Self.entry(member)
        switch member.content {
        case nil: try writer.write(entry)
        case .data(let bytes): try writer.write(entry, bytes: bytes)
        case .blob(let digest):
          let path = store.content.path(of: digest)
          let file: OwnedDescriptor
          do throws(Errno) { file = try openat2(nil, path.string, [.readOnly, .noFollow]) } catch {
            throw Fault(
              .corrupt, "the blob \(digest) cannot be read: load or pull its image again", cause: ["\(error)"])
          }
          guard try FileStatus(of: file.rawValue).size == UInt64(member.size) else {
            throw Fault(.corrupt, "the blob \(path) has changed on disk: load or pull its image again")
          }
          try writer.write(entry, content: file.rawValue)
        }
      }
      try writer.finish()
    } catch {
      throw Fault(describing: error)
    }
  }

  private static func entry(_ member: Member) -> ArchiveEntry {
    ArchiveEntry(
      path: Array(member.path.utf8), kind: member.content == nil ? .folder : .file,
      permissions: member.content == nil ? 0o755 : 0o644, uid: 0, gid: 0, size: member.size, modifiedSeconds: 0,
      modifiedNanoseconds: 0, attributes: [])
  }
}

/// An image in a save, with the names that it was asked for by.
struct SavedImage {
  var row: ImageRow
  var names: [Reference] = []
}

extension ImageStore {
  /// Decides on an archive of images. Their blobs stay until the value is gone.
  ///
  /// Throws `notFound` for an unknown image, or one whose layers are not all stored (`missing`).
  public func save(_ references: [String], platform: Platform? = nil) throws(Fault) -> SavedArchive {
    var images: [SavedImage] = []
    for reference in references {
      for image in try savedImages(reference, platform: platform) {
        if let known = images.firstIndex(where: { $0.row.manifest.digest == image.row.manifest.digest }) {
          images[known].names += image.names.filter { !images[known].names.contains($0) }
        } else {
          images.append(image)
        }
      }
    }
    guard !images.isEmpty else { throw Fault(.invalidArgument, "no image was named to be saved") }
    var held: [Digest] = []
    do throws(Fault) {
      let members = try members(images, &held)
      return SavedArchive(store: self, members: members, held: held)
    } catch {
      endHold(held)
      throw error
    }
  }

  /// The images that a reference means: one, or all tags of a repository that is named without a tag.
  func savedImages(_ reference: String, platform: Platform?) throws(Fault) -> [SavedImage] {
    let images = try database.read { database -> [SavedImage] in
      let isID =
        reference.hasPrefix("sha256:") || (reference.utf8.count == 64 && reference.utf8.allSatisfy(Digest.isLowerHex))
      if !isID, let name = try? Reference(parsing: reference), name.tag == nil, name.digest == nil {
        let names = try ImageQueries.names(database).filter { $0.repository == name.name }
        if !names.isEmpty {
          return try names.compactMap { row in
            guard let image = try ImageQueries.image(database, manifest: row.manifest) else { return nil }
            return SavedImage(row: image, names: [try name.withTag(row.tag)])
          }
        }
      }
      let found = try Self.find(database, reference)
      return [SavedImage(row: found.row, names: found.name.flatMap { $0.digest == nil ? [$0] : nil } ?? [])]
    }
    guard let platform else { return images }
    let suitable = images.filter { $0.row.platform.distance(from: platform) != nil }
    guard !suitable.isEmpty else {
      throw Fault(
        .notFound,
        "image with reference \(reference) was found but it is for \(images[0].row.platform), not for \(platform.normalized)"
      )
    }
    return suitable
  }

  private func members(_ images: [SavedImage], _ held: inout [Digest]) throws(Fault) -> [SavedArchive.Member] {
    var blobs: [SavedArchive.Member] = []
    var seen: Set<Digest> = []
    var folders: Set<String> = []
    var index: [Descriptor] = []
    var table: [DockerArchiveEntry] = []
    var repositories: [String: [String: String]] = [:]
    func add(_ descriptor: Descriptor) throws(Fault) {
      let digest = descriptor.digest
      guard seen.insert(digest).inserted else { return }
      holds.hold([digest.rawValue])
      held.append(digest)
      guard let size = content.size(of: digest) else {
        throw Fault(.notFound, "the blob \(digest) is not stored: load or pull its image again")
      }
      guard size == descriptor.size else {
        throw Fault(
          .corrupt, "the blob \(digest) has \(size) bytes instead of \(descriptor.size): load its image again")
      }
      folders.insert("blobs/\(digest.algorithm.rawValue)/")
      blobs.append(.init(path: Self.path(digest), size: size, content: .blob(digest)))
    }
    for image in images {
      let layers = try database.read { try ImageQueries.layers($0, manifest: image.row.manifest.digest) }
      try add(image.row.manifest)
      try add(image.row.config)
      for layer in layers { try add(layer.descriptor) }
      var descriptor = image.row.manifest
      descriptor.platform = image.row.platform
      for name in image.names {
        var named = descriptor
        named.annotations = [
          AnnotationKey.containerdImageName: name.canonical, AnnotationKey.refName: name.tag ?? Reference.defaultTag,
        ]
        index.append(named)
        if let top = layers.last {
          repositories[name.familiarName, default: [:]][name.tag ?? Reference.defaultTag] = top.descriptor.digest.hex
        }
      }
      if image.names.isEmpty { index.append(descriptor) }
      table.append(
        DockerArchiveEntry(
          config: Self.path(image.row.id), repoTags: image.names.isEmpty ? nil : image.names.map(\.familiar),
          layers: layers.map { Self.path($0.descriptor.digest) }))
    }
    func document(_ path: String, _ value: some Encodable) throws(Fault) -> SavedArchive.Member {
      let data = try ImageDocument.encode(value)
      return .init(path: path, size: Int64(data.count), content: .data(Array(data)))
    }
    var members = [
      try document("oci-layout", ImageLayout()), try document("index.json", ImageIndex(manifests: index)),
      try document("manifest.json", table),
    ]
    if !repositories.isEmpty { members.append(try document("repositories", repositories)) }
    members += (["blobs/"] + folders.sorted()).map { .init(path: $0, size: 0, content: nil) }
    return members + blobs
  }

  private static func path(_ digest: Digest) -> String { "blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }
}

/// One image in Docker's `manifest.json`.
private struct DockerArchiveEntry: Encodable {
  var config: String
  var repoTags: [String]?
  var layers: [String]

  private enum CodingKeys: String, CodingKey {
    case config = "Config"
    case repoTags = "RepoTags"
    case layers = "Layers"
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(config, forKey: .config)
    // Go programs expect null, not nothing.
    try container.encode(repoTags, forKey: .repoTags)
    try container.encode(layers, forKey: .layers)
  }
}
