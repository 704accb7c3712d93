internal import CArchive
internal import Faults
internal import Glibc
internal import Linux

extension ArchiveReader {
  /// libarchive's entry as a value of ours, within the limits.
  static func read(_ entry: OpaquePointer, _ limits: ArchiveLimits) throws(Fault) -> ArchiveEntry {
    guard let name = archive_entry_pathname(entry), strlen(name) > 0 else {
      throw Fault(.corrupt, "the tar archive has an entry without a name")
    }
    let path = try bytes(name, limits)
    return ArchiveEntry(
      path: path, kind: try kind(entry, limits), permissions: UInt32(archive_entry_perm(entry)) & 0o7777,
      uid: archive_entry_uid(entry), gid: archive_entry_gid(entry), size: archive_entry_size(entry),
      modifiedSeconds: Int64(archive_entry_mtime(entry)), modifiedNanoseconds: Int64(archive_entry_mtime_nsec(entry)),
      attributes: try attributes(entry, limits, path))
  }

  private static func kind(_ entry: OpaquePointer, _ limits: ArchiveLimits) throws(Fault) -> ArchiveEntry.Kind {
    if let target = archive_entry_hardlink(entry) { return .hardLink(try bytes(target, limits)) }
    switch FileStatus.Kind(rawValue: UInt32(archive_entry_filetype(entry))) {
    case .regular: return .file
    case .directory: return .folder
    case .symbolicLink:
      guard let target = archive_entry_symlink(entry) else {
        throw Fault(.corrupt, "the tar archive has a symbolic link without a target")
      }
      return .symbolicLink(try bytes(target, limits))
    case .characterDevice:
      return .characterDevice(
        major: UInt32(truncatingIfNeeded: archive_entry_rdevmajor(entry)),
        minor: UInt32(truncatingIfNeeded: archive_entry_rdevminor(entry)))
    case .blockDevice:
      return .blockDevice(
        major: UInt32(truncatingIfNeeded: archive_entry_rdevmajor(entry)),
        minor: UInt32(truncatingIfNeeded: archive_entry_rdevminor(entry)))
    case .fifo: return .fifo
    default: return .other
    }
  }

  private static func attributes(
    _ entry: OpaquePointer, _ limits: ArchiveLimits, _ path: [UInt8]
  ) throws(Fault) -> [ArchiveEntry.Attribute] {
    guard archive_entry_xattr_reset(entry) > 0 else { return [] }
    var attributes: [ArchiveEntry.Attribute] = []
    var total = 0
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var size = 0
    while archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK, let name {
      total += size + strlen(name)
      guard total <= limits.attributeBytes else {
        throw Fault(
          .limitExceeded,
          "the extended attributes of \(ArchiveEntry.text(path)) are larger than \(limits.attributeBytes) bytes")
      }
      attributes.append(
        ArchiveEntry.Attribute(
          name: Array(UnsafeRawBufferPointer(start: name, count: strlen(name))),
          value: Array(UnsafeRawBufferPointer(start: value, count: size))))
    }
    // libarchive keeps them in a list that it builds from the front: back into the order of the archive.
    return attributes.reversed()
  }

  private static func bytes(_ text: UnsafePointer<CChar>, _ limits: ArchiveLimits) throws(Fault) -> [UInt8] {
    let count = strlen(text)
    guard count <= limits.pathBytes else {
      throw Fault(.limitExceeded, "the archive has a path of \(count) bytes; the limit is \(limits.pathBytes)")
    }
    return Array(UnsafeRawBufferPointer(start: text, count: count))
  }
}
