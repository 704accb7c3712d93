import CLinux
import Faults
import Glibc
import Linux
import OCI
import Testing

@testable import Cgroups

/// The same tests on whatever this machine has: v1 hybrid here, v2 in the virtual machine of deploy/vm.
@Suite(.enabled(if: geteuid() == 0, "needs root: makes cgroups"), .serialized)
struct RealCgroupTests {
  /// A cgroup of its own for a test, gone at the end with everything in it.
  private func withCgroup(
    _ resources: RuntimeSpec.Resources? = nil, _ body: (Cgroup) throws -> Void
  ) throws {
    let path = "/gantry-test-\(getpid())/\(UInt32.random(in: 0 ... .max))"
    let cgroup = try Cgroup.create(path: path, resources: resources)
    defer {
      // By pid: a suite that runs beside this one has children too.
      let inside = cgroup.processes()
      try? cgroup.killAll()
      for pid in inside { waitpid(pid, nil, 0) }
      #expect(throws: Never.self) { try cgroup.remove(withinMilliseconds: 5_000) }
      try? Cgroup.removeEmptyParents(of: path)
    }
    try body(cgroup)
  }

  /// Runs `body` in a child that enters `cgroup` as a container's init does. Returns the child's pid.
  private func start(in cgroup: Cgroup, _ body: () -> Int32) throws -> Int32 {
    let entrance = try cgroup.entrance()
    var folder: Int32 = -1
    if let descriptor = try cgroup.folderForClone() { folder = descriptor.take() }
    defer { Descriptors.close(folder) }
    var pidfd: Int32 = -1
    let pid = cl_clone3(0, SIGCHLD, folder, &pidfd)
    if pid == 0 {
      let error = entrance.enter()
      _exit(error != 0 ? 200 : body())
    }
    try #require(pid > 0)
    close(pidfd)
    return pid
  }

  /// The exit status of `pid`, or 256 plus the signal that ended it.
  private func status(_ pid: Int32) -> Int32 {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
    return status & 0x7f == 0 ? (status >> 8) & 0xff : 256 + (status & 0x7f)
  }

  private func sleeper(in cgroup: Cgroup) throws -> Int32 {
    try start(in: cgroup) {
      while true { pause() }
    }
  }

  @Test func aChildEntersEveryTree() throws {
    try withCgroup { cgroup in
      let pid = try sleeper(in: cgroup)
      try waitUntil { cgroup.distinctFolders.allSatisfy { Cgroup.processes(below: $0.path) == [pid] } }
      #expect(cgroup.processes() == [pid])
      #expect(try Cgroup.open(path: cgroup.path) == cgroup)
      for controller in [Controller.memory, .cpu, .pids, .devices, .freezer] {
        #expect(cgroup.folder(of: controller) != nil, "\(controller)")
      }
      #expect { try Cgroup.create(path: cgroup.path, resources: nil) } throws: {
        ($0 as? Fault)?.code == .alreadyExists
      }
      try cgroup.killAll()
      #expect(status(pid) == 256 + SIGKILL)
      #expect(cgroup.waitUntilEmpty(withinMilliseconds: 2_000))
    }
  }

  @Test func addingFromOutside() throws {
    try withCgroup { cgroup in
      let child = try SpawnRequest(.path("/bin/sleep"), arguments: ["sleep", "100"]).spawn()
      let pid = child.pid
      try cgroup.add(pid: pid)
      #expect(cgroup.processes() == [pid])
      try cgroup.signalAll(SIGTERM)
      #expect(status(pid) == 256 + SIGTERM)
    }
  }

  @Test func devicesAreDenied() throws {
    try withCgroup { cgroup in
      // /dev/null may be opened; the kernel's memory (1:1) and a fresh node of the first disk may not.
      let node = "/tmp/gantry-cgroups-node-\(getpid())"
      let status = status(
        try start(in: cgroup) {
          guard open("/dev/null", O_RDWR) >= 0 else { return 1 }
          guard mknod(node, S_IFBLK | 0o600, 254 << 8) == 0 else { return 2 }
          guard open(node, O_RDONLY) < 0, errno == EPERM else { return 3 }
          guard mknod(node + "c", S_IFCHR | 0o600, 10 << 8 | 237) == 0 else { return 4 }
          guard open(node + "c", O_RDONLY) < 0, errno == EPERM else { return 5 }
          return 0
        })
      unlink(node)
      unlink(node + "c")
      #expect(status == 0)
    }
  }

  @Test func devicesCanBeAllowedLater() throws {
    try withCgroup { cgroup in
      let node = "/tmp/gantry-cgroups-node2-\(getpid())"
      #expect(mknod(node, S_IFCHR | 0o600, 1 << 8 | 11) == 0)  // kmsg
      defer { unlink(node) }
      let attempt: () -> Int32 = { open(node, O_WRONLY) >= 0 ? 0 : errno }
      #expect(status(try start(in: cgroup, attempt)) == EPERM)
      try cgroup.update(.init(devices: [.init(allow: true, type: "c", major: 1, minor: 11, access: "rw")]))
      #expect(status(try start(in: cgroup, attempt)) == 0)
      try cgroup.update(.init(devices: []))
      #expect(status(try start(in: cgroup, attempt)) == EPERM)
    }
  }

  @Test func memoryLimitKillsAndIsNoticed() throws {
    let limits = RuntimeSpec.Memory(limit: 16 << 20, swap: 16 << 20)
    try withCgroup(.init(memory: limits)) { cgroup in
      guard let watch = try cgroup.watchOOM() else {
        Issue.record("this machine has no memory controller")
        return
      }
      let pid = try start(in: cgroup) {
        let size = 64 << 20
        guard let block = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) else { return 1 }
        for offset in stride(from: 0, to: size, by: 4096) {
          block.storeBytes(of: 1, toByteOffset: offset, as: UInt8.self)
        }
        return 0
      }
      #expect(status(pid) == 256 + SIGKILL)
      var entry = pollfd(fd: watch.descriptor, events: Int16(watch.epollEvents), revents: 0)
      #expect(poll(&entry, 1, 2_000) == 1)
      #expect(watch.kills() == 1)
      #expect(cgroup.oomKills == 1)
      #expect(cgroup.statistics().memory.limit == 16 << 20)
    }
  }

  @Test func processLimit() throws {
    try withCgroup(.init(pids: .init(limit: 3))) { cgroup in
      let pid = try start(in: cgroup) {
        var pidfd: Int32 = -1
        for index in 0..<10 {
          let child = cl_clone3(0, SIGCHLD, -1, &pidfd)
          if child == 0 { while true { pause() } }
          if child < 0 { return child == -EAGAIN ? 100 + Int32(index) : 1 }
        }
        return 2
      }
      #expect(status(pid) == 102)
      #expect(cgroup.statistics().pids.limit == 3)
      #expect(cgroup.statistics().pids.current == 2)
    }
  }

  @Test func pauseAndResume() throws {
    try withCgroup { cgroup in
      // The child counts in memory that it shares with the test.
      let shared = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)!
      defer { munmap(shared, 4096) }
      let counter = shared.bindMemory(to: UInt64.self, capacity: 1)
      let pid = try start(in: cgroup) {
        while true { counter.pointee &+= 1 }
      }
      try waitUntil { counter.pointee > 0 }
      try cgroup.freeze()
      #expect(cgroup.isFrozen)
      let stopped = counter.pointee
      usleep(5_000)
      #expect(counter.pointee == stopped)
      try cgroup.thaw()
      #expect(!cgroup.isFrozen)
      try waitUntil { counter.pointee > stopped }
      try cgroup.freeze()
      try cgroup.killAll()
      #expect(status(pid) == 256 + SIGKILL, "frozen processes die too")
      #expect(cgroup.statistics().cpu.usage > 0)
    }
  }

  @Test func updates() throws {
    try withCgroup(.init(memory: .init(limit: 64 << 20, swap: 64 << 20))) { cgroup in
      let pid = try sleeper(in: cgroup)
      try waitUntil { cgroup.distinctFolders.allSatisfy { Cgroup.processes(below: $0.path) == [pid] } }
      // Up and down: on v1 the order of the two writes matters.
      try cgroup.update(.init(memory: .init(limit: 256 << 20, swap: 512 << 20)))
      #expect(cgroup.statistics().memory.limit == 256 << 20)
      try cgroup.update(.init(memory: .init(limit: 32 << 20, swap: 32 << 20)))
      #expect(cgroup.statistics().memory.limit == 32 << 20)
      try cgroup.update(.init(memory: .init(limit: -1, swap: -1)))
      #expect(cgroup.statistics().memory.limit == nil)
      try cgroup.update(.init(cpu: .init(shares: 512, quota: 20_000, period: 50_000), pids: .init(limit: 50)))
      #expect(cgroup.statistics().pids.limit == 50)
      #expect(throws: Fault.self) { try cgroup.update(.init(cpu: .init(quota: 5))) }
      // The cpuset folder is made when it is first asked for.
      try cgroup.update(.init(cpu: .init(cpus: "0", mems: "0")))
      #expect(KernelFile.text("/proc/\(pid)/status")?.contains("Cpus_allowed_list:\t0\n") == true)
      let opened = try Cgroup.open(path: cgroup.path)
      #expect(opened.folder(of: .cpuset) != nil)
      #expect { try cgroup.update(.init(cpu: .init(cpus: "4000"))) } throws: {
        let message = ($0 as? Fault)?.message ?? ""
        return message.contains("cpuset") && message.contains("4000") && message.contains("cpuset.cpus")
      }
      try opened.killAll()
      _ = status(pid)
      #expect(throws: Never.self) { try opened.remove() }
    }
  }

  @Test func refusedLimitsLeaveNothing() throws {
    let path = "/gantry-test-refused-\(getpid())"
    #expect(throws: Fault.self) {
      try Cgroup.create(path: path, resources: .init(cpu: .init(quota: 1, period: 1)))
    }
    #expect { try Cgroup.open(path: path) } throws: { ($0 as? Fault)?.code == .notFound }
  }

  @Test func nestedCgroupsOfTheContainerGoToo() throws {
    try withCgroup { cgroup in
      for folder in cgroup.distinctFolders { #expect(mkdir(folder.path + "/inner", 0o755) == 0) }
      if cgroup.version == .v2 {
        let folder = try #require(cgroup.unified)
        let child = try SpawnRequest(.path("/bin/sleep"), arguments: ["sleep", "100"]).spawn()
        let pid = child.pid
        #expect(KernelFile.write(folder.path + "/inner/cgroup.procs", String(pid)) == 0)
        #expect(cgroup.processes() == [pid])
        guard let beside = try cgroup.folderForClone(beside: pid) else {
          Issue.record("no folder on cgroup v2")
          return
        }
        #expect(KernelFile.text("/proc/self/fd/\(beside.rawValue)/cgroup.procs") == "\(pid)\n")
        try cgroup.killAll()
        #expect(status(pid) == 256 + SIGKILL)
      }
      try cgroup.remove()
      #expect { try Cgroup.open(path: cgroup.path) } throws: { ($0 as? Fault)?.code == .notFound }
    }
  }

  @Test func aBusyCgroupSaysWhoIsInside() throws {
    try withCgroup { cgroup in
      let pid = try sleeper(in: cgroup)
      try waitUntil { cgroup.distinctFolders.allSatisfy { Cgroup.processes(below: $0.path) == [pid] } }
      #expect { try cgroup.remove(withinMilliseconds: 10) } throws: {
        ($0 as? Fault)?.code == .conflict && ($0 as? Fault)?.message.contains("\(pid)") == true
      }
      try cgroup.killAll()
      _ = status(pid)
    }
  }

  @Test func leftoversOfACrashAreReplaced() throws {
    try withCgroup(.init(pids: .init(limit: 7))) { cgroup in
      let again = try Cgroup.create(path: cgroup.path, resources: nil)
      #expect(again.statistics().pids.limit == nil)
    }
  }

  /// Polls `condition` for at most five seconds.
  private func waitUntil(_ condition: () -> Bool) throws {
    for _ in 0..<5_000 {
      if condition() { return }
      usleep(1_000)
    }
    Issue.record("the condition did not come true in five seconds")
  }
}
