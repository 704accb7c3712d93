import Faults
import Foundation
import JSONRPC
import OCI
import Protocol
import Testing

@testable import Engine

/// Volumes: who has them, what becomes of them, and what a restart makes of a change that was cut off.
@Suite struct VolumeTests {
  private func names(_ test: TestEngine, _ filters: [String: [String]] = [:]) async throws -> [String] {
    try await test.engine.volumeList(.init(filters: filters)).volumes.map(\.name)
  }

  private func folders(_ test: TestEngine) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: test.folder + "/gateway/volumes").sorted()
  }

  /// An image whose `/data` is a volume.
  private func withVolume(_ test: TestEngine) {
    var execution = ImageConfig.Execution()
    execution.cmd = ["sh"]
    execution.volumes = ["/data": .init()]
    test.images.add("filled", execution)
  }

  @Test func aVolumeIsMadeFoundAndRemoved() async throws {
    let test = try TestEngine()
    let made = try await test.engine.volumeCreate(.init(name: "data", labels: ["a": "b"])).volume
    #expect(made["Name"] == "data" && made["Driver"] == "local" && made["Scope"] == "local")
    #expect(made["Mountpoint"] == .string(test.folder + "/gateway/volumes/data/_data"))
    #expect(made["Options"] == .null && made["Labels"] == ["a": "b"])
    #expect(try await test.engine.volumeInspect(.init(volume: "data")).volume == made)
    // Asked for again: the same, unless it would be another.
    #expect(try await test.engine.volumeCreate(.init(name: "data")).volume == made)
    let other = await #expect(throws: Fault.self) {
      try await test.engine.volumeCreate(.init(name: "data", options: ["type": "tmpfs", "device": "tmpfs"]))
    }
    #expect(other?.code == .conflict)
    guard case .string(let anonymous)? = try await test.engine.volumeCreate(.init()).volume["Name"] else {
      throw Fault(.internal, "a volume without a name")
    }
    #expect(Identifier.isHex(anonymous, digits: 64))
    #expect(try await names(test) == [anonymous, "data"].sorted())
    _ = try await test.engine.volumeRemove(.init(volume: "data"))
    let gone = await #expect(throws: Fault.self) { try await test.engine.volumeInspect(.init(volume: "data")) }
    #expect(gone?.code == .notFound && gone?.message == "get data: no such volume")
    await #expect(throws: Fault.self) { try await test.engine.volumeRemove(.init(volume: "data")) }
    _ = try await test.engine.volumeRemove(.init(volume: "data", force: true))
    #expect(try folders(test) == [anonymous])
  }

  @Test(arguments: [
    (["name": "a"], "too short"), (["name": "a/b"], "includes invalid characters"),
    (["driver": "flocker"], "error looking up volume plugin flocker"), (["what": "x"], "invalid option: \"what\""),
    (["type": "tmpfs"], "missing required option: \"device\""), (["device": "/x"], "missing required option: \"type\""),
    (["type": "none", "device": "/x"], "needs o=bind"), (["type": "none", "o": "bind", "device": "x"], "absolute"),
    (["type": "none", "o": "bind,huh", "device": "/x"], "o=huh"), (["size": "1g"], "quota size requested"),
    (["type": "nfs", "o": "addr=server", "device": ":/x"], "an IP address"),
    (["type": "ext4", "o": "gantry.subpath=/", "device": "/dev/x"], "is none of a file system"),
  ])
  func badVolumesAreRefused(options: [String: String], words: String) async throws {
    let test = try TestEngine()
    let own = options.filter { $0.key != "name" && $0.key != "driver" }
    let fault = await #expect(throws: Fault.self) {
      try await test.engine.volumeCreate(.init(name: options["name"] ?? "vol", driver: options["driver"], options: own))
    }
    #expect(fault?.message.contains(words) == true, "\(fault?.message ?? "")")
    #expect(try await names(test).isEmpty && folders(test).isEmpty)
  }

  @Test func aVolumeInUseStaysAndSaysWhoHasIt() async throws {
    let test = try TestEngine()
    let first = try await test.run(host: { $0.binds = ["data:/d"] })
    let second = try await test.engine.containerCreate(
      .init(config: .init(image: "busybox"), hostConfig: .init(volumesFrom: [first + ":ro"]))
    ).id
    let fault = await #expect(throws: Fault.self) { try await test.engine.volumeRemove(.init(volume: "data")) }
    #expect(fault?.code == .conflict)
    #expect(fault?.message == "remove data: volume is in use - [\([first, second].sorted().joined(separator: ", "))]")
    #expect(try await names(test, ["dangling": ["true"]]).isEmpty)
    let mount = try await test.engine.containerInspect(.init(container: second)).container["Mounts"]?.arrayValue?.first
    #expect(mount?["Name"] == "data" && mount?["RW"] == false && mount?["Destination"] == "/d")

    // A restart finds the same uses in the containers' rows.
    let again = try TestEngine(after: test)
    try await again.engine.load()
    await #expect(throws: Fault.self) { try await again.engine.volumeRemove(.init(volume: "data")) }
    _ = try await again.engine.containerRemove(.init(container: first, force: true, volumes: true))
    _ = try await again.engine.containerRemove(.init(container: second, force: true, volumes: true))
    #expect(try await names(again, ["dangling": ["true"]]) == ["data"])
    _ = try await again.engine.volumeRemove(.init(volume: "data"))
    #expect(try folders(again).isEmpty)
  }

  @Test func anonymousVolumesGoWhenAskedTo() async throws {
    let test = try TestEngine()
    withVolume(test)
    let stays = try await test.engine.containerCreate(.init(config: .init(image: "filled"), hostConfig: .init())).id
    let shares = try await test.engine.containerCreate(
      .init(config: .init(image: "busybox"), hostConfig: .init(volumesFrom: [stays]))
    ).id
    let volume = try #require(try await names(test).first)
    #expect(try await test.engine.volumeInspect(.init(volume: volume)).volume["Labels"] == [Volume.anonymousLabel: ""])
    // In use by another: it stays though it was to go.
    _ = try await test.engine.containerRemove(.init(container: stays, volumes: true))
    #expect(try await names(test) == [volume])
    _ = try await test.engine.containerRemove(.init(container: shares, volumes: true))
    #expect(try await names(test).isEmpty && folders(test).isEmpty)

    let left = try await test.engine.containerCreate(.init(config: .init(image: "filled"), hostConfig: .init())).id
    _ = try await test.engine.containerRemove(.init(container: left))
    #expect(try await names(test, ["dangling": ["1"]]).count == 1)
    _ = try await test.engine.volumeCreate(.init(name: "named"))
    let pruned = try await test.engine.volumePrune(.init())
    #expect(pruned.deleted.count == 1)
    #expect(try await names(test) == ["named"])
    #expect(try await test.engine.volumePrune(.init(filters: ["all": ["1"]])).deleted == ["named"])
    #expect(try folders(test).isEmpty)
  }

  @Test func removingItselfTakesAnonymousVolumesOnly() async throws {
    let test = try TestEngine()
    let id = try await test.run(
      autoRemove: true, config: { $0.volumes = ["/anonymous": .init()] }, host: { $0.binds = ["named:/n"] })
    #expect(try await names(test).count == 2)
    test.tasks.end(id, 0)
    _ = try await test.engine.containerWait(.init(container: id, condition: .init(rawValue: "removed")))
    await test.engine.background.drain()
    #expect(try await names(test) == ["named"])
    #expect(try folders(test) == ["named"])
  }

  @Test func anEmptyVolumeIsFilledOnceAndAFullOneNever() async throws {
    let test = try TestEngine()
    withVolume(test)
    let data = test.folder + "/gateway/volumes/data/_data"
    _ = try await test.engine.containerCreate(
      .init(config: .init(image: "filled"), hostConfig: .init(binds: ["data:/data"])))
    let asked = try #require(test.snapshots.filled.withLock { $0.first })
    #expect(asked.path == "/data" && asked.target == data && asked.durable == true)
    #expect(asked.parent == FakeImages.digest("filledlayer"))
    _ = FileManager.default.createFile(atPath: data + "/file", contents: nil)
    for binds in ["data:/data", "empty:/data:nocopy"] {
      _ = try await test.engine.containerCreate(
        .init(config: .init(image: "filled"), hostConfig: .init(binds: [binds])))
    }
    #expect(test.snapshots.filled.withLock { $0.count } == 1)
    // A file system of its own is not filled.
    _ = try await test.engine.volumeCreate(.init(name: "fast", options: ["type": "tmpfs", "device": "tmpfs"]))
    _ = try await test.engine.containerCreate(
      .init(config: .init(image: "filled"), hostConfig: .init(binds: ["fast:/data"])))
    #expect(test.snapshots.filled.withLock { $0.count } == 1)
  }

  @Test func aFillingThatWasCutOffIsMadeAgain() async throws {
    let test = try TestEngine()
    withVolume(test)
    let data = test.folder + "/gateway/volumes/data/_data"
    let params = GatewayAPI.ContainerCreateParams(
      config: .init(image: "filled"), hostConfig: .init(binds: ["data:/data"]))
    test.snapshots.failFilling.withLock { $0 = true }
    await #expect(throws: Fault.self) { try await test.engine.containerCreate(params) }
    await test.engine.background.drain()
    // Half a copy, and the mark that says so.
    _ = FileManager.default.createFile(atPath: data + "/half", contents: nil)
    #expect(FileManager.default.fileExists(atPath: data + "/../filling"))

    test.snapshots.failFilling.withLock { $0 = false }
    let again = try TestEngine(after: test)
    withVolume(again)
    try await again.engine.load()
    _ = try await again.engine.containerCreate(params)
    #expect(test.snapshots.filled.withLock { $0.count } == 2)
    #expect(!FileManager.default.fileExists(atPath: data + "/half"), "the rest of the first copy is there still")
    #expect(!FileManager.default.fileExists(atPath: data + "/../filling"))
  }

  @Test func whatACutOffCreateLeftIsRemovedAndNamedVolumesStay() async throws {
    let test = try TestEngine()
    _ = try await test.engine.volumeCreate(.init(name: "named"))
    // As an engine leaves it that was killed between the row of an anonymous volume and that of its container.
    let name = Identifier.random()
    try await test.engine.store.insert(
      [Volume(name: name, created: .now(), isAnonymous: true)], durable: false)
    try FileManager.default.createDirectory(
      atPath: test.engine.volumeData(name), withIntermediateDirectories: true)
    // And one that was being removed.
    _ = try await test.engine.volumeCreate(.init(name: "going"))
    try await test.engine.store.doom("going")
    let again = try TestEngine(after: test)
    try await again.engine.load()
    await again.engine.background.drain()
    #expect(try await names(again) == ["named"])
    #expect(try folders(again) == ["named"])
  }

  @Test func volumesOfTheFirstDatabaseAreKept() async throws {
    let test = try TestEngine()
    _ = try await test.create(name: "old")
    let (kept, doomed) = (Identifier.random(), Identifier.random())
    try await test.engine.store.execute(
      """
      CREATE TABLE volumes (id TEXT NOT NULL PRIMARY KEY, container TEXT NOT NULL, destination TEXT NOT NULL,
        created INTEGER NOT NULL) WITHOUT ROWID
      """)
    try await test.engine.store.execute(
      "INSERT INTO volumes VALUES ('\(kept)', 'c', '/d', 5), ('\(doomed)', '', '/d', 6)")
    try await test.engine.store.execute("DROP TABLE volume")
    try await test.engine.store.execute("DELETE FROM grdb_migrations WHERE identifier = '4-volumes'")
    let again = try TestEngine(after: test)
    let rows = try await again.engine.store.volumes().sorted { $0.volume.created < $1.volume.created }
    #expect(rows.map(\.volume.name) == [kept, doomed] && rows.map(\.isDoomed) == [false, true])
    #expect(rows[0].volume.isAnonymous && rows[0].volume.labels == [Volume.anonymousLabel: ""])
  }

  @Test func mountsAreTold() async throws {
    let test = try TestEngine()
    let id = try await test.run(host: { $0.binds = ["data:/d:ro"] })
    test.tasks.end(id, 0)
    _ = try await test.engine.containerWait(.init(container: id))
    _ = try await test.engine.containerRemove(.init(container: id))
    _ = try await test.engine.volumeRemove(.init(volume: "data"))
    let events = test.engine.events.subscribe(
      try EventFilter(Filters(["type": ["volume"]])), since: Timestamp(nanoseconds: 0), until: nil
    ).past
    #expect(events.map(\.action) == ["create", "mount", "unmount", "destroy"])
    #expect(events.allSatisfy { $0.actor == "data" && $0.attributes["driver"] == "local" })
    #expect(events[1].attributes["read/write"] == "false" && events[1].attributes["destination"] == "/d")
    #expect(events[1].attributes["container"] == id && events[2].attributes["container"] == id)
  }

  @Test func aTmpfsVolumeServesOneContainerAtATime() async throws {
    let test = try TestEngine()
    _ = try await test.engine.volumeCreate(.init(name: "fast", options: ["type": "tmpfs", "device": "tmpfs"]))
    let first = try await test.run(name: "one", host: { $0.binds = ["fast:/f"] })
    let fault = await #expect(throws: Fault.self) { try await test.run(host: { $0.binds = ["fast:/f"] }) }
    #expect(fault?.code == .conflict && fault?.message.contains("container one") == true)
    test.tasks.end(first, 0)
    _ = try await test.engine.containerWait(.init(container: first))
    _ = try await test.run(host: { $0.binds = ["fast:/f"] })
    let spec = try #require(test.tasks.state.withLock { $0.created.last?.spec })
    let mount = try #require(spec.mounts?.first { $0.destination == "/f" })
    #expect(mount.type == "tmpfs" && mount.options == ["gantry.host"])
  }

  @Test func aMountedImageHasASnapshotAndStays() async throws {
    let test = try TestEngine()
    test.images.add("tools", .init())
    let id = try await test.run(host: {
      $0.mounts = [
        .init(target: "/ro", source: "tools", type: .image, readOnly: true, imageOptions: .init(subpath: "bin")),
        .init(target: "/rw", source: "tools", type: .image),
      ]
    })
    #expect(test.snapshots.active.withLock { Set($0.keys) } == [id, id + ".m0", id + ".m1"])
    let spec = try #require(test.tasks.state.withLock { $0.created.last?.spec })
    let readOnly = try #require(spec.mounts?.first { $0.destination == "/ro" })
    #expect(readOnly.source == "/view/\(id).m0" && readOnly.options == ["rbind", "ro", "gantry.subpath=bin"])
    #expect(spec.mounts?.first { $0.destination == "/rw" }?.type == "overlay")
    let fault = await #expect(throws: Fault.self) { try await test.engine.imageRemove(.init(image: "tools")) }
    #expect(fault?.code == .conflict)
    let json = try await test.engine.containerInspect(.init(container: id)).container["Mounts"]?.arrayValue
    #expect(json?[0]["Type"] == "image" && json?[0]["Source"] == "tools" && json?[0]["RW"] == false)
    _ = try await test.engine.containerRemove(.init(container: id, force: true))
    #expect(test.snapshots.active.withLock { $0.isEmpty })
    _ = try await test.engine.imageRemove(.init(image: "tools"))
  }

  @Test func pruneAndDiskUsageMeasure() async throws {
    let test = try TestEngine()
    let running = try await test.run(name: "running", host: { $0.binds = ["data:/d"] })
    let ended = try await test.create(name: "made")
    _ = try Data(repeating: 1, count: 1000).write(to: URL(fileURLWithPath: test.engine.volumeData("data") + "/f"))
    let usage = try await test.engine.systemDiskUsage(.init())
    #expect(usage.volumes.map(\.usageData) == [.init(size: 1000, refCount: 1)])
    #expect(usage.containers.map(\.sizeRw) == [5, 5] && usage.images.map(\.containers) == [2])
    let pruned = try await test.engine.containerPrune(.init())
    #expect(pruned.deleted == [ended] && pruned.spaceReclaimed == 5)
    #expect(try await test.engine.imagePrune(.init(all: true)).deleted.isEmpty)
    _ = try await test.engine.containerRemove(.init(container: running, force: true))
    #expect(try await test.engine.volumePrune(.init(filters: ["all": ["true"]])).spaceReclaimed == 1000)
    #expect(try await test.engine.imagePrune(.init(all: true)).deleted == [FakeImages.digest("busybox")])
    await #expect(throws: Fault.self) { try await test.engine.containerPrune(.init(filters: ["huh": ["1"]])) }
    await #expect(throws: Fault.self) { try await test.engine.containerPrune(.init(filters: ["until": ["soon"]])) }
  }
}
