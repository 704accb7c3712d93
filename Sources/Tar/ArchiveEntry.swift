/// One entry of a tar archive as its header describes it. Names are bytes: file names need not be UTF-8.
public struct ArchiveEntry: Sendable, Equatable {
  /// What the entry makes.
  public enum Kind: Sendable, Equatable {
    case file
    case folder
    /// A symbolic link with its target.
    case symbolicLink([UInt8])
    /// Another name of the file that has this path in the archive.
    case hardLink([UInt8])
    case characterDevice(major: UInt32, minor: UInt32)
    case blockDevice(major: UInt32, minor: UInt32)
    case fifo
    /// A type that file systems do not have.
    case other
  }

  /// One extended attribute.
  public struct Attribute: Sendable, Equatable {
    /// The whole name, such as `security.capability`, without a zero byte.
    public var name: [UInt8]
    /// Any bytes.
    public var value: [UInt8]
  }

  /// The path as the archive has it.
  public var path: [UInt8]
  public var kind: Kind
  /// The twelve permission bits.
  public var permissions: UInt32
  /// The owner; not yet checked to be in the range of the kernel's ids.
  public var uid: Int64
  /// The owning group; not yet checked.
  public var gid: Int64
  /// The length of a file in bytes, holes included.
  public var size: Int64
  /// Modification time: seconds since 1970.
  public var modifiedSeconds: Int64
  /// Modification time: the rest, 0 to 999,999,999 nanoseconds.
  public var modifiedNanoseconds: Int64
  /// Extended attributes from pax records (`SCHILY.xattr.`, `LIBARCHIVE.xattr.`).
  public var attributes: [Attribute]

  package init(
    path: [UInt8], kind: Kind, permissions: UInt32, uid: Int64, gid: Int64, size: Int64, modifiedSeconds: Int64,
    modifiedNanoseconds: Int64, attributes: [Attribute]
  ) {
    self.path = path
    self.kind = kind
    self.permissions = permissions
    self.uid = uid
    self.gid = gid
    self.size = size
    self.modifiedSeconds = modifiedSeconds
    self.modifiedNanoseconds = modifiedNanoseconds
    self.attributes = attributes
  }

  /// The path as text; bytes that are not UTF-8 become U+FFFD, control characters `?`. For messages, and for archives
  /// whose names are known to be plain.
  public var pathText: String { Self.text(path) }

  package static func text(_ bytes: [UInt8]) -> String {
    let shown = bytes.prefix(300).map { $0 < 32 || $0 == 127 ? UInt8(ascii: "?") : $0 }
    return String(decoding: shown, as: UTF8.self) + (bytes.count > 300 ? "…" : "")
  }
}
