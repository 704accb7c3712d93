import Faults
import Glibc
import Linux
import SystemPackage
import Testing

/// A folder of its own, removed with the last reference.
final class Scratch {
  let path: FilePath
  init() throws {
    path = FilePath("/tmp/gantry-linux-\(getpid())-\(UInt32.random(in: 0...UInt32.max))")
    try Files.makeDirectory(path.string)
  }
  deinit {
    _ = try? SpawnRequest(.path("/bin/rm"), arguments: ["rm", "-rf", path.string]).spawn().pidFD.wait()
  }
}

@Suite struct LinuxTests {
  let scratch: Scratch
  init() throws { scratch = try Scratch() }

  @Test func aDescriptorIsClosedOnceAndOnlyWhenOwned() throws {
    let pipe = try Descriptors.pipe()
    let number = pipe.write.take()
    #expect(fcntl(number, F_GETFD) == FD_CLOEXEC)
    do { _ = OwnedDescriptor(number) }
    var buffer: UInt8 = 0
    // The only writer is closed: the end of input, at once.
    #expect(read(pipe.read.rawValue, &buffer, 1) == 0)
  }

  @Test func resolvingStaysWhereItIsTold() throws {
    symlink("/etc", scratch.path.appending("out").string)
    symlink("/proc/self/fd/0", scratch.path.appending("magic").string)
    let root = try openat2(nil, scratch.path.string, [.path, .directory])
    #expect(throws: Errno.self) { try openat2(root.rawValue, "out/passwd", .readOnly, resolve: .inRoot).take() }
    #expect(throws: Errno(rawValue: EXDEV)) { try openat2(root.rawValue, "../x", .readOnly, resolve: .beneath).take() }
    #expect(throws: Errno.tooManySymbolicLinkLevels) {
      try openat2(root.rawValue, "out", .readOnly, resolve: .noSymlinks).take()
    }
  }

  @Test func aDurableFileIsWholeOrAbsent() throws {
    let file = scratch.path.appending("state")
    try DurableFile.write(file, Array("one".utf8), mode: 0o640)
    try DurableFile.write(file, Array("two".utf8))
    #expect(try Files.readText(file.string) == "two")
    #expect(try FileStatus(file.string).permissions == 0o600)
    #expect(try Files.list(scratch.path.string) == ["state"])
    #expect(throws: Errno.noSuchFileOrDirectory) { try DurableFile.write(scratch.path.appending("no/file"), []) }
    #expect(throws: Errno.fileTooLarge) { try Files.read(file.string, limit: 2) }
  }

  @Test func aFolderHasOneOwner() throws {
    let lock = try FolderLock(scratch.path, owner: "gantry-test")
    #expect {
      _ = try FolderLock(scratch.path, owner: "gantry-test")
    } throws: {
      let fault = $0 as? Fault
      return fault?.code == .locked && fault?.message.contains("\(getpid())") == true
    }
    _ = consume lock
    _ = try FolderLock(scratch.path, owner: "gantry-test")
  }

  @Test func spawnedProgramsGetExactlyTheirDescriptors() throws {
    let out = scratch.path.appending("out").string
    let file = try openat2(nil, out, [.writeOnly, .create], mode: 0o600)
    let leak = open("/", O_RDONLY)
    defer { close(leak) }
    let child = try SpawnRequest(
      .path("/bin/ls"), arguments: ["ls", "/proc/self/fd"], descriptors: [nil, file.rawValue, file.rawValue]
    ).spawn()
    let value1 = try child.pidFD.wait()
    #expect(value1 == .exited(0))
    #expect(try Files.readText(out) == "0\n1\n2\n3\n")
    #expect(throws: Errno.noSuchFileOrDirectory) {
      _ = try SpawnRequest(.path("/no/such"), arguments: ["x"]).spawn().pid
    }
  }

  @Test func aSealedExecutableRunsAndCannotBeChanged() throws {
    let sealed = try SealedExecutable(copying: "/bin/busybox", name: "box")
    let child = try SpawnRequest(
      .descriptor(sealed.descriptor.rawValue), arguments: ["sh", "-c", "exit 3"], environment: ["A=b"]
    ).spawn()
    let value2 = try child.pidFD.wait()
    #expect(value2 == .exited(3))
    #expect(throws: Errno(rawValue: EPERM)) {
      try [UInt8](repeating: 0, count: 1).withUnsafeBufferPointer { bytes throws(Errno) in
        _ = try Descriptors.write(sealed.descriptor.rawValue, UnsafeRawBufferPointer(bytes))
      }
    }
  }

  @Test func signalsEndProcesses() throws {
    let child = try SpawnRequest(.path("/bin/sleep"), arguments: ["sleep", "100"]).spawn()
    let before = child.pidFD.isAlive()
    #expect(before)
    #expect(try ProcFiles.startTime(pid: child.pid) > 0)
    #expect(try ProcFiles.parent(pid: child.pid) == getpid())
    // spawn returns when exec has left our memory, a moment before the kernel shows the new arguments.
    var arguments: [String] = []
    for _ in 0..<100_000 where arguments != ["sleep", "100"] {
      arguments = try ProcFiles.arguments(pid: child.pid)
      sched_yield()
    }
    #expect(arguments == ["sleep", "100"])
    try child.pidFD.signal(SIGTERM)
    let value3 = try child.pidFD.wait()
    #expect(value3 == .signalled(SIGTERM, coreDumped: false))
    let after = child.pidFD.isAlive()
    #expect(!after)
  }

  @Test func socketsCarryDescriptorsAndCredentials() throws {
    let path = scratch.path.appending("socket")
    let listener = try UnixSocket.listen(path: path, mode: 0o660)
    #expect(try FileStatus(path.string).permissions == 0o660)
    let early = try UnixSocket.accept(listener.rawValue)
    let none = early == nil
    #expect(none)
    let client = try UnixSocket.connect(path: path)
    guard let server = try UnixSocket.accept(listener.rawValue, nonBlocking: false) else {
      Issue.record("no connection")
      return
    }
    #expect(try PeerCredentials(of: server.rawValue) == PeerCredentials(pid: getpid(), uid: geteuid(), gid: getegid()))
    let pipe = try Descriptors.pipe()
    let text = Array("hi".utf8)
    try text.withUnsafeBufferPointer { bytes throws(Errno) in
      _ = try UnixSocket.send(client.rawValue, UnsafeRawBufferPointer(bytes), descriptors: [pipe.write.rawValue])
    }
    var buffer = [UInt8](repeating: 0, count: 8)
    let (count, descriptors) = try buffer.withUnsafeMutableBufferPointer { bytes throws(Errno) in
      try UnixSocket.receive(server.rawValue, into: UnsafeMutableRawBufferPointer(bytes), maximumDescriptors: 2)
    }
    #expect(count == 2 && descriptors.count == 1)
    #expect(fcntl(descriptors[0], F_GETFD) == FD_CLOEXEC)
    close(descriptors[0])
    // A name that is too long for an address goes through its folder.
    let deep = scratch.path.appending(String(repeating: "d", count: 120))
    try Files.makeDirectory(deep.string)
    let far = try UnixSocket.listen(path: deep.appending("s"))
    _ = try UnixSocket.connect(path: deep.appending("s")).take()
    #expect(far.rawValue >= 0)
  }

  @Test func eventsWakeTheLoop() throws {
    let epoll = try Epoll()
    let event = try EventFD()
    try epoll.add(event.descriptor.rawValue, .readable, token: 7)
    let value4 = try epoll.wait(milliseconds: 0) { _ in }
    #expect(value4 == 0)
    try event.add(3)
    var tokens: [UInt64] = []
    try epoll.wait(milliseconds: 1000) { tokens.append($0.token) }
    #expect(tokens == [7])
    let value5 = try event.take()
    #expect(value5 == 3)
    let value6 = try event.take()
    #expect(value6 == nil)
  }

  @Test func terminalsHaveSizesAndModes() throws {
    let pair = try Terminal.open()
    try Terminal.setSize(pair.master.rawValue, TerminalSize(rows: 24, columns: 80))
    #expect(try Terminal.size(pair.terminal.rawValue) == TerminalSize(rows: 24, columns: 80))
    let state = try Terminal.makeRaw(pair.terminal.rawValue)
    let text = Array("a\n".utf8)
    try text.withUnsafeBufferPointer { bytes throws(Errno) in
      try Descriptors.writeAll(pair.terminal.rawValue, UnsafeRawBufferPointer(bytes))
    }
    var buffer = [UInt8](repeating: 0, count: 8)
    // Raw: the line feed stays one.
    #expect(read(pair.master.rawValue, &buffer, 8) == 2)
    try Terminal.restore(pair.terminal.rawValue, state)
  }

  @Test func capabilityNamesAreTheKernels() {
    #expect(Capabilities.number(of: "chown") == 0)
    #expect(Capabilities.number(of: "CAP_SYS_ADMIN") == 21)
    #expect(Capabilities.number(of: "CAP_CHECKPOINT_RESTORE") == 40)
    #expect(CapabilitySet(names: ["NET_RAW", "cap_kill"])?.names == ["CAP_KILL", "CAP_NET_RAW"])
    #expect(CapabilitySet(names: ["nonsense"]) == nil)
  }

  @Test func theKernelIsKnown() {
    #expect(KernelFeatures.version >= KernelFeatures.oldest)
    #expect(KernelFeatures.missing() == [])
  }

  @Test func memoryIsReadFromTheRollup() throws {
    let memory = try ProcFiles.memory(pid: getpid())
    #expect(memory.resident >= memory.proportional && memory.proportional > 0)
  }

  @Test func attributesAreSetAndListed() throws {
    let file = scratch.path.appending("file")
    try DurableFile.write(file, [], durable: false)
    guard (try? ExtendedAttributes.set(file, "user.note", [1, 2])) != nil else { return }
    #expect(try ExtendedAttributes.get(file, "user.note") == [1, 2])
    #expect(try ExtendedAttributes.names(file).contains("user.note"))
    #expect(try ExtendedAttributes.get(file, "user.other") == nil)
    try ExtendedAttributes.remove(file, "user.note")
    #expect(try ExtendedAttributes.get(file, "user.note") == nil)
  }
}
