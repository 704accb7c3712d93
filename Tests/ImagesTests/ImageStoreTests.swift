import ContentStore
import Faults
import FoundationEssentials
import Glibc
import Images
import Logging
import OCI
import SystemPackage
import Testing

/// Names, removal and what a restart finds.
@Suite struct ImageStoreTests {
  let fixture: StoreFixture
  let image: TestImage

  init() throws {
    fixture = try StoreFixture()
    image = try TestImage(["one", "two"])
    _ = try fixture.load(try image.dockerArchive(["app:1"]).finished)
  }

  private func fault(_ body: () throws -> Void) -> Fault? { #expect(throws: Fault.self, performing: body) }

  @Test func resolvesByNameDigestAndId() throws {
    let store = fixture.store
    let manifest = try store.resolve("app:1").manifest.digest
    for reference in [
      "app:1", "docker.io/library/app:1", "app@\(manifest)", "app:1@\(manifest)", "app@\(image.id)", image.id.rawValue,
      image.id.hex, image.id.short, String(image.id.hex.prefix(2)), "sha256:" + image.id.hex.prefix(20),
      manifest.rawValue,
    ] {
      #expect(try store.resolve(reference).id == image.id, "\(reference)")
    }
    #expect(try store.resolve("app:1").name == "app:1")
    #expect(try store.resolve("app:1").reference == "docker.io/library/app:1")
    #expect(try store.resolve(image.id.short).name == nil)
    for missing in [
      "app", "app:2", "other", "sha256:" + String(repeating: "0", count: 64),
      "app@sha256:" + String(repeating: "0", count: 64),
    ] {
      let fault = fault { _ = try store.resolve(missing) }
      #expect(fault?.code == .notFound)
      #expect(fault?.message.hasPrefix("No such image: ") == true)
    }
    #expect(fault { _ = try store.resolve("app") }?.message == "No such image: app:latest")
    #expect(fault { _ = try store.resolve("Upper") }?.code == .invalidArgument)
  }

  @Test func ambiguousIdsAreRefused() throws {
    var seen: Set<Character> = [image.id.hex.first!]
    var last = ""
    for number in 0..<40 {
      let other = try TestImage(["image \(number)"])
      _ = try fixture.load(try other.dockerArchive(["n:\(number)"]).finished)
      if !seen.insert(other.id.hex.first!).inserted { last = String(other.id.hex.first!) }
    }
    let prefix = try #require(last.isEmpty ? nil : last)
    let fault = fault { _ = try fixture.store.resolve(prefix) }
    #expect(fault?.code == .invalidArgument)
    #expect(fault?.message.contains("ambiguous") == true)
  }

  @Test func tags() throws {
    let store = fixture.store
    try store.tag(source: "app:1", target: "localhost:5000/app")
    try store.tag(source: image.id.short, target: "app:2")
    #expect(try store.list()[0].repoTags == ["app:1", "app:2", "localhost:5000/app:latest"])
    #expect(fault { try store.tag(source: "none", target: "x") }?.code == .notFound)
    #expect(fault { try store.tag(source: "app:1", target: "X") }?.code == .invalidArgument)
    #expect(fault { try store.tag(source: "app:1", target: "x@\(image.id)") }?.code == .invalidArgument)
    let index = try #require(store.content.readIndex())
    #expect(
      index.manifests.compactMap { $0.annotations?[AnnotationKey.refName] } == [
        "app:1", "app:2", "localhost:5000/app:latest",
      ])
  }

  @Test func removingNamesAndImages() throws {
    let store = fixture.store
    try store.tag(source: "app:1", target: "app:2")
    #expect(try store.remove("app:2") == Removal(untagged: ["app:2"], deleted: []))
    let removal = try store.remove("app:1")
    #expect(removal.untagged == ["app:1"])
    #expect(removal.deleted.first == image.id)
    #expect(removal.deleted.count == 3)
    #expect(try fixture.isUntouched())
    #expect(fault { _ = try store.remove("app:1") }?.code == .notFound)
  }

  @Test func removingByIdNeedsForceForSeveralRepositories() throws {
    let store = fixture.store
    try store.tag(source: "app:1", target: "app:2")
    try store.tag(source: "app:1", target: "other:1")
    let fault = fault { _ = try store.remove(image.id.short) }
    #expect(fault?.code == .conflict)
    #expect(fault?.message.contains("referenced in multiple repositories") == true)
    #expect(try store.remove(image.id.short, force: true).untagged == ["app:1", "app:2", "other:1"])
    #expect(try fixture.isUntouched())
  }

  @Test func imagesInUseNeedForce() throws {
    let store = fixture.store
    for reference in ["app:1", image.id.short] {
      let fault = fault { _ = try store.remove(reference, inUse: [image.id]) }
      #expect(fault?.code == .conflict)
      #expect(fault?.message.contains("container") == true)
    }
    #expect(try store.list()[0].repoTags == ["app:1"])
    // Forced by name: the name goes, the image stays for its containers.
    #expect(try store.remove("app:1", force: true, inUse: [image.id]) == Removal(untagged: ["app:1"], deleted: []))
    #expect(try store.list()[0].isDangling)
    #expect(try store.remove(image.id.short, force: true, inUse: [image.id]).deleted.first == image.id)
  }

  @Test func sharedLayersStayWithTheOtherImage() throws {
    let store = fixture.store
    let other = try TestImage(["one", "three"])
    _ = try fixture.load(try other.dockerArchive(["other"]).finished)
    #expect(try store.usage().blobs == 7)
    let removal = try store.remove("app:1")
    #expect(removal.deleted.count == 2, "the lower layer belongs to the other image as well")
    #expect(try store.usage().blobs == 4)
    #expect(try Data(contentsOf: URL(filePath: store.resolve("other").layers[0].path)) == other.layers[0])
  }

  @Test func describes() throws {
    let details = try fixture.store.inspect("app:1")
    #expect(details.id == image.id)
    #expect(details.repoTags == ["app:1"])
    #expect(details.repoDigests == ["app@\(details.manifest.digest)"])
    #expect(details.config.config?.cmd == ["sh"])
    #expect(details.lastTagged != nil)
    let history = try fixture.store.history("app:1")
    #expect(history.map(\.createdBy) == ["CMD sh", "RUN two", "RUN one"])
    #expect(history.map(\.id) == [image.id.rawValue, "<missing>", "<missing>"])
    #expect(history.map(\.size) == [0, Int64(image.layers[1].count), Int64(image.layers[0].count)])
    #expect(history[0].tags == ["app:1"])
  }
}

/// What a service finds after it was killed, or after its files were damaged.
@Suite struct ImageStoreRestartTests {
  private let folder = TemporaryFolder()
  private var root: FilePath { folder.path.appending("image") }

  private func open() throws -> ImageStore { try ImageStore(root: root, log: Logger(label: "test")) }

  private func fill(_ store: ImageStore) throws -> TestImage {
    let image = try TestImage(["one"])
    _ = try store.importPath(try folder.write("archive", try image.dockerArchive(["app:1", "b/c:d"]).finished))
    return image
  }

  @Test func everythingIsThereAgain() throws {
    let image = try fill(try open())
    let store = try open()
    #expect(try store.resolve("b/c:d").id == image.id)
    #expect(try store.list()[0].repoTags == ["b/c:d", "app:1"])
  }

  @Test func blobsWithoutAnImageAreRemoved() throws {
    _ = try fill(try open())
    try folder.write("image/blobs/sha256/" + String(repeating: "a", count: 64), Data("left by a kill".utf8))
    try folder.write("image/ingest/1-2", Data("half".utf8))
    let store = try open()
    #expect(try store.usage().blobs == 3)
    #expect(folder.names("image/ingest").isEmpty)
  }

  @Test func aLostIndexIsMadeAgain() throws {
    _ = try fill(try open())
    unlink(root.appending("index.json").string)
    #expect(try open().content.readIndex()?.manifests.count == 2)
  }

  @Test func aDamagedDatabaseIsSetAsideAndNamesComeFromTheIndex() throws {
    let image = try fill(try open())
    try folder.write("image/images.db", Data(repeating: 0x41, count: 8192))
    for suffix in ["-wal", "-shm"] { unlink(root.appending("images.db\(suffix)").string) }
    let store = try open()
    #expect(try store.resolve("app:1").id == image.id)
    #expect(try store.resolve("b/c:d").id == image.id)
    #expect(folder.names("image/set-aside").count == 1)
    #expect(try store.usage().blobs == 3)
  }

  @Test func aFolderWithoutADatabaseIsAdopted() throws {
    let image = try fill(try open())
    for suffix in ["", "-wal", "-shm"] { unlink(root.appending("images.db\(suffix)").string) }
    let store = try open()
    #expect(try store.resolve("b/c:d").id == image.id)
    #expect(try store.content.readIndex()?.manifests.count == 2)
  }

  @Test func imagesAreFoundAmongTheBlobsWhenNothingElseIsLeft() throws {
    let image = try fill(try open())
    for name in ["images.db", "images.db-wal", "images.db-shm", "index.json"] { unlink(root.appending(name).string) }
    let store = try open()
    #expect(try store.resolve(image.id.short).id == image.id)
    #expect(try store.list()[0].isDangling)
    #expect(try store.usage().blobs == 3)
  }

  @Test func aSecondEngineIsRefused() throws {
    let first = try open()
    let fault = #expect(throws: Fault.self) { _ = try open() }
    #expect(fault?.code == .locked)
    _ = first
  }

  /// `skopeo`, another program, reads the folder while the store has it open.
  @Test(.enabled(if: access("/usr/bin/skopeo", X_OK) == 0, "needs skopeo"))
  func anotherProgramReadsTheFolder() throws {
    let store = try open()
    let image = try fill(store)
    let out = folder.path.appending("out.tar")
    #expect(system("skopeo copy -q oci:\(root):b/c:d docker-archive:\(out):x/y:z >/dev/null 2>&1") == 0)
    let second = try StoreFixture()
    let copied = try second.store.importPath(out)
    #expect(copied[0].id == image.id)
    #expect(copied[0].repoTags == ["x/y:z"])
    let layout = folder.path.appending("layout")
    #expect(system("skopeo copy -q oci:\(root):app:1 oci:\(layout):e/f:g >/dev/null 2>&1") == 0)
    #expect(try second.store.importPath(layout)[0].repoTags == ["e/f:g", "x/y:z"])
  }
}
