import Glibc
import JSONRPC
import Linux
import Protocol
import SystemPackage
import Testing

@testable import ShimCore
@testable import Tasks

extension TaskManagerTests {
  /// More processes in a container, and what containers use. Within the other suite: both make containers of one name.
  @Suite struct Execs {
    private let out = AttachStreams(stdin: false, stdout: true, stderr: true)

    private func with(_ body: (Fixture) async throws -> Void) async throws {
      let fixture = try await Fixture()
      defer { fixture.close() }
      _ = try await fixture.create("a", ["sleep", "1000"])
      try await body(fixture)
      try await fixture.delete("a")
    }

    private func exec(
      _ fixture: Fixture, _ id: String, _ script: String, endsWithClient: Bool = true
    ) async throws -> StreamAddress {
      try #require(
        try await fixture.manager.exec(
          .init(
            id: "a", exec: id, process: fixture.process(["sh", "-c", script]), stdin: false, attach: out,
            endsWithClient: endsWithClient)
        ).stream)
    }

    /// Connects a client, and waits until it has seen `count` bytes of output.
    private func client(_ address: StreamAddress, sees count: Int) throws -> OwnedDescriptor {
      let socket = try UnixSocket.connect(path: FilePath(address.socket))
      _ = (address.token + "\n").withCString { write(socket.rawValue, $0, strlen($0)) }
      var seen = 0
      var buffer = [UInt8](repeating: 0, count: 4096)
      while seen < count {
        let got = read(socket.rawValue, &buffer, buffer.count)
        try #require(got > 0)
        seen += got
      }
      return socket
    }

    private func processes(_ fixture: Fixture) async throws -> Int {
      try await fixture.manager.processes(.init(id: "a")).pids.count
    }

    private func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
      for _ in 0..<500 {
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(10))
      }
      return false
    }

    private func execFolders(_ fixture: Fixture) -> [String] {
      ["/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/freezer"].flatMap { tree in
        ((try? Files.list(tree + fixture.cgroup("a"))) ?? []).filter { $0.hasPrefix("exec.") }
      }
    }

    @Test func anExecAndItsChildrenEndWithTheirClient() async throws {
      try await with { fixture in
        let address = try await exec(fixture, "x", "sleep 1000 & sleep 1001 & echo up; sleep 1002")
        let socket = try client(address, sees: 11)
        #expect(try await eventually { try await processes(fixture) >= 4 })
        #expect(execFolders(fixture) == ["exec.1"])
        let start = ContinuousClock.now
        Descriptors.close(socket.take())
        let exit = try await fixture.manager.wait(.init(id: "a", exec: "x")).exit
        #expect(exit.code == 137 && exit.signal == 9)
        #expect(ContinuousClock.now - start < .seconds(2))
        #expect(try await eventually { try await processes(fixture) == 1 && execFolders(fixture).isEmpty })
      }
    }

    @Test func aDetachedExecGoesOn() async throws {
      try await with { fixture in
        let address = try await exec(fixture, "x", "echo up; read wait </dev/zero; sleep 0.2; exit 7")
        let socket = try client(address, sees: 11)
        _ = try await fixture.manager.detach(.init(id: "a", exec: "x"))
        Descriptors.close(socket.take())
        _ = try await fixture.manager.signal(.init(id: "a", exec: "x", signal: 0))
        #expect(try await processes(fixture) == 2)
        _ = try await fixture.manager.signal(.init(id: "a", exec: "x", signal: 9, all: true))
        #expect(try await fixture.manager.wait(.init(id: "a", exec: "x")).exit.code == 137)
      }
    }

    @Test func withoutTheWishAnExecOutlivesItsClient() async throws {
      try await with { fixture in
        let address = try await exec(fixture, "x", "echo up; sleep 0.3; exit 7", endsWithClient: false)
        Descriptors.close(try client(address, sees: 11).take())
        #expect(try await fixture.manager.wait(.init(id: "a", exec: "x")).exit.code == 7)
      }
    }

    @Test func aHalfClosedClientIsNotGone() async throws {
      try await with { fixture in
        let address = try await exec(fixture, "x", "echo up; sleep 0.3; exit 7")
        let socket = try client(address, sees: 11)
        UnixSocket.shutdownWriting(socket.rawValue)
        #expect(try await fixture.manager.wait(.init(id: "a", exec: "x")).exit.code == 7)
      }
    }

    @Test func whatAnExecLeavesRunningIsTheContainers() async throws {
      try await with { fixture in
        let address = try await exec(fixture, "x", "sleep 1000 & exit 3")
        #expect(try fixture.read(address) == "")
        #expect(try await fixture.manager.wait(.init(id: "a", exec: "x")).exit.code == 3)
        #expect(try await eventually { execFolders(fixture).isEmpty })
        #expect(try await processes(fixture) == 2)
      }
    }

    @Test func aSignalCanReachTheWholeExec() async throws {
      try await with { fixture in
        let address = try await exec(fixture, "x", "trap 'exit 5' USR1; sleep 1000 & sleep 0.2; echo up; wait; exit 6")
        let socket = try client(address, sees: 11)
        _ = try await fixture.manager.signal(.init(id: "a", exec: "x", signal: 10, all: true))
        #expect(try await fixture.manager.wait(.init(id: "a", exec: "x")).exit.code == 5)
        #expect(try await eventually { try await processes(fixture) == 1 })
        _ = consume socket
      }
    }

    @Test func samplesOfManyAreReadInOneGo() async throws {
      try await with { fixture in
        _ = try await fixture.create("b", ["sh", "-c", "while :; do :; done"])
        _ = try await fixture.create("c", ["true"])
        _ = try await fixture.manager.wait(.init(id: "c"))
        let tasks = try await fixture.manager.sample(.init(ids: ["b", "nosuch", "c", "a"])).tasks
        #expect(tasks.map(\.id) == ["b", "a"])
        #expect(tasks.allSatisfy { $0.stats.pids.current == 1 && $0.stats.memory.usage > 0 })
        #expect(tasks.allSatisfy { $0.networks?.isEmpty == true })  // a network namespace with lo alone
        #expect(tasks[0].stats.memory.detail.keys.allSatisfy { $0.hasSuffix("inactive_file") })
        let whole = try await fixture.manager.sample(.init(ids: ["b"], detail: true)).tasks
        #expect((whole.first?.stats.memory.detail.count ?? 0) > 10)
        #expect((whole.first?.stats.cpu.usage ?? 0) > 0)
        try await fixture.delete("b")
        try await fixture.delete("c")
      }
    }

    @Test func namesInACheckpointSayNoMoreThanAStream() throws {
      for name in ["pipe:[1]", "pipe:[4294967295]", "file[18:3]", "file[a0:ff]"] {
        try CheckpointNotes(streams: [name, nil, nil], externalMounts: []).check()
      }
      for name in [
        "", "pipe:[]", "pipe:[1", "pipe:[x]", "pipe:[1]:/etc/shadow", "/dev/sda", "file[1]", "file[1:2:3]", "file[g:1]",
        "tty[1:2]", "pipe:[../1]", "pipe:[1]\n", "socket:[1]", "file[:]",
      ] {
        #expect(throws: (any Error).self) {
          try CheckpointNotes(streams: [nil, name, nil], externalMounts: []).check()
        }
      }
      #expect(throws: (any Error).self) { try CheckpointNotes(streams: [nil], externalMounts: []).check() }
    }
  }
}
