import Archive
public import ArchiveFixtures
import Faults
public import Linux
import OCI
public import Protocol
import SystemPackage

/// An image made of tars, as layer sources for `snapshot.unpack`.
public struct ImageFixture: Sendable {
  /// Lowest first.
  public var layers: [LayerSource]

  /// The topmost chainID.
  public var chainID: String { layers.last?.chainID ?? "" }

  /// Writes each tar into `scratch` and names it by its digests.
  public init(_ scratch: Scratch, _ tars: [Tar], prefix: String = "layer") throws {
    try self.init(scratch, archives: tars.map(\.archive), prefix: prefix)
  }

  /// The same for finished archives.
  public init(_ scratch: Scratch, archives: [[UInt8]], prefix: String = "layer") throws {
    var layers: [LayerSource] = []
    var diffIDs: [Digest] = []
    for (index, archive) in archives.enumerated() {
      let path = scratch.write("\(prefix)-\(index)", archive)
      let digest = LayerChain.digest(archive)
      diffIDs.append(digest)
      layers.append(
        LayerSource(
          descriptor: Descriptor(
            mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digest, size: Int64(archive.count)),
          diffID: digest.rawValue, chainID: "", path: path.string))
    }
    for (index, chainID) in LayerChain.ids(diffIDs).enumerated() { layers[index].chainID = chainID.rawValue }
    self.layers = layers
  }
}

/// A snapshot mounted without a place: only the test's own descriptor reaches it, and it ends with this value.
public final class MountedSnapshot {
  private let root: OwnedDescriptor

  /// Mounts what the service said. Needs root.
  public init(_ mounts: [MountSpec]) throws {
    guard let mount = mounts.first, mounts.count == 1 else {
      throw Fault(.unsupported, "one mount is expected, not \(mounts.count)")
    }
    switch mount.type {
    case "overlay":
      root = try Mounts.make(
        "overlay", source: mount.source,
        parameters: mount.options.map { option in
          guard let equals = option.firstIndex(of: "=") else { return (option, nil) }
          return (String(option[..<equals]), String(option[option.index(after: equals)...]))
        })
    case "bind": root = try openat2(nil, mount.source, [.path, .directory])
    default: throw Fault(.unsupported, "a mount of type \(mount.type) is not expected")
    }
  }

  /// A file's content; nil when it does not exist.
  public func text(_ path: String) -> String? { try? Files.readText(at: root.rawValue, path) }

  /// The names in a folder, sorted.
  public func names(_ path: String = ".") throws -> [String] {
    let folder = try openat2(root.rawValue, path, [.readOnly, .directory])
    return try Files.list(folder.rawValue).sorted()
  }

  /// Status of a file, the link itself.
  public func status(_ path: String) throws -> FileStatus {
    let file = try openat2(root.rawValue, path, [.path, .noFollow])
    return try FileStatus(of: file.rawValue)
  }

  /// An extended attribute of a file.
  public func attribute(_ path: String, _ name: String) throws -> [UInt8]? {
    let file = try openat2(root.rawValue, path, [.readOnly])
    return try ExtendedAttributes.get(file.rawValue, name)
  }

  /// Writes a file.
  public func write(_ path: String, _ text: String) throws {
    let file = try openat2(root.rawValue, path, [.writeOnly, .create, .truncate], mode: 0o644)
    try Array(text.utf8).withUnsafeBytes { try Descriptors.writeAll(file.rawValue, $0) }
  }

  /// Removes a file.
  public func remove(_ path: String) throws { try Files.unlink(at: root.rawValue, path) }
}
