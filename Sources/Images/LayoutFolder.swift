internal import ContentStore
internal import Faults
internal import FoundationEssentials
internal import Linux
internal import OCI
internal import SystemPackage

/// A layout in a folder, which is not trusted: every file is opened beneath the folder, without following links.
final class LayoutFolder: LayoutSource {
  private let folder: OwnedDescriptor
  private let name: String
  private let content: ContentStore
  /// Called with a digest that the store has already; true when it may be counted on.
  private let pin: (Digest, Int64) -> Bool
  /// Called with the bytes that were copied.
  private let progress: (Int) throws(Fault) -> Void

  init(
    _ folder: consuming OwnedDescriptor, name: String, content: ContentStore,
    pin: @escaping (Digest, Int64) -> Bool, progress: @escaping (Int) throws(Fault) -> Void
  ) {
    self.folder = folder
    self.name = name
    self.content = content
    self.pin = pin
    self.progress = progress
  }

  func document(_ path: String, _ what: String) throws(Fault) -> Data {
    do throws(Errno) {
      let file = try open(path)
      return Data(try Files.read(file.rawValue, limit: ImageDocument.sizeLimit))
    } catch {
      if error == .fileTooLarge {
        throw Fault(.limitExceeded, "\(what) \(name)/\(path) has more than \(ImageDocument.sizeLimit) bytes")
      }
      throw fault(error, path, what)
    }
  }

  func document(_ descriptor: Descriptor, _ what: String) throws(Fault) -> Data {
    let data = try document(path(descriptor.digest), what)
    try descriptor.check(digest: Digest.of(data, descriptor.digest.algorithm), size: Int64(data.count), what)
    return data
  }

  func has(_ path: String) -> Bool {
    guard let file = try? open(path) else { return false }
    return file.rawValue >= 0
  }

  func blob(_ descriptor: Descriptor) throws(Fault) -> ImportPlan.Source {
    if pin(descriptor.digest, descriptor.size) { return .stored }
    let path = path(descriptor.digest)
    let ingest = try content.ingest(descriptor.digest.algorithm)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 512 << 10, alignment: 64)
    defer { buffer.deallocate() }
    do {
      let file = try open(path)
      while true {
        let count = try Descriptors.read(file.rawValue, into: buffer)
        if count == 0 { break }
        try ingest.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        try progress(count)
        guard ingest.size <= descriptor.size else { break }
      }
    } catch let error as Errno {
      throw fault(error, path, "the layer")
    } catch {
      throw Fault(describing: error)
    }
    return .staged(try ingest.finish(expected: descriptor.digest, expectedSize: descriptor.size))
  }

  private func path(_ digest: Digest) -> String { "blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }

  /// Opens a regular file beneath the folder.
  private func open(_ path: String) throws(Errno) -> OwnedDescriptor {
    let file = try openat2(
      folder.rawValue, path, [.readOnly, .nonBlocking, .noFollow], resolve: [.beneath, .noSymlinks, .noMagicLinks])
    guard try FileStatus(of: file.rawValue).kind == .regular else { throw .invalidArgument }
    return file
  }

  private func fault(_ error: Errno, _ path: String, _ what: String) -> Fault {
    switch error {
    case .noSuchFileOrDirectory:
      Fault(.corrupt, "\(what) \(path) is missing in the image layout \(name)")
    case .tooManySymbolicLinkLevels, .init(rawValue: 18):
      Fault(
        .corrupt, "\(what) \(path) in the image layout \(name) is a link or leads out of it; links are not followed")
    default:
      Fault(.permissionDenied, "\(what) \(name)/\(path) cannot be read", cause: ["\(error)"])
    }
  }
}
