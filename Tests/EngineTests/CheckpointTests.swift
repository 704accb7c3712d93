import Faults
import Foundation
import Glibc
import JSONRPC
import OCI
import Protocol
import Testing

@testable import Engine

/// Checkpoints: names, the container that they fit, and folders that others may have changed.
@Suite struct CheckpointTests {
  /// A folder that goes with the test.
  final class Scratch {
    let path = "/tmp/gantry-checkpoint-\(Identifier.random(digits: 10))"
    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }
    func folder(_ name: String) throws -> String {
      try FileManager.default.createDirectory(atPath: "\(path)/\(name)", withIntermediateDirectories: true)
      return "\(path)/\(name)"
    }
    func write(_ text: String, _ name: String) throws {
      try text.write(toFile: "\(path)/\(name)", atomically: false, encoding: .utf8)
    }
  }

  /// A signed checkpoint `one` below `out`, and what signed it.
  private func exported(_ scratch: Scratch) throws -> CheckpointArchive {
    let source = try scratch.folder("source")
    try scratch.write("pages", "source/pages-1.img")
    try scratch.write("{}", "source/gantry.json")
    let archive = try CheckpointArchive(keyPath: scratch.path + "/key")
    try archive.export(source, to: scratch.folder("out"), name: "one")
    return archive
  }

  @Test func namesAreOnePlainFolder() throws {
    for name in ["one", "A-1_2.x", "0"] { try CheckpointName.check(name) }
    for name in ["", ".", "..", ".one", "-x", "a/b", "../x", "a b", "ä", "a\n", String(repeating: "a", count: 200)] {
      #expect(throws: Fault.self) { try CheckpointName.check(name) }
    }
  }

  @Test func aSignedFolderComesBackWhole() throws {
    let scratch = try Scratch()
    let archive = try exported(scratch)
    try archive.import(from: scratch.path + "/out", name: "one", to: scratch.folder("in"))
    #expect(try String(contentsOfFile: scratch.path + "/in/pages-1.img", encoding: .utf8) == "pages")
    #expect(!FileManager.default.fileExists(atPath: scratch.path + "/in/seal.json"))
    #expect(throws: Fault.self) { try archive.export(scratch.path + "/source", to: scratch.path + "/out", name: "one") }
    // The key lasts: another engine object over the same folder reads it too.
    let again = try CheckpointArchive(keyPath: scratch.path + "/key")
    try again.import(from: scratch.path + "/out", name: "one", to: scratch.folder("in2"))
  }

  @Test(arguments: [
    "printf x >>pages-1.img", "rm pages-1.img", "rm pages-1.img; ln -s /etc/passwd pages-1.img",
    "rm pages-1.img; ln ../../source/pages-1.img pages-1.img; printf y >>pages-1.img",
    "rm pages-1.img; mkfifo pages-1.img", "rm pages-1.img; mkdir pages-1.img",
    "mv pages-1.img ../p; ln -s ../p pages-1.img", "rm seal.json", "printf '{' >seal.json",
    "sed -i 's/pages-1.img/pages-2.img/' seal.json; mv pages-1.img pages-2.img",
    "sed -i 's/\"size\":5/\"size\":6/' seal.json", "rm seal.json; ln -s /dev/zero seal.json",
    "sed -i 's,pages-1.img,../../source/pages-1.img,' seal.json", "cd ..; mv one two; ln -s two one",
  ])
  func whatWasChangedIsRefused(_ change: String) throws {
    let scratch = try Scratch()
    let archive = try exported(scratch)
    let shell = Process()
    shell.executableURL = URL(filePath: "/bin/sh")
    shell.arguments = ["-euc", change]
    shell.currentDirectoryURL = URL(filePath: scratch.path + "/out/one")
    try shell.run()
    shell.waitUntilExit()
    #expect(shell.terminationStatus == 0)
    let target = try scratch.folder("in")
    #expect(throws: Fault.self) { try archive.import(from: scratch.path + "/out", name: "one", to: target) }
  }

  @Test func anotherEnginesSignatureIsRefused() throws {
    let scratch = try Scratch()
    _ = try exported(scratch)
    let other = try CheckpointArchive(keyPath: scratch.path + "/other-key")
    let fault = #expect(throws: Fault.self) {
      try other.import(from: scratch.path + "/out", name: "one", to: scratch.folder("in"))
    }
    #expect(fault?.code == .corrupt && fault?.message.contains("checkpoint.key") == true)
    try scratch.write("short", "bad-key")
    #expect(throws: Fault.self) { try CheckpointArchive(keyPath: scratch.path + "/bad-key") }
  }

  @Test func itFitsOnlyTheSameKindOfContainer() {
    var spec = RuntimeSpec(
      process: .init(args: ["sh"], cwd: "/"), root: .init(path: "rootfs"),
      mounts: [.init(destination: "/proc", type: "proc", source: "proc")],
      linux: .init(namespaces: [.init(type: "pid"), .init(type: "mount")]))
    spec.process?.capabilities = .init(bounding: ["CAP_CHOWN", "CAP_KILL"])
    let record = CheckpointRecord(image: "sha256:1", spec)
    #expect(record.difference(from: CheckpointRecord(image: "sha256:1", spec)) == nil)
    #expect(record.difference(from: CheckpointRecord(image: "sha256:2", spec))?.contains("image") == true)
    var other = spec
    other.process?.capabilities = .init(bounding: ["CAP_CHOWN"])
    #expect(record.difference(from: .init(image: "sha256:1", other))?.contains("capabilities") == true)
    other = spec
    other.linux?.namespaces = [.init(type: "mount")]
    #expect(record.difference(from: .init(image: "sha256:1", other))?.contains("namespaces") == true)
    other = spec
    other.mounts = []
    #expect(record.difference(from: .init(image: "sha256:1", other))?.contains("mounted") == true)
    other = spec
    other.process?.noNewPrivileges = true
    #expect(record.difference(from: .init(image: "sha256:1", other)) != nil)
  }

  @Test func createListStartRemove() async throws {
    let test = try TestEngine()
    let id = try await test.run(name: "web")
    _ = try await test.engine.checkpointCreate(.init(container: "web", name: "one", leaveRunning: true), .init())
    await #expect(throws: Fault.self) {
      try await test.engine.checkpointCreate(.init(container: "web", name: "one"), .init())
    }
    await #expect(throws: Fault.self) {
      try await test.engine.checkpointCreate(.init(container: "web", name: "../one"), .init())
    }
    test.tasks.state.withLock { $0.failure = Fault(.unsupported, "no CRIU") }
    await #expect(throws: Fault.self) {
      try await test.engine.checkpointCreate(.init(container: "web", name: "two"), .init())
    }
    let folder = try test.engine.directory.resolve("web").definition.files.checkpoints
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["one"])
    _ = try await test.engine.checkpointCreate(.init(container: "web", name: "two"), .init())
    #expect(try test.engine.directory.resolve("web").state.last?.code == 137)
    let list = try await test.engine.checkpointList(.init(container: "web"), .init()).checkpoints
    #expect(list.map(\.name) == ["one", "two"])

    _ = try await test.engine.containerStart(.init(container: "web", checkpoint: "two"), .init())
    #expect(test.tasks.state.withLock { $0.created.last?.restore } == "\(folder)/two")
    _ = try await test.engine.containerKill(.init(container: "web"), .init())
    await #expect(throws: Fault.self) {
      try await test.engine.containerStart(.init(container: "web", checkpoint: "three"), .init())
    }
    _ = try await test.engine.checkpointRemove(.init(container: "web", name: "one"), .init())
    await #expect(throws: Fault.self) {
      try await test.engine.checkpointRemove(.init(container: "web", name: "one"), .init())
    }
    _ = try await test.engine.containerRemove(.init(container: id), .init())
    #expect(!FileManager.default.fileExists(atPath: folder))
  }

  @Test func aFolderOfTheUsersIsSignedAndCopied() async throws {
    let test = try TestEngine()
    let scratch = try Scratch()
    _ = try await test.run(name: "web")
    _ = try await test.engine.checkpointCreate(.init(container: "web", name: "one", folder: scratch.path), .init())
    let list = try await test.engine.checkpointList(.init(container: "web", folder: scratch.path), .init()).checkpoints
    #expect(list.map(\.name) == ["one"])
    _ = try await test.engine.containerStart(
      .init(container: "web", checkpoint: "one", checkpointFolder: scratch.path), .init())
    let restored = try #require(test.tasks.state.withLock { $0.created.last?.restore })
    #expect(restored.contains("/.restore-") && !FileManager.default.fileExists(atPath: restored))
    _ = try await test.engine.containerKill(.init(container: "web"), .init())
    try scratch.write("other", "one/pages-1.img")
    let fault = await #expect(throws: Fault.self) {
      try await test.engine.containerStart(
        .init(container: "web", checkpoint: "one", checkpointFolder: scratch.path), .init())
    }
    #expect(fault?.code == .corrupt)
    await #expect(throws: Fault.self) {
      try await test.engine.containerStart(.init(container: "web", checkpointFolder: scratch.path), .init())
    }
  }
}
