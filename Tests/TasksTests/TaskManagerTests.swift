import Cgroups
import Faults
import FoundationEssentials
import Glibc
import JSONRPC
import Linux
import Logging
import OCI
import Protocol
import Synchronization
import SystemPackage
import Testing

@testable import ShimCore
@testable import Tasks

/// Whether this machine can run the tests below, and why not.
enum Needs {
  /// `gantry-shim`, where the tests' own build, or the release build, has put it.
  static let shim: FilePath? = {
    var candidates: [String] = []
    if let given = getenv("GANTRY_TEST_BINARIES") { candidates.append(String(cString: given)) }
    let top = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
    candidates += [top.appending(".build-release/release").string, top.appending(".build/debug").string]
    return candidates.map { FilePath($0).appending("gantry-shim") }.first { access($0.string, X_OK) == 0 }
  }()
  static let all = geteuid() == 0 && shim != nil && access("/bin/busybox", X_OK) == 0
}

/// A task service in this process, with a folder of its own.
final class Fixture: @unchecked Sendable {  // `manager` changes between tests' steps only
  let folder: FilePath
  var manager: TaskManager
  let events = Mutex<[TaskAPI.TaskEvent]>([])

  init() async throws {
    var template = Array("/tmp/gt-XXXXXX".utf8CString)
    folder = FilePath(try #require(mkdtemp(&template).map { String(cString: $0) }))
    let root = folder.appending("rootfs")
    for name in ["bin", "proc", "dev", "sys", "tmp", "etc"] { try Files.makeDirectories(root.appending(name)) }
    try Data(contentsOf: URL(filePath: "/bin/busybox")).write(to: URL(filePath: root.appending("bin/busybox").string))
    chmod(root.appending("bin/busybox").string, 0o755)
    for name in ["sh", "echo", "sleep", "cat", "true", "stty"] {
      symlink("busybox", root.appending("bin/\(name)").string)
    }
    manager = try Self.manager(folder.appending("s"))
    try await manager.recover()
    listen()
  }

  /// As after `kill -9` of the service: everything that it knew is forgotten.
  func restart() async throws {
    weak var old = manager
    manager = try Self.manager(folder.appending("other"))
    for _ in 0..<500 where old != nil { try await Task.sleep(for: .milliseconds(10)) }
    manager = try Self.manager(folder.appending("s"))
    try await manager.recover()
    listen()
  }

  private static func manager(_ folder: FilePath) throws -> TaskManager {
    var log = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }
    log.logLevel = .critical
    return try TaskManager(state: folder, shim: try #require(Needs.shim), log: log)
  }

  private func listen() {
    manager.events.subscribe { [weak self] event in
      self?.events.withLock { $0.append(event) }
      return self != nil
    }
  }

  func close() {
    try? Cgroup.removeEmptyParents(of: cgroup("any"))
    let command = ["rm", "-rf", folder.string]
    _ = try? SpawnRequest(.path("/bin/rm"), arguments: command).spawn().pidFD.wait()
  }

  func process(_ arguments: [String], terminal: Bool = false) -> RuntimeSpec.Process {
    RuntimeSpec.Process(terminal: terminal, args: arguments, env: ["PATH=/bin"], cwd: "/")
  }

  func create(
    _ id: String, _ arguments: [String], stdin: Bool = false, terminal: Bool = false, attach: AttachStreams? = nil,
    start: Bool = true, health: HealthCheck? = nil
  ) async throws -> TaskAPI.CreateResult {
    let spaces = ["pid", "network", "ipc", "uts", "mount"].map { RuntimeSpec.Namespace(type: $0) }
    let mounts = [
      RuntimeSpec.Mount(destination: "/proc", type: "proc", source: "proc"),
      RuntimeSpec.Mount(destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"]),
      RuntimeSpec.Mount(
        destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"]),
    ]
    let spec = RuntimeSpec(
      process: process(arguments, terminal: terminal), root: .init(path: "rootfs"), hostname: "test", mounts: mounts,
      linux: .init(namespaces: spaces, cgroupsPath: cgroup(id)))
    return try await manager.create(
      .init(
        id: id, spec: spec,
        rootfs: [MountSpec(type: "bind", source: folder.appending("rootfs").string, options: ["ro"])], stdin: stdin,
        log: LogOptions(path: folder.appending("\(id).log").string, maxSize: 1_000_000, maxFiles: 2), start: start,
        attach: attach, seccomp: SeccompChoice(profile: "default"), health: health))
  }

  func cgroup(_ id: String) -> String { "/gantry-tasks-\(getpid())/\(id)" }

  func log(_ id: String) throws -> [Entry] {
    try Data(contentsOf: URL(filePath: folder.appending("\(id).log").string)).split(separator: 10)
      .map { try JSONDecoder().decode(Entry.self, from: Data($0)) }
  }

  /// All that a stream brings until its end, without frames.
  func read(_ address: StreamAddress?, sending input: String? = nil) throws -> String {
    let address = try #require(address)
    let socket = try UnixSocket.connect(path: FilePath(address.socket))
    for text in [address.token + "\n", input ?? ""] where !text.isEmpty {
      _ = text.withCString { write(socket.rawValue, $0, text.utf8.count) }
    }
    if input != nil { UnixSocket.shutdownWriting(socket.rawValue) }
    var bytes = try Files.read(socket.rawValue, limit: 1 << 20)[...]
    var text: [UInt8] = []
    while bytes.count >= 8, bytes[bytes.startIndex] <= 2 {
      let length = bytes.dropFirst(4).prefix(4).reduce(0) { $0 << 8 | Int($1) }
      text += bytes.dropFirst(8).prefix(length)
      bytes = bytes.dropFirst(8 + length)
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Deletes the task and checks that nothing of it is left.
  func delete(_ id: String) async throws {
    _ = try await manager.delete(.init(id: id, force: true))
    expectNothing(of: id)
  }

  func expectNothing(of id: String) {
    #expect(access(manager.folder(of: id).path.string, F_OK) != 0)
    for tree in (try? Files.list("/sys/fs/cgroup")) ?? [] {
      #expect(access("/sys/fs/cgroup/\(tree)\(cgroup(id))", F_OK) != 0)
    }
    #expect(access("/sys/fs/cgroup\(cgroup(id))", F_OK) != 0)
  }
}

@Suite(
  .serialized,
  .enabled(if: Needs.all, "needs root, /bin/busybox (busybox-static) and a built gantry-shim: makes containers"))
struct TaskManagerTests {
  private let out = AttachStreams(stdin: false, stdout: true, stderr: true)

  private func with(_ body: (Fixture) async throws -> Void) async throws {
    let fixture = try await Fixture()
    defer { fixture.close() }
    try await body(fixture)
  }

  @Test func runsAProgramAndKeepsItsOutputAndExit() async throws {
    try await with { fixture in
      let created = try await fixture.create("a", ["sh", "-c", "echo out; echo err >&2; exit 7"], attach: out)
      #expect(try fixture.read(created.stream) == "out\nerr\n")
      let exit = try await fixture.manager.wait(.init(id: "a")).exit
      #expect(exit.code == 7 && exit.signal == nil && !exit.oomKilled)
      #expect(try fixture.log("a").map(\.log) == ["out\n", "err\n"])
      #expect(try fixture.log("a").map(\.stream) == ["stdout", "stderr"])
      try await fixture.delete("a")
      #expect(fixture.events.withLock { $0.map(\.type) } == [.start, .exit])
      #expect(fixture.events.withLock { $0.map(\.sequence) } == [1, 2])
    }
  }

  @Test func aWaitingShimThatWasKilledIsReplaced() async throws {
    try await with { fixture in
      for round in 0..<2 {
        fixture.manager.launcher.refill()
        let found = fixture.manager.launcher.waitingPid()
        let waiting = try #require(found)
        if round == 1 {
          let dying = try PidFD(pid: waiting)
          kill(waiting, SIGKILL)
          var events: UInt32 = 0
          let hasEnded = try Polling.wait(
            dying.descriptor.rawValue, for: .readable, milliseconds: 5_000, events: &events)
          #expect(hasEnded)
        }
        _ = try await fixture.create("a", ["sleep", "100"])
        let shim = try await fixture.manager.get(.init(id: "a")).task.shimPid
        #expect((shim == Int64(waiting)) == (round == 0))
        try await fixture.delete("a")
      }
      fixture.manager.close()
      let rest = fixture.manager.launcher.waitingPid()
      #expect(rest == nil)
    }
  }

  @Test func inputEndsWithTheClientsHalf() async throws {
    try await with { fixture in
      let all = AttachStreams(stdin: true, stdout: true, stderr: true)
      let created = try await fixture.create("a", ["cat"], stdin: true, attach: all)
      #expect(try fixture.read(created.stream, sending: "round trip") == "round trip")
      try await fixture.delete("a")
    }
  }

  @Test func execsHaveTheirOwnStreamsAndExit() async throws {
    try await with { fixture in
      _ = try await fixture.create("a", ["sleep", "100"])
      let exec = try await fixture.manager.exec(
        .init(id: "a", exec: "x", process: fixture.process(["sh", "-c", "echo hi; exit 3"]), stdin: false, attach: out))
      #expect(try fixture.read(exec.stream) == "hi\n")
      #expect(try await fixture.manager.wait(.init(id: "a", exec: "x")).exit.code == 3)
      await #expect(throws: Fault.self) {
        try await fixture.manager.exec(
          .init(id: "a", exec: "y", process: fixture.process(["nosuch"]), stdin: false))
      }
      try await fixture.delete("a")
    }
  }

  @Test func aFailedStartLeavesNothingAndSaysWhy() async throws {
    try await with { fixture in
      await #expect(throws: Fault(.commandNotFound, "exec: \"nosuch\": executable file not found in $PATH")) {
        _ = try await fixture.create("a", ["nosuch"])
      }
      fixture.expectNothing(of: "a")
      #expect(try await fixture.manager.list(.init()).tasks.isEmpty)
      _ = try await fixture.create("a", ["true"])  // the name is free again
      try await fixture.delete("a")
    }
  }

  @Test func namesAndRunningTasksAreProtected() async throws {
    try await with { fixture in
      for name in ["", "../x", "a/b", ".a", String(repeating: "a", count: 65), "a\n"] {
        await #expect(throws: Fault.self) { _ = try await fixture.create(name, ["true"]) }
      }
      _ = try await fixture.create("a", ["sleep", "100"])
      await #expect(throws: Fault.self) { _ = try await fixture.create("a", ["true"]) }
      await #expect(throws: Fault.self) { try await fixture.manager.delete(.init(id: "a")) }
      try await fixture.delete("a")
    }
  }

  @Test func pausesAndDiesPaused() async throws {
    try await with { fixture in
      _ = try await fixture.create("a", ["sleep", "100"])
      _ = try await fixture.manager.pause(.init(id: "a"))
      #expect(try await fixture.manager.get(.init(id: "a")).task.status == .paused)
      _ = try await fixture.manager.signal(.init(id: "a", signal: 9))
      let exit = try await fixture.manager.wait(.init(id: "a")).exit
      #expect(exit.code == 137 && exit.signal == 9)
      try await fixture.delete("a")
    }
  }

  @Test func aKilledShimIsReportedWithinASecond() async throws {
    try await with { fixture in
      _ = try await fixture.create("a", ["sleep", "100"])
      let state = try await fixture.manager.get(.init(id: "a")).task
      let start = ContinuousClock.now
      kill(pid_t(state.shimPid), SIGKILL)
      let exit = try await fixture.manager.wait(.init(id: "a")).exit
      #expect(ContinuousClock.now - start < .seconds(1))
      #expect(exit.error?.contains("shim") == true)
      #expect(kill(pid_t(state.pid), 0) != 0)
      try await fixture.delete("a")
    }
  }

  @Test func aRestartedServiceFindsEverything() async throws {
    try await with { fixture in
      let wait = AttachStreams(stdin: true, stdout: true, stderr: true)
      let going = try await fixture.create(
        "going", ["sh", "-c", "read x; echo $x; exit 5"], stdin: true, attach: wait)
      _ = try await fixture.create("ended", ["sh", "-c", "exit 4"])
      _ = try await fixture.manager.wait(.init(id: "ended"))
      _ = try await fixture.create("orphan", ["sleep", "100"])
      let orphan = try await fixture.manager.get(.init(id: "orphan")).task
      try await fixture.restart()
      #expect(try await fixture.manager.list(.init()).tasks.map(\.id) == ["ended", "going", "orphan"])
      #expect(try await fixture.manager.wait(.init(id: "ended")).exit.code == 4)
      #expect(try fixture.read(going.stream, sending: "word\n") == "word\n")
      #expect(try await fixture.manager.wait(.init(id: "going")).exit.code == 5)
      kill(pid_t(orphan.shimPid), SIGKILL)
      #expect(try await fixture.manager.wait(.init(id: "orphan")).exit.error != nil)
      for id in ["going", "ended", "orphan"] { try await fixture.delete(id) }
    }
  }

  @Test func whatWasNeverFinishedIsCleaned() async throws {
    try await with { fixture in
      try Files.makeDirectories(fixture.manager.folder(of: "half").path)
      try fixture.manager.folder(of: "half").write(
        .options, TaskOptions(id: "half", cgroup: fixture.cgroup("half"), rootfs: []))
      // A deletion that was cut off: all but one file is gone.
      let gone = TaskFolder(fixture.manager.tasksFolder.appending(".gone-x"))
      try Files.makeDirectories(gone.path)
      try gone.write(.progress, TaskProgress(shimPid: 1, pid: 2))
      try await fixture.restart()
      #expect(try await fixture.manager.list(.init()).tasks.isEmpty)
      fixture.expectNothing(of: "half")
      #expect(try Files.list(fixture.manager.tasksFolder.string) == ["lock"])
    }
  }

  @Test func thirtyAtOnce() async throws {
    try await with { fixture in
      let codes = try await withThrowingTaskGroup(of: Int64.self) { group in
        for number in 0..<30 {
          group.addTask {
            _ = try await fixture.create("n\(number)", ["sh", "-c", "exit \(number)"])
            return try await fixture.manager.wait(.init(id: "n\(number)")).exit.code
          }
        }
        return try await group.reduce(into: Set<Int64>()) { $0.insert($1) }
      }
      #expect(codes == Set(0..<30))
      for number in 0..<30 { try await fixture.delete("n\(number)") }
    }
  }
}
