internal import Faults
internal import FoundationEssentials
internal import Glibc
internal import JSONRPC
internal import Linux
internal import OCI
internal import Protocol
internal import SystemPackage

/// One manifest of a list that is being made, in the shape of Docker's files.
struct ListedManifest: Codable {
  /// The image's whole name.
  var reference: String
  /// As the list will have it, with the platform.
  var descriptor: Descriptor
  /// The manifest's bytes.
  var raw: Data
  /// The manifest, for people; which of the two says what it is.
  var docker: JSONValue?
  var oci: JSONValue?

  private enum CodingKeys: String, CodingKey {
    case reference = "Ref"
    case descriptor = "Descriptor"
    case raw = "Raw"
    case docker = "SchemaV2Manifest"
    case oci = "OCIManifest"
  }
}

/// Lists of manifests before they are pushed: they are a person's own work, so they are kept where Docker keeps its lists, one
/// folder a list and one file a manifest, and either program goes on with what the other began.
///
///     ~/.docker/manifests/docker.io_me_app-1/docker.io_me_app-1-arm64
struct ManifestStore {
  private static let sizeLimit = 16 << 20

  private let folder: FilePath

  /// - Parameter folder: that of Docker's configuration; nil for the usual place.
  init(folder: String?) throws {
    self.folder = try DockerConfigFile.folder(folder).appending("manifests")
  }

  private func path(_ list: Reference) -> FilePath { folder.appending(Self.fileName(list)) }

  /// Docker's name for a file: no slash and no colon.
  static func fileName(_ reference: Reference) -> String {
    String(reference.canonical.map { $0 == ":" ? "-" : $0 == "/" ? "_" : $0 })
  }

  /// The manifests of `list`, in order of their files; nil when there is no such list.
  func manifests(of list: Reference) throws -> [ListedManifest]? {
    let names: [String]
    do {
      names = try Files.list(path(list).string).sorted()
    } catch Errno.noSuchFileOrDirectory {
      return nil
    } catch {
      throw CommandFailure("the manifest list \(path(list)) cannot be read: \(error)")
    }
    return try names.filter { !$0.hasPrefix(".") }.map { try read(path(list).appending($0)) }
  }

  /// The manifest of `image` in `list`; nil when the list has none.
  func manifest(of image: Reference, in list: Reference) throws -> ListedManifest? {
    let file = path(list).appending(Self.fileName(image))
    return access(file.string, F_OK) == 0 ? try read(file) : nil
  }

  private func read(_ path: FilePath) throws -> ListedManifest {
    do {
      return try JSONDecoder().decode(ListedManifest.self, from: Data(Files.read(path.string, limit: Self.sizeLimit)))
    } catch {
      throw CommandFailure("\(path) cannot be read as a manifest: remove the list with gantry manifest rm")
    }
  }

  /// Adds a manifest to `list`, or replaces it.
  func set(_ manifest: ListedManifest, of image: Reference, in list: Reference) throws {
    do {
      try Files.makeDirectories(path(list), mode: 0o755)
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      let text = Array(try encoder.encode(manifest))
      try DurableFile.write(path(list).appending(Self.fileName(image)), text, mode: 0o644)
    } catch {
      throw CommandFailure("the manifest list \(path(list)) cannot be written: \(error)")
    }
  }

  /// Removes `list`; false when there is none.
  func remove(_ list: Reference) throws -> Bool {
    guard let names = try? Files.list(path(list).string) else { return false }
    do {
      for name in names { try Files.unlink(path(list).appending(name).string) }
      try Files.removeDirectory(path(list).string)
    } catch {
      throw CommandFailure("the manifest list \(path(list)) cannot be removed: \(error)")
    }
    return true
  }
}

extension Session {
  /// The lists of manifests of this command.
  func manifestStore() throws -> ManifestStore { try ManifestStore(folder: options.configFolder) }

  /// What a name means at its registry.
  func remoteManifest(_ name: Reference, insecure: Bool) throws -> GatewayAPI.ImageRemoteManifestResult {
    do {
      return try call(
        GatewayAPI.Method.imageRemoteManifest,
        .init(reference: name.canonical, insecure: insecure ? true : nil, auth: registryAuth(domain: name.domain)))
    } catch let fault as Fault where fault.code == .notFound {
      throw CommandFailure("no such manifest: \(name.canonical)")
    }
  }

  /// The manifest of one image at its registry, with the platform that its configuration says.
  func listedManifest(_ name: Reference, insecure: Bool) throws -> ListedManifest {
    let found = try remoteManifest(name, insecure: insecure)
    guard let config = found.config else {
      throw CommandFailure("\(name.familiar) is a manifest list: a list has images, not other lists")
    }
    let platform = try? JSONDecoder().decode(Platform.self, from: Data(config.utf8))
    let raw = Data(found.content.utf8)
    var manifest = ListedManifest(
      reference: name.canonical,
      descriptor: Descriptor(
        mediaType: found.mediaType, digest: try Digest(parsing: found.digest), size: Int64(raw.count),
        platform: platform),
      raw: raw)
    let document = try JSONValue(parsing: raw)
    if found.mediaType == MediaType.dockerManifest { manifest.docker = document } else { manifest.oci = document }
    return manifest
  }
}
