internal import ContentStore
internal import Faults
internal import FoundationEssentials
internal import GRDB
internal import Linux
internal import OCI
internal import SystemPackage

/// What a push brings where, as it was when the push began: the files are open, so that no removal takes them away.
struct PushPlan {
  /// One image under one tag.
  struct Image: Sendable {
    var tag: String
    var platform: Platform
    var manifest: Descriptor
    /// The manifest's bytes.
    var document: Data
    /// The layers, lowest first; each once.
    var layers: [PushBlob]
    var config: PushBlob

    var blobs: [PushBlob] { layers + [config] }
  }

  let repository: Reference
  var images: [Image] = []

  /// Finds the image of `name`, or all of its repository.
  init(_ database: Database, _ name: Reference, allTags: Bool, content: ContentStore) throws {
    repository = name
    let here = try ImageQueries.names(database).filter { $0.repository == name.name }
    guard !here.isEmpty else {
      throw Fault(.notFound, "An image does not exist locally with the tag: \(name.familiarName)")
    }
    var chosen = here.map { ($0.tag, $0.manifest) }
    if let digest = name.digest {
      guard let manifest = try ImageQueries.manifest(database, repository: name.name, digest: digest) else {
        throw ImageStore.noSuchImage(name.familiar)
      }
      chosen = [(digest.rawValue, manifest)]
    } else if !allTags {
      let tag = name.tag ?? Reference.defaultTag
      chosen.removeAll { $0.0 != tag }
      guard !chosen.isEmpty else { throw Fault(.notFound, "tag does not exist: \(name.withDefaultTag.familiar)") }
    }
    let siblings = try Siblings(database, of: name)
    for (tag, manifest) in chosen {
      guard let row = try ImageQueries.image(database, manifest: manifest) else {
        throw ImageStore.noSuchImage(name.familiar)
      }
      images.append(try Self.image(database, tag, row, content, siblings))
    }
  }

  private static func image(
    _ database: Database, _ tag: String, _ row: ImageRow, _ content: ContentStore, _ siblings: Siblings
  ) throws -> Image {
    func blob(_ descriptor: Descriptor) throws(Fault) -> PushBlob {
      try PushBlob(
        descriptor, path: content.path(of: descriptor.digest), sources: siblings.repositories(of: descriptor.digest))
    }
    var seen: Set<Digest> = []
    var layers: [PushBlob] = []
    for layer in try ImageQueries.layers(database, manifest: row.manifest.digest)
    where seen.insert(layer.descriptor.digest).inserted {
      layers.append(try blob(layer.descriptor))
    }
    return Image(
      tag: tag, platform: row.platform, manifest: row.manifest, document: try content.read(row.manifest.digest),
      layers: layers, config: try blob(row.config))
  }
}

/// One blob of an image that is pushed.
final class PushBlob: Sendable {
  let descriptor: Descriptor
  /// Repositories of the same registry that may have it.
  let sources: [String]
  let file: OwnedDescriptor

  init(_ descriptor: Descriptor, path: FilePath, sources: [String]) throws(Fault) {
    self.descriptor = descriptor
    self.sources = sources
    do throws(Errno) {
      file = try openat2(nil, path.string, [.readOnly, .noFollow])
      guard try FileStatus(of: file.rawValue).size == UInt64(descriptor.size) else { throw Errno.ioError }
    } catch .noSuchFileOrDirectory {
      throw Fault(
        .notFound, "the blob \(descriptor.digest) is not stored, so the image cannot be pushed: pull or load it")
    } catch {
      throw Fault(
        .corrupt, "the blob \(path) cannot be pushed: it is not \(descriptor.size) bytes of a file that can be read")
    }
  }
}

/// Other repositories of one registry whose images are here: what they have need not be uploaded once more.
private struct Siblings {
  private var manifests: [Digest: [String]] = [:]
  private var blobs: [Digest: Set<Digest>] = [:]

  init(_ database: Database, of name: Reference) throws {
    for row in try ImageQueries.names(database) where row.repository != name.name {
      guard let other = try? Reference(parsing: row.repository), other.domain == name.domain else { continue }
      if manifests[row.manifest]?.contains(other.path) != true {
        manifests[row.manifest, default: []].append(other.path)
      }
    }
    for manifest in manifests.keys {
      for layer in try ImageQueries.layers(database, manifest: manifest) {
        blobs[layer.descriptor.digest, default: []].insert(manifest)
      }
      if let row = try ImageQueries.image(database, manifest: manifest) { blobs[row.id, default: []].insert(manifest) }
    }
  }

  /// Those that have the blob, in order of their names.
  func repositories(of blob: Digest) -> [String] {
    Array(Set((blobs[blob] ?? []).flatMap { manifests[$0] ?? [] })).sorted()
  }
}
