internal import Faults
internal import Linux
public import SystemPackage
public import Tar

extension ArchiveReader {
  /// Opens the file at `path`, plain or compressed with gzip, zstd, xz or bzip2.
  public convenience init(path: FilePath, limits: ArchiveLimits = ArchiveLimits()) throws {
    let file = try OwnedFile(path)
    let source = try DecompressedSource(DescriptorSource(file.descriptor, name: path.string), limits: limits)
    self.init(tar: source, limits: limits, owned: file)
  }

  /// Reads an open file, pipe or socket from its current position, compressed or not; the descriptor stays the caller's
  /// and open.
  public convenience init(descriptor: Int32, limits: ArchiveLimits = ArchiveLimits()) throws {
    try self.init(source: DescriptorSource(descriptor), limits: limits)
  }

  /// Reads `source`, compressed or not.
  public convenience init(source: any ByteSource, limits: ArchiveLimits = ArchiveLimits()) throws {
    self.init(tar: try DecompressedSource(source, limits: limits), limits: limits)
  }
}

/// A file opened for reading here, closed with this value.
final class OwnedFile: Sendable {
  private let file: OwnedDescriptor
  var descriptor: Int32 { file.rawValue }

  init(_ file: consuming OwnedDescriptor) { self.file = file }

  init(_ path: FilePath) throws(Fault) {
    do throws(Errno) {
      file = try openat2(nil, path.string, [.readOnly, .noControllingTerminal])
    } catch .noSuchFileOrDirectory {
      throw Fault(.notFound, "the file \(path) does not exist")
    } catch {
      throw Fault(.permissionDenied, "the file \(path) cannot be read", cause: ["\(error)"])
    }
  }
}
