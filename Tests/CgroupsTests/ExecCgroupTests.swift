import CLinux
import Glibc
import Linux
import OCI
import Testing

@testable import Cgroups

/// Cgroups of execs on whatever this machine has: beside v1 trees here, on v2 in the virtual machine.
@Suite(.enabled(if: geteuid() == 0, "needs root: makes cgroups"), .serialized)
struct ExecCgroupTests {
  private func withCgroup(_ body: (Cgroup) throws -> Void) throws {
    let path = "/gantry-exec-\(getpid())/\(UInt32.random(in: 0 ... .max))"
    let cgroup = try Cgroup.create(path: path, resources: nil)
    defer {
      reap(cgroup)
      #expect(throws: Never.self) { try cgroup.remove(withinMilliseconds: 5_000) }
      try? Cgroup.removeEmptyParents(of: path)
    }
    try body(cgroup)
  }

  /// A child that enters as an exec does, or with nil as the container's init does, and waits to be ended.
  private func sleeper(_ cgroup: Cgroup, _ exec: ExecCgroup?) throws -> Int32 {
    let entrance = if let exec { try cgroup.entrance(exec: exec) } else { try cgroup.entrance() }
    let opened = if let exec { try cgroup.folderForClone(exec: exec) } else { try cgroup.folderForClone() }
    var folder: Int32 = -1
    if let opened { folder = opened.take() }
    defer { Descriptors.close(folder) }
    var pidfd: Int32 = -1
    let pid = cl_clone3(0, SIGCHLD, folder, &pidfd)
    if pid == 0 {
      guard entrance.enter() == 0 else { _exit(200) }
      while true { pause() }
    }
    try #require(pid > 0)
    close(pidfd)
    // The child enters the v1 trees by itself.
    for _ in 0..<1_000 where !cgroup.processes().contains(pid) { usleep(1_000) }
    return pid
  }

  /// Kills and collects the children inside, by pid: a suite that runs beside this one has children too.
  private func reap(_ cgroup: Cgroup) {
    let inside = cgroup.processes()
    try? cgroup.killAll()
    for pid in inside { waitpid(pid, nil, 0) }
  }

  /// The signal that ended `pid`.
  private func signal(_ pid: Int32) -> Int32 {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
    return status & 0x7f
  }

  @Test func itsProcessesAreTheContainersToo() throws {
    try withCgroup { cgroup in
      var number: UInt64 = 0
      let exec = try cgroup.makeExec(&number)
      #expect(number == 1 && exec.path.hasSuffix("/exec.1"))
      let pid = try sleeper(cgroup, exec)
      #expect(Cgroup.processes(below: exec.path) == [pid])
      #expect(cgroup.processes() == [pid])
      #expect(cgroup.statistics().pids.current == 1)
    }
  }

  @Test func killingItLeavesTheContainerAlone() throws {
    try withCgroup { cgroup in
      let main = try sleeper(cgroup, nil)
      var number: UInt64 = 0
      let exec = try cgroup.makeExec(&number)
      let pids = [try sleeper(cgroup, exec), try sleeper(cgroup, exec)]
      try exec.killAll()
      for pid in pids { #expect(signal(pid) == SIGKILL) }
      #expect(exec.close(besideProcess: main))
      #expect(!KernelFile.exists(exec.path))
      #expect(cgroup.processes() == [main])
      try exec.killAll()  // gone: nobody to kill, and no failure
    }
  }

  @Test func whatItLeavesGoesOnInTheContainer() throws {
    try withCgroup { cgroup in
      let main = try sleeper(cgroup, nil)
      var number: UInt64 = 0
      let exec = try cgroup.makeExec(&number)
      let left = try sleeper(cgroup, exec)
      #expect(exec.close(besideProcess: main))
      #expect(!KernelFile.exists(exec.path))
      #expect(Set(cgroup.processes()) == [main, left])
      #expect(kill(left, 0) == 0)
    }
  }

  @Test func aNameThatTheContainerHasTakenIsPassedOver() throws {
    try withCgroup { cgroup in
      var number: UInt64 = 0
      let first = try cgroup.makeExec(&number)
      number = 0  // as if exec.1 were the container's own
      let second = try cgroup.makeExec(&number)
      #expect(number == 2 && second.path != first.path)
    }
  }
}
