import Foundation
import TestSupport
import Testing

extension IntegrationTests {
  /// Limits, as the kernel has them: at the start, after `update`, and after the next start.
  @Suite struct Limits {
    var engine: TestEngine { TestEngine.current }

    /// Whether this machine has the first version of cgroups (also as a hybrid).
    static let isFirstVersion = access("/sys/fs/cgroup/cgroup.controllers", F_OK) != 0

    /// What `files` of a container's own cgroup hold: those of v1, or those of v2.
    private func read(_ name: String, v1: [String], v2: [String]) async throws -> [String] {
      let files = Self.isFirstVersion ? v1 : v2
      return try await engine.gantry(["exec", name, "cat"] + files.map { "/sys/fs/cgroup/\($0)" }).lines.map(
        String.init)
    }

    private let files = (
      v1: [
        "memory/memory.limit_in_bytes", "memory/memory.memsw.limit_in_bytes", "cpu/cpu.cfs_quota_us", "pids/pids.max",
      ], v2: ["memory.max", "memory.swap.max", "cpu.max", "pids.max"]
    )

    @Test func updateChangesARunningContainerAndItsNextStart() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "-m", "64m", "--pids-limit", "40", "busybox", "sleep", "1000")
      let swap: (Int) -> String = { Self.isFirstVersion ? String($0 << 20) : String(($0 - 96) << 20) }
      try await engine.gantry(
        "update", "-m", "96m", "--memory-swap", "160m", "--cpus", "0.5", "--pids-limit", "50", name)
      let quota = Self.isFirstVersion ? "50000" : "50000 100000"
      let wanted = [String(96 << 20), swap(160), quota, "50"]
      #expect(try await read(name, v1: files.v1, v2: files.v2) == wanted)
      let format =
        "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}"
      let shown = "\(96 << 20) \(160 << 20) 500000000 50"
      #expect(try await engine.gantry("inspect", "-f", format, name).trimmed == shown)
      try await engine.gantry("restart", "-t", "0", name)
      #expect(try await read(name, v1: files.v1, v2: files.v2) == wanted)
      try await engine.gantry("stop", "-t", "0", name)
      try await engine.gantry("container", "update", "--pids-limit", "-1", name)
      try await engine.gantry("start", name)
      #expect(try await read(name, v1: files.v1, v2: files.v2) == Array(wanted.dropLast()) + ["max"])
      let events = try await engine.gantry("events", "--since", "10m", "--until", "0s", "--filter", "event=update")
      #expect(events.stdout.contains(name))
      try await engine.gantry("rm", "-f", name)
    }

    @Test func whatTheKernelRefusesNamesTheControllerAndChangesNothing() async throws {
      let name = engine.name()
      try await engine.gantry("run", "-d", "--name", name, "--cpuset-cpus", "0", "busybox", "sleep", "1000")
      let refused = try await engine.gantry("update", "--cpuset-cpus", "99", name, expecting: 1)
      #expect(refused.stderr.contains("cpuset: the kernel refused \"99\" in /sys/fs/cgroup/"), "\(refused)")
      #expect(try await engine.gantry("inspect", "-f", "{{.HostConfig.CpusetCpus}}", name).trimmed == "0")
      for (flags, words) in [
        (["-m", "1m"], "Minimum memory limit"), (["--cpu-period", "5"], "CPU cfs period"),
        (["--kernel-memory", "1g"], "--kernel-memory"),
        ([], "one or more flags"), (["--blkio-weight", "5"], "10 to 1000"),
      ] {
        let output = try await engine.gantry(["update"] + flags + [name], expecting: nil)
        #expect(output.status != 0 && output.stderr.contains(words), "\(flags): \(output)")
      }
      try await engine.gantry("update", "-m", "64m", "no-such-container", expecting: 1)
      try await engine.gantry("rm", "-f", name)
    }

    @Test(.enabled(if: Limits.isFirstVersion, "swappiness, the OOM switch and real-time budgets are of cgroup v1"))
    func limitsOfTheFirstVersion() async throws {
      let output = try await engine.busybox(
        [
          "-m", "64m", "--memory-swappiness", "10", "--oom-kill-disable", "--cpu-rt-period", "1000000",
          "--cpu-rt-runtime", "2000",
        ], "sh", "-c",
        """
        cd /sys/fs/cgroup; cat memory/memory.swappiness memory/memory.memsw.limit_in_bytes; head -n 1 memory/memory.oom_control
        test ! -e cpu/cpu.rt_runtime_us || cat cpu/cpu.rt_runtime_us
        """)
      #expect(output.lines.prefix(3).map(String.init) == ["10", String(128 << 20), "oom_kill_disable 1"])
      if output.lines.count > 3 { #expect(output.lines[3] == "2000") }
    }

    @Test func diskLimitsReachTheKernel() async throws {
      let disk = try await Command.shell(
        "lsblk -dnro NAME,TYPE | awk '$2==\"disk\" && $1!~/zram|loop/ {print $1; exit}'"
      ).trimmed
      try #require(!disk.isEmpty, "this machine has a disk")
      let number = try await Command.shell("cat /sys/block/\(disk)/dev").trimmed
      let flags = ["--device-read-bps", "/dev/\(disk):1mb", "--device-write-iops", "/dev/\(disk):50"]
      let output = try await engine.busybox(
        flags, "sh", "-c",
        "cd /sys/fs/cgroup; cat blkio/blkio.throttle.read_bps_device blkio/blkio.throttle.write_iops_device || cat io.max"
      )
      if Limits.isFirstVersion {
        #expect(output.lines == ["\(number) 1048576", "\(number) 50"])
      } else {
        #expect(output.trimmed == "\(number) rbps=1048576 wbps=max riops=max wiops=50")
      }
      let wrong = try await engine.busybox(["--device-read-bps", "/dev/null:1mb"], "true", expecting: 125)
      #expect(wrong.stderr.contains("BlkioDeviceReadBps: \"/dev/null\" is no block device"))
    }

    @Test func devicesAndRules() async throws {
      let denied = try await engine.busybox(
        [], "sh", "-c", "mknod /console c 4 0; (: </console) 2>&1; true")
      #expect(denied.stdout.contains("Operation not permitted"), "\(denied)")
      let allowed = try await engine.busybox(
        ["--device-cgroup-rule", "c 4:0 rwm"], "sh", "-c", "mknod /console c 4 0; : </console && echo opened")
      #expect(allowed.trimmed == "opened")
      #expect(
        try await engine.busybox(["--device", "/dev/null:/dev/mine:r"], "sh", "-c", "cat /dev/mine; echo $?").trimmed
          == "0")
    }

    @Test func aLimitOfTheRootIsKeptOrRefused() async throws {
      let output = try await engine.busybox(
        ["--storage-opt", "size=16m"], "sh", "-c", "head -c 32m /dev/zero >/f", expecting: nil)
      // Where the file system keeps no quotas of projects, it says so; where it does, the container fills only its own.
      #expect(
        output.status == 125 ? output.stderr.contains("prjquota") : output.stderr.contains("No space"), "\(output)")
      let bad = try await engine.busybox(["--storage-opt", "disk=1g"], "true", expecting: 125)
      #expect(bad.stderr.contains("StorageOpt: unknown option disk"))
    }

    @Test func inspectShowsWhatWasAsked() async throws {
      let name = engine.name()
      try await engine.gantry(
        "create", "--name", name, "--blkio-weight", "300", "--device-read-bps", "/dev/null:1mb", "--memory-swappiness",
        "10",
        "--device-cgroup-rule", "c 1:3 r", "--cgroup-parent", "/mine", "--oom-score-adj", "5", "--ipc", "shareable",
        "--userns",
        "host", "busybox", "true", expecting: 1)  // /dev/null is no disk
      try await engine.gantry(
        "create", "--name", name, "-m", "64m", "--blkio-weight", "300", "--memory-swappiness", "10",
        "--device-cgroup-rule",
        "c 1:3 r", "--cgroup-parent", "/mine", "--oom-score-adj", "5", "--ipc", "shareable", "--userns", "host",
        "busybox",
        "true")
      let shown = try await engine.gantry(
        "inspect", "-f",
        """
        {{.HostConfig.MemorySwap}} {{.HostConfig.BlkioWeight}} {{.HostConfig.MemorySwappiness}} \
        {{index .HostConfig.DeviceCgroupRules 0}} {{.HostConfig.CgroupParent}} {{.HostConfig.OomScoreAdj}} \
        {{.HostConfig.IpcMode}} {{.HostConfig.UsernsMode}}
        """, name)
      #expect(shown.trimmed == "\(128 << 20) 300 10 c 1:3 r /mine 5 shareable host")
      try await engine.gantry("rm", name)
    }
  }
}
