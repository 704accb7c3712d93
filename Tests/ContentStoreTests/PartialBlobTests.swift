import ContentStore
import Glibc
import OCI
import SystemPackage
import Testing

@Suite struct PartialBlobTests {
  let folder = TemporaryFolder()

  /// The beginning of a blob stays for the next transfer, and goes when none came for a week.
  @Test func beginningsOfBlobsAgeOut() throws {
    let digests = try ["a", "b", "c"].map { try Digest(parsing: "sha256:" + String(repeating: $0, count: 64)) }
    var store: ContentStore? = try ContentStore(root: folder.path.appending("image"))
    for digest in digests { try begin(digest, in: #require(store)) }
    try makeOld(digests[0])
    try makeOld(digests[1])
    // A transfer that goes on makes it young again, though it adds nothing.
    try store?.partial(digests[1], size: 10 << 20).resume()
    #expect(try store?.removeOldPartials() == 4096)
    #expect(folder.names("image/ingest") == digests[1...].map { "sha256-\($0.hex)" })
    try makeOld(digests[2])
    store = nil
    store = try ContentStore(root: folder.path.appending("image"))
    #expect(folder.names("image/ingest") == ["sha256-\(digests[1].hex)"])
    #expect(store?.abandonedIngests == ["sha256-\(digests[2].hex)"])
  }

  private func begin(_ digest: Digest, in store: ContentStore) throws {
    let partial = try store.partial(digest, size: 10 << 20)
    try partial.resume()
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
    defer { bytes.deallocate() }
    bytes.initializeMemory(as: UInt8.self, repeating: 7)
    try partial.append(UnsafeRawBufferPointer(bytes))
  }

  private func makeOld(_ digest: Digest) throws {
    let time = timespec(tv_sec: Glibc.time(nil) - 8 * 86_400, tv_nsec: 0)
    let path = folder.path.appending("image/ingest/sha256-\(digest.hex)").string
    try #require(utimensat(AT_FDCWD, path, [time, time], 0) == 0)
  }
}
