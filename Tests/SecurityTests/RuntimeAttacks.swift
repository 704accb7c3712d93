import Foundation
import TestSupport
import Testing

extension SecurityTests {
  @Test("CVE-2019-5736: a container overwrites the runtime's binary through /proc/self/exe")
  func overwriteRuntime() async throws {
    let shim = TestEngine.binaries.appending("gantry-shim")
    let hash = try await Command.shell("sha256sum <\(shim)").stdout
    let script = """
      #!/bin/sh
      i=0; while [ $i -lt 3000 ]; do i=$((i+1))
        for p in /proc/[0-9]*; do
          case $(readlink $p/exe) in *gantry*|*memfd*) echo found; (echo broken >$p/exe) 2>/dev/null && echo written;; esac
        done
      done
      """
    let (image, _) = try await load([
      [
        Entry(name: "attack", mode: "755", content: script),
        Entry(name: "lure", mode: "755", content: "#!/proc/self/exe\n"),
      ]
    ])
    let name = engine.name()
    try await engine.gantry("run", "-d", "--name", name, image, "/attack")
    for _ in 0..<20 { try await engine.gantry("exec", name, "/lure", expecting: nil) }
    let logs = try await engine.gantry("logs", name)
    #expect(!logs.stdout.contains("written"))
    try await engine.gantry("rm", "-f", name)
    try await engine.gantry("run", "--rm", "--entrypoint", "/proc/self/exe", image, expecting: nil)
    #expect(try await Command.shell("sha256sum <\(shim)").stdout == hash)
    #expect(try await engine.busybox([], "echo", "whole").trimmed == "whole")
  }

  @Test("CVE-2024-21626: a working folder that is a leaked descriptor")
  func workdirOfADescriptor() async throws {
    let name = engine.name()
    try await engine.gantry("run", "-d", "--name", name, "busybox", "sleep", "1000")
    for descriptor in 3...64 {
      let path = "/proc/self/fd/\(descriptor)"
      if descriptor % 8 == 3 {
        let run = try await engine.busybox(["-w", path], "pwd", expecting: nil)
        #expect(run.status != 0, "run -w \(path): \(run)")
      }
      let exec = try await engine.gantry("exec", "-w", path, name, "pwd", expecting: nil)
      #expect(exec.status != 0, "exec -w \(path): \(exec)")
    }
    let (image, _) = try await load([], config: ["WorkingDir": "/proc/self/fd/7"])
    try await engine.gantry("run", "--rm", image, "pwd", expecting: 125)
    try await engine.gantry("rm", "-f", name)
  }

  @Test("CVE-2024-21626: only descriptors 0, 1 and 2 are open in a container")
  func descriptors() async throws {
    for flags in [[], ["-i"], ["--init"]] {
      let output = try await engine.busybox(flags, "sh", "-c", "ls /proc/1/fd /proc/$$/fd; true")
      #expect(
        Set(output.lines.filter { $0.allSatisfy(\.isNumber) }).isSubset(of: ["0", "1", "2"]), "\(flags): \(output)")
    }
    let name = engine.name()
    try await engine.gantry("run", "-d", "--name", name, "busybox", "sleep", "1000")
    let exec = try await engine.gantry("exec", name, "ls", "/proc/1/fd")
    #expect(exec.lines == ["0", "1", "2"])
    try await engine.gantry("rm", "-f", name)
  }

  @Test("CVE-2019-16884, CVE-2023-27561, CVE-2023-28642: /proc or /sys is a symbolic link of the image")
  func procIsALink() async throws {
    for folder in ["proc", "sys"] {
      let (image, _) = try await load([[Entry(name: folder, type: "sym", link: "/tmp/elsewhere")]])
      let output = try await engine.gantry("run", "--rm", image, "true", expecting: nil)
      #expect(output.status == 125, "/\(folder): \(output)")
      #expect(output.stderr.contains("/\(folder)"), "/\(folder): \(output)")
    }
    for path in ["/proc", "/sys", "/proc/self/attr", "/etc/../proc"] {
      let (image, _) = try await load([], config: ["Volumes": [path: [:]]])
      let output = try await engine.gantry("run", "--rm", image, "true", expecting: 125)
      #expect(output.stderr.contains("/proc") || output.stderr.contains("/sys"), "VOLUME \(path): \(output)")
    }
    try await engine.busybox(["-v", "/tmp:/proc"], "true", expecting: 125)
    try await engine.busybox(["--mount", "type=tmpfs,dst=/proc/sys"], "true", expecting: 125)
  }

  @Test("CVE-2025-31133: /dev/null is another file while paths are masked with it")
  func maskedWithSomethingElse() async throws {
    let folder = engine.folder.appending(engine.name("dev"))
    _ = try await Command.shell("mkdir \(folder); echo secret >\(folder)/target; ln -s target \(folder)/null")
    let output = try await engine.busybox(["-v", "\(folder):/dev"], "cat", "/proc/kcore", expecting: nil)
    #expect(!output.stdout.contains("secret"))
    #expect(try await Command.shell("cat \(folder)/target").trimmed == "secret")
  }

  @Test("CVE-2025-52565: the console is bound from something that is not a terminal")
  func consoleFromElsewhere() async throws {
    let folder = engine.folder.appending(engine.name("pts"))
    _ = try await Command.shell("mkdir \(folder); for n in 0 1 2 3; do echo secret >\(folder)/$n; done")
    let output = try await Command.run(
      [
        "script", "-qec",
        "\(TestEngine.binaries)/gantry run --rm -it -v \(folder):/dev/pts busybox sh -c 'cat /dev/console </dev/null'",
        "/dev/null",
      ],
      environment: engine.environment, expecting: nil, seconds: 10)
    #expect(!output.stdout.contains("secret"))
    _ = try await Command.shell("for n in 0 1 2 3; do grep -qx secret \(folder)/$n; done")
  }

  @Test("CVE-2025-52881: writes to /proc are led to another file")
  func redirectedWrites() async throws {
    let before = try await Command.shell("cat /proc/sys/kernel/core_pattern").stdout
    for path in ["/proc/self/attr", "/proc/sys", "/proc/self", "/proc/thread-self"] {
      try await engine.busybox(["--mount", "type=tmpfs,dst=\(path)"], "true", expecting: 125)
    }
    let folder = engine.folder.appending(engine.name("proc"))
    _ = try await Command.shell("mkdir \(folder); ln -s /proc/sys/kernel/core_pattern \(folder)/link")
    try await engine.busybox(["-v", "\(folder)/link:/proc/self/attr/exec"], "true", expecting: 125)
    #expect(try await Command.shell("cat /proc/sys/kernel/core_pattern").stdout == before)
    for target in ["/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern"] {
      try await engine.busybox([], "sh", "-c", "echo x >\(target)", expecting: 1)
    }
  }

  @Test("CVE-2022-29162, CVE-2022-24769: inheritable capabilities")
  func inheritable() async throws {
    let name = engine.name()
    try await engine.gantry("run", "-d", "--name", name, "busybox", "sleep", "1000")
    for flags in [[], ["--privileged"], ["-u", "1000"]] {
      let output = try await engine.gantry(["exec"] + flags + [name, "grep", "CapInh", "/proc/self/status"])
      #expect(output.trimmed.hasSuffix("0000000000000000"), "exec \(flags): \(output)")
    }
    for flags in [[], ["--privileged"], ["--cap-add", "ALL"]] {
      let output = try await engine.busybox(flags, "grep", "CapInh", "/proc/self/status")
      #expect(output.trimmed.hasSuffix("0000000000000000"), "run \(flags): \(output)")
    }
    try await engine.gantry("rm", "-f", name)
  }

  @Test("CVE-2022-36109, CVE-2023-25173: supplementary groups")
  func groups() async throws {
    let (image, _) = try await load([
      [
        Entry(name: "etc/passwd", content: "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"),
        Entry(name: "etc/group", content: "root:x:0:\nuser:x:1000:\nextra:x:2000:user\nother:x:3000:\n"),
      ]
    ])
    func groups(_ flags: String...) async throws -> Set<String> {
      let output = try await engine.gantry(["run", "--rm"] + flags + [image, "id", "-G"])
      return Set(output.trimmed.split(separator: " ").map(String.init))
    }
    #expect(try await groups("-u", "user") == ["1000", "2000"])
    #expect(try await groups("-u", "user", "--group-add", "other") == ["1000", "2000", "3000"])
    #expect(try await groups("-u", "user:other") == ["3000"])
    #expect(try await groups("-u", "1234:4321") == ["4321"])
    let status = try await engine.gantry("run", "--rm", "-u", "user", image, "grep", "Groups", "/proc/self/status")
    #expect(
      Set(status.trimmed.dropFirst("Groups:".count).split { $0.isWhitespace }.map(String.init)) == ["1000", "2000"])
    #expect(try await groups() == ["0"])
  }

  @Test(
    "CVE-2024-40635: users that overflow or are not users",
    arguments: [
      "4294967296", "-1", "root:", ":root", ":", "2147483648", "99999999999999999999", "0:4294967296", "no-such",
      "root:no-such",
    ])
  func user(text: String) async throws {
    let run = try await engine.busybox(["--user=\(text)"], "id", expecting: nil)
    #expect(run.status == 125, "--user=\(text): \(run)")
    let (image, _) = try await load([], config: ["User": .text(text)])
    let fromImage = try await engine.gantry("run", "--rm", image, "id", expecting: nil)
    #expect(fromImage.status == 125, "USER \(text): \(fromImage)")
  }

  @Test("CVE-2024-40635: a number is not looked up as a name, and a huge passwd is bounded")
  func numericUserAndHugeFiles() async throws {
    let (image, _) = try await load([[Entry(name: "etc/passwd", content: "1000:x:0:0::/root:/bin/sh\n")]])
    #expect(try await engine.gantry("run", "--rm", "-u", "1000", image, "id", "-u").trimmed == "1000")
    let huge = engine.folder.appending(engine.name("passwd"))
    _ = try await Command.shell("truncate -s 1G \(huge)")
    let clock = ContinuousClock()
    let took = try await clock.measure {
      try await engine.busybox(["-u", "somebody", "-v", "\(huge):/etc/passwd"], "true", expecting: 125)
    }
    #expect(took < .seconds(5))
  }

  @Test("CVE-2020-15257: sockets of ours that a container with the host's network can reach")
  func abstractSockets() async throws {
    let output = try await engine.busybox(["--network", "host"], "cat", "/proc/net/unix")
    #expect(!output.stdout.contains("@gantry") && !output.lines.contains { $0.contains("@") && $0.contains("shim") })
    let modes = try await Command.shell("find \(engine.state) -type s -printf '%m %p\\n'")
    #expect(!modes.lines.isEmpty)
    for line in modes.lines { #expect(["600", "660", "700"].contains(line.split(separator: " ")[0]), "\(line)") }
  }

  @Test("CVE-2021-41091, CVE-2024-25621: an ordinary user walks into layers and state")
  func foldersAreClosed() async throws {
    let name = engine.name()
    try await engine.gantry("run", "-d", "--name", name, "busybox", "sleep", "1000")
    _ = try await Command.shell("chmod 755 \(engine.folder)")
    for folder in ["r/snapshot", "r/image", "r/gateway", "r/task", "s/tasks"] {
      let output = try await Command.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "ls", "\(engine.folder)/\(folder)"],
        expecting: nil)
      #expect(output.status != 0, "\(folder): \(output)")
    }
    let deep = try await Command.shell(
      "find \(engine.root)/snapshot -name busybox -path '*bin*' | head -n 1"
    ).trimmed
    #expect(!deep.isEmpty)
    try await #require(
      Command.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-e", deep], expecting: nil
      ).status == 1)
    try await engine.gantry("rm", "-f", name)
  }

  @Test(
    "Default profile: system calls that Docker's profile denies",
    arguments: [
      "mount", "umount", "unshare-user", "clone-user", "unshare-mount", "setns", "bpf", "keyctl", "add_key", "af_alg",
      "af_vsock", "kexec_load", "init_module", "open_by_handle_at", "userfaultfd", "perf_event_open", "io_uring_setup",
      "fsopen", "reboot", "settimeofday", "mount32", "unshare32", "keyctl32", "bpf32", "af_alg32", "af_vsock32",
    ])
  func deniedCall(name: String) async throws {
    let answer = try await attempt(name)
    #expect(["EPERM", "EACCES", "EAFNOSUPPORT", "ENOSYS"].contains(answer), "\(name): \(answer)")
  }

  @Test("Default profile: clone3 does not exist, sockets do, and unconfined means unconfined")
  func profileEdges() async throws {
    #expect(try await attempt("clone3") == "ENOSYS")
    #expect(try await attempt("inet") == "allowed")
    #expect(try await attempt("ptrace-init", flags: ["-u", "1000"]) == "EPERM")
    #expect(try await attempt("unshare-user", flags: ["--security-opt", "seccomp=unconfined"]) == "allowed")
    #expect(try await attempt("unshare-mount", flags: ["--cap-add", "SYS_ADMIN"]) == "allowed")
  }

  @Test("Masked and read-only paths of /proc and /sys")
  func maskedPaths() async throws {
    let script = """
      for f in kcore keys latency_stats sched_debug timer_list timer_stats interrupts; do
        [ -e /proc/$f ] && [ "$(head -c 1 /proc/$f 2>/dev/null | wc -c)" != 0 ] && echo "read /proc/$f"
      done
      for d in /proc/acpi /proc/asound /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do
        [ -d $d ] && [ -n "$(ls -A $d)" ] && echo "listed $d"
      done
      for d in /proc/bus /proc/fs /proc/irq /proc/sys; do
        [ -d $d ] && ! grep -q " $d .*[ ,]ro[, ]" /proc/mounts && echo "writable $d"
      done
      [ ! -e /proc/sysrq-trigger ] || grep -q ' /proc/sysrq-trigger .*[ ,]ro[, ]' /proc/mounts || echo "writable /proc/sysrq-trigger"
      grep -q ' /sys .*[ ,]ro[, ]' /proc/mounts || echo "writable /sys"
      true
      """
    #expect(try await engine.busybox([], "sh", "-c", script).stdout == "")
  }

  @Test("Own session keyring")
  func keyring() async throws {
    let program = try await Self.syscalls()
    let host = try await Command.run([program.string, "session"]).trimmed
    let one = try await attempt("session", flags: ["--security-opt", "seccomp=unconfined"])
    let two = try await attempt("session", flags: ["--security-opt", "seccomp=unconfined"])
    #expect(
      Set([host, one, two]).count == 3 && [host, one, two].allSatisfy { Int($0) != nil }, "\(host) \(one) \(two)")
  }

  @Test("Devices: what exists, and the host's disk made by mknod")
  func devices() async throws {
    let output = try await engine.busybox([], "sh", "-c", "cd /dev; find . -type c -o -type b | sort | tr '\\n' ' '")
    #expect(output.trimmed == "./full ./null ./pts/ptmx ./random ./tty ./urandom ./zero")
    let disk = try await Command.shell("stat -c '%Hd %Ld' /").trimmed.split(separator: " ").map(String.init)
    #expect(try await attempt("mknod-disk", disk[0], disk[1]) == "EPERM")
    let name = engine.name()
    let program = try await Self.syscalls()
    try await engine.gantry("run", "-d", "--name", name, "-v", "\(program):/syscalls:ro", "busybox", "sleep", "1000")
    #expect(try await engine.gantry("exec", name, "/syscalls", "mknod-disk", disk[0], disk[1]).trimmed == "EPERM")
    try await engine.gantry("rm", "-f", name)
  }
}
