import ContentStore
import Faults
import FoundationEssentials
import Glibc
import OCI
import SystemPackage
import Testing

/// A folder under /tmp that is gone with this value.
final class TemporaryFolder {
  let path: FilePath

  init() {
    var template = Array("/tmp/gantry-content-XXXXXX".utf8CString)
    mkdtemp(&template)
    path = FilePath(platformString: template)
  }

  deinit { remove(path) }

  func names(_ folder: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: path.appending(folder).string))?.sorted() ?? []
  }

  private func remove(_ path: FilePath) {
    try? FileManager.default.removeItem(atPath: path.string)
  }
}

@Suite struct ContentStoreTests {
  let folder = TemporaryFolder()

  private func store() throws -> ContentStore { try ContentStore(root: folder.path.appending("image")) }

  private func append(_ data: Data, to ingest: Ingest) throws {
    try data.withUnsafeBytes { try ingest.append($0) }
  }

  @Test func isALayoutWithPrivateFiles() throws {
    let store = try store()
    let blob = try store.stage(Data("hello".utf8))
    try store.publish([blob])
    try store.writeIndex(ImageIndex(manifests: []))
    #expect(folder.names("image") == ["blobs", "index.json", "ingest", "lock", "oci-layout"])
    #expect(folder.names("image/ingest").isEmpty)
    for (path, mode) in [
      ("image", 0o700), ("image/blobs/sha256", 0o700), ("image/blobs/sha256/\(blob.digest.hex)", 0o600),
      ("image/index.json", 0o600), ("image/oci-layout", 0o600),
    ] {
      var status = stat()
      #expect(lstat(folder.path.appending(path).string, &status) == 0)
      #expect(Int(status.st_mode & 0o777) == mode, "\(path)")
    }
    let layout = try ImageDocument.decode(
      ImageLayout.self, from: try Data(contentsOf: folder.path.appending("image/oci-layout").string), named: "it")
    #expect(layout.imageLayoutVersion == "1.0.0")
  }

  /// Sizes around the bounds of buffers and of direct writes.
  @Test(arguments: [
    0, 1, 4095, 4096, 65_536, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, (4 << 20) + 4096, (9 << 20) + 12_345,
  ]) func keepsContent(_ count: Int) throws {
    let store = try store()
    var bytes = [UInt8](repeating: 0, count: count)
    var value: UInt32 = 1
    for position in bytes.indices {
      value = value &* 1_664_525 &+ 1_013_904_223
      bytes[position] = UInt8(value >> 24)
    }
    let data = Data(bytes)
    let ingest = try store.ingest()
    // Pieces of odd sizes, so that they cross the buffers' bounds.
    var rest = data[...]
    while !rest.isEmpty {
      let piece = Data(rest.prefix(70_001))
      try append(piece, to: ingest)
      rest = rest.dropFirst(70_001)
    }
    let digest = Digest.of(data)
    let blob = try ingest.finish(expected: digest, expectedSize: Int64(count))
    #expect(store.size(of: digest) == nil, "nothing is visible before it is published")
    try store.publish([blob])
    #expect(store.size(of: digest) == Int64(count))
    #expect(try Data(contentsOf: store.path(of: digest).string) == data)
    #expect(try store.list() == [digest: Int64(count)])
  }

  @Test func wrongContentIsNeverVisible() throws {
    let store = try store()
    let right = Digest.of(Data("right".utf8))
    for (expected, size) in [(right, nil), (nil, 4), (Digest.of(Data("wrong".utf8)), 6)] as [(Digest?, Int64?)] {
      let ingest = try store.ingest()
      try append(Data("wrong".utf8), to: ingest)
      let fault = #expect(throws: Fault.self) { _ = try ingest.finish(expected: expected, expectedSize: size) }
      #expect(fault?.code == .corrupt)
    }
    #expect(folder.names("image/ingest").isEmpty)
    #expect(try store.list().isEmpty)
  }

  @Test func cancelledAndForgottenIngestsLeaveNothing() throws {
    let store = try store()
    let ingest = try store.ingest()
    try append(Data(count: 5 << 20), to: ingest)
    ingest.cancel()
    do {
      let forgotten = try store.ingest()
      try append(Data(count: 10), to: forgotten)
      _ = try store.stage(Data("unused".utf8))
    }
    #expect(folder.names("image/ingest").isEmpty)
  }

  @Test func publishingTwiceKeepsOne() throws {
    let store = try store()
    try store.publish([try store.stage(Data("a".utf8)), try store.stage(Data("a".utf8))])
    try store.publish([try store.stage(Data("a".utf8))])
    #expect(try store.list().count == 1)
    #expect(folder.names("image/ingest").isEmpty)
  }

  @Test func sha512HasItsOwnFolder() throws {
    let store = try store()
    let data = Data("content".utf8)
    let digest = Digest.of(data, .sha512)
    try store.publish([try store.stage(data, expected: digest)])
    #expect(try store.read(digest) == data)
    #expect(folder.names("image/blobs/sha512") == [digest.hex])
  }

  @Test func removalTellsWhatTheDiskGotBack() throws {
    let store = try store()
    let kept = try store.stage(Data("kept".utf8))
    let lost = try store.stage(Data(repeating: 7, count: 10_000))
    try store.publish([kept, lost])
    let allocated = store.allocated(lost.digest)
    #expect(allocated >= 10_000 && allocated % 512 == 0)
    #expect(try store.remove(lost.digest) == allocated)
    #expect(try Array(store.list().keys) == [kept.digest])
    #expect(try store.remove(lost.digest) == 0)
  }

  @Test func changedBlobsAreNotRead() throws {
    let store = try store()
    let blob = try store.stage(Data("truth".utf8))
    try store.publish([blob])
    try Data("lies!".utf8).write(toPath: store.path(of: blob.digest))
    let fault = #expect(throws: Fault.self) { try store.read(blob.digest) }
    #expect(fault?.code == .corrupt)
    let missing = #expect(throws: Fault.self) { try store.read(Digest.of(Data("x".utf8))) }
    #expect(missing?.code == .notFound)
    let large = #expect(throws: Fault.self) { try store.read(blob.digest, limit: 4) }
    #expect(large?.code == .limitExceeded)
  }

  @Test func abandonedIngestsAreRemovedAndNamed() throws {
    do {
      _ = try store()
    }
    try Data("half".utf8).write(toPath: folder.path.appending("image/ingest/123-4"))
    try Data("half".utf8).write(toPath: folder.path.appending("image/.index.json.77.tmp"))
    let store = try store()
    #expect(store.abandonedIngests == ["123-4"])
    #expect(folder.names("image/ingest").isEmpty)
    #expect(!folder.names("image").contains(".index.json.77.tmp"))
  }

  @Test func anotherEngineIsToldThatTheFolderIsTaken() throws {
    let first = try store()
    let fault = #expect(throws: Fault.self) { _ = try self.store() }
    #expect(fault?.code == .locked)
    _ = first
  }

  @Test func anUnknownLayoutVersionIsLeftAlone() throws {
    do {
      _ = try store()
    }
    let marker = folder.path.appending("image/oci-layout")
    try Data(#"{"imageLayoutVersion":"9.0.0"}"#.utf8).write(toPath: marker)
    let fault = #expect(throws: Fault.self) { _ = try self.store() }
    #expect(fault?.code == .unsupported)
    #expect(try String(decoding: Data(contentsOf: marker.string), as: UTF8.self).contains("9.0.0"))
  }

  @Test func indexIsReplacedAsAWhole() throws {
    let store = try store()
    let digest = Digest.of(Data())
    let index = ImageIndex(manifests: [Descriptor(mediaType: MediaType.ociManifest, digest: digest, size: 0)])
    try store.writeIndex(index)
    #expect(store.readIndex() == index)
    try Data("{".utf8).write(toPath: folder.path.appending("image/index.json"))
    #expect(store.readIndex() == nil)
  }

  @Test(.enabled(if: geteuid() == 0, "needs root: mounts a small tmpfs"))
  func aFullDiskIsSaidAndLeavesNothing() throws {
    let path = folder.path.appending("small")
    mkdir(path.string, 0o700)
    #expect(mount("tmpfs", path.string, "tmpfs", 0, "size=6m") == 0)
    defer { umount2(path.string, 2) }
    do {
      let store = try ContentStore(root: path)
      let ingest = try store.ingest()
      let fault = #expect(throws: Fault.self) {
        for _ in 0..<10 { try append(Data(count: 1 << 20), to: ingest) }
        _ = try ingest.finish()
      }
      #expect(fault?.code == .noSpace)
      #expect(fault?.message.contains("disk is full") == true)
      ingest.cancel()
      // There is room again.
      try store.publish([try store.stage(Data(count: 1 << 20))])
    }
    mount("", path.string, "", UInt(MS_REMOUNT | MS_RDONLY), nil)
    let fault = #expect(throws: Fault.self) { _ = try ContentStore(root: path) }
    #expect(fault?.code == .readOnly)
  }
}

extension Data {
  init(contentsOf path: String) throws {
    let file = try FileDescriptor.open(FilePath(path), .readOnly)
    defer { try? file.close() }
    var bytes = [UInt8](repeating: 0, count: Int(try file.seek(offset: 0, from: .end)))
    try file.seek(offset: 0, from: .start)
    var filled = 0
    while filled < bytes.count {
      let count = try bytes.withUnsafeMutableBytes {
        try file.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[filled...]))
      }
      if count == 0 { break }
      filled += count
    }
    self.init(bytes[..<filled])
  }

  func write(toPath path: FilePath) throws {
    let file = try FileDescriptor.open(
      path, .writeOnly, options: [.create, .truncate], permissions: [.ownerReadWrite])
    defer { try? file.close() }
    try withUnsafeBytes { _ = try file.writeAll($0) }
  }
}
