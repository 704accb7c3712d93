import ContentStore
import Faults
import FoundationEssentials
import Logging
import OCI
import SystemPackage
import Testing

@testable import Images

/// What stays and what goes of the content store.
@Suite struct CollectionTests {
  let fixture: StoreFixture
  let first: TestImage
  let second: TestImage

  init() throws {
    fixture = try StoreFixture()
    first = try TestImage(["base", "one"])
    second = try TestImage(["base", "two"])
    _ = try fixture.load(try first.dockerArchive(["first:1"]).finished)
    _ = try fixture.load(try second.dockerArchive(["second:1"]).finished)
  }

  private func blobs() throws -> Set<Digest> { Set(try fixture.store.content.list().keys) }

  @Test func whatImagesShareStaysWithTheLast() throws {
    let before = try blobs().count
    let removal = try fixture.store.remove("first:1")
    #expect(removal.bytes > 0 && removal.bytes % 512 == 0)
    // A manifest, a configuration and the layer of its own.
    #expect(try blobs().count == before - 3)
    #expect(try fixture.store.resolve("second:1").layers.allSatisfy { FileManager.default.fileExists(atPath: $0.path) })
    _ = try fixture.store.remove("second:1")
    #expect(try blobs().isEmpty)
  }

  @Test func aLeaseKeepsTheContentOfARemovedImage() throws {
    try fixture.store.lease("save-1", seconds: 60)
    let image = try fixture.store.resolve("first:1", lease: "save-1")
    let before = try blobs()
    #expect(try fixture.store.remove("first:1").bytes == 0)
    #expect(try blobs() == before)
    #expect(image.layers.allSatisfy { FileManager.default.fileExists(atPath: $0.path) })
    #expect(try fixture.store.collect().blobs == 0)
    try fixture.store.release("save-1")
    #expect(try blobs().count == before.count - 3)
  }

  @Test func anImportUnderALeaseIsHeld() throws {
    let third = try TestImage(["three"])
    try fixture.store.lease("pull-1", seconds: 60)
    _ = try fixture.load(try third.dockerArchive(["third:1"]).finished, ImportRequest(lease: "pull-1"))
    let held = try #require(try fixture.store.leases().first)
    #expect(held.holds.count == 3)
    _ = try fixture.store.remove("third:1")
    #expect(try Set(held.holds).isSubset(of: blobs().map(\.rawValue)))
    try fixture.store.release("pull-1")
    #expect(try Set(held.holds).isDisjoint(with: blobs().map(\.rawValue)))
  }

  @Test func aLeaseThatIsGoneIsTold() throws {
    let gone = #expect(throws: Fault.self) { try fixture.store.resolve("first:1", lease: "nobody") }
    #expect(gone?.code == .notFound)
    let third = try TestImage(["three"])
    #expect(throws: Fault.self) {
      try fixture.load(try third.dockerArchive(["third:1"]).finished, ImportRequest(lease: "nobody"))
    }
    #expect(throws: Fault.self) { try fixture.store.resolve("third:1") }
  }

  @Test func leasesOutliveARestart() throws {
    let root = fixture.folder.path.appending("other")
    let archive = try fixture.folder.write("archive", try first.dockerArchive(["first:1"]).finished)
    do {
      let store = try ImageStore(root: root, log: Logger(label: "test"))
      _ = try store.importPath(archive)
      try store.lease("l", seconds: 60)
      _ = try store.resolve("first:1", lease: "l")
      _ = try store.remove("first:1")
    }
    do {
      let store = try ImageStore(root: root, log: Logger(label: "test"))
      #expect(try store.content.list().count == 4)
      try store.release("l")
      #expect(try store.content.list().isEmpty)
    }
  }

  @Test func theGraphSaysWhatImagesNeed() throws {
    let graph = try fixture.store.imageGraph()
    #expect(graph.images.count == 2 && graph.layers.count == 3)
    let image = try #require(graph.images.first { $0.names == ["first:1"] })
    let chain = image.layers.map { graph.layers[$0].chainID }
    #expect(try chain == fixture.store.resolve("first:1").layers.map(\.chainID))
    #expect(graph.layers.allSatisfy { $0.stored >= 512 })
    #expect(graph.bytes >= graph.layers.reduce(0) { $0 + $1.stored })
  }

  @Test func useAndPinsAreRemembered() throws {
    let store = fixture.store
    let id = try store.pin("first:1", true)
    func entry() throws -> GraphImage { try #require(try store.imageGraph().images.first { $0.id == id }) }
    #expect(try entry().isPinned)
    let before = try entry().used
    try store.noteUse([id, second.id, Digest.of(Data("gone".utf8))], at: before + 100)
    #expect(try entry().used == before + 100 && entry().isPinned)
    try store.noteUse([id], at: before + 50)
    #expect(try entry().used == before + 100)
    _ = try store.pin("first:1", false)
    #expect(try !entry().isPinned)
    // An image that goes and comes back is another one.
    _ = try store.pin("first:1", true)
    _ = try store.remove("first:1")
    _ = try fixture.load(try first.dockerArchive(["first:1"]).finished)
    #expect(try !entry().isPinned && entry().used < before + 100)
  }

  @Test func damageIsFoundWithTheImagesThatItConcerns() throws {
    let store = fixture.store
    #expect(try store.verify().damage.isEmpty)
    let (one, two) = (try store.resolve("first:1"), try store.resolve("second:1"))
    let (shared, own) = (one.layers[0].descriptor.digest, one.layers[1].descriptor.digest)
    var bytes = try Data(contentsOf: URL(filePath: store.content.path(of: shared).string))
    bytes[600] ^= 1
    try bytes.write(to: URL(filePath: store.content.path(of: shared).string))
    try FileManager.default.removeItem(atPath: store.content.path(of: own).string)
    let check = try store.verify(setAside: true)
    let found = Dictionary(uniqueKeysWithValues: check.damage.map { ($0.digest, $0) })
    #expect(Set(found.keys) == [shared, own])
    #expect(found[shared]?.images == [one.id, two.id].sorted() && found[own]?.images == [one.id])
    #expect(found[own]?.problem == "it is missing")
    // What was set aside makes room for the same content.
    _ = try fixture.load(try first.dockerArchive(["first:1"]).finished)
    #expect(try store.verify().damage.isEmpty)
    #expect(fixture.folder.names("image/set-aside").count == 1)
  }

  /// Imports, removals, leases and collections at the same time: whatever an image names is there at every moment.
  @Test func nothingGoesUnderAnybodysHands() async throws {
    let store = fixture.store
    let archives = try (0..<4).map { number in
      try fixture.folder.write(
        "stress-\(number)",
        try TestImage(["base", "layer \(number % 2)", "own \(number)"]).dockerArchive(["stress:\(number)"]).finished)
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (number, archive) in archives.enumerated() {
        group.addTask {
          for round in 0..<25 {
            _ = try store.importPath(archive)
            let lease = "s-\(number)-\(round)"
            try store.lease(lease, seconds: 60)
            let image: ResolvedImage
            do {
              image = try store.resolve("stress:\(number)", lease: lease)
            } catch let fault as Fault where fault.code == .notFound {
              try store.release(lease)
              continue
            }
            if round % 2 == 0 { _ = try? store.remove("stress:\(number)") }
            for layer in image.layers {
              let data = try store.content.read(layer.descriptor.digest)
              #expect(Int64(data.count) == layer.descriptor.size)
            }
            try store.release(lease)
          }
        }
      }
      group.addTask {
        for round in 0..<60 {
          _ = try? store.remove("stress:\(round % 4)", force: true)
          _ = try store.collect()
          let graph = try store.imageGraph()
          #expect(graph.layers.allSatisfy { $0.stored > 0 })
        }
      }
      try await group.waitForAll()
    }
    for number in 0..<4 { _ = try? store.remove("stress:\(number)") }
    #expect(try store.leases().isEmpty)
    #expect(try store.list().count == 2)
    #expect(try blobs().count == 7)
  }
}

/// The database's own promise.
@Suite struct DurabilityTests {
  @Test func everyCommitIsOnDiskWhenItReturns() throws {
    let folder = TemporaryFolder()
    let database = try ImageDatabase(path: folder.path.appending("images.db"))
    #expect(try database.isDurable)
  }
}
