import Faults
import Glibc
import Linux
import OCI
import Testing

@testable import Runtime

@Suite(.enabled(if: geteuid() == 0, "needs root: it makes namespaces and mounts"))
struct ContainerTests {
  let box: Box
  init() throws { box = try Box() }

  @Test func aProgramRunsAndLeavesNothing() throws {
    let result = try box.run(box.job(["echo", "hello"]))
    #expect(result.container.code == 0, "\(result)")
    #expect(result.output == "hello\n")
    #expect(result.children == 0)
    #expect(result.leakedMounts == 0)
  }

  @Test(arguments: [("exit 7", Int32(7)), ("kill -9 $$; exit 3", 3), ("exit 255", 255)])
  func exitCodesAreTheProgramsOwn(_ script: String, _ code: Int32) throws {
    // Process 1 of a pid namespace ignores signals that it has no handler for, SIGKILL from inside too.
    #expect(try box.sh(script).container.code == code)
  }

  @Test func everyNamespaceIsItsOwn() throws {
    let result = try box.sh("for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done; hostname")
    for (index, name) in ["pid", "net", "ipc", "uts", "mnt", "cgroup"].enumerated() {
      #expect(result.lines[index] != (try Files.readLink("/proc/self/ns/\(name)")), "\(name)")
    }
    #expect(result.lines[6] == "box")
  }

  @Test func aHeldContainerWaitsForStart() throws {
    let result = try box.sh("echo started") { $0.hold = true }
    #expect(result.output == "started\n")
    #expect(result.container.code == 0)
  }

  @Test(arguments: [
    ("nosuch", "commandNotFound", "exec: \"nosuch\": executable file not found in $PATH"),
    ("/no/such", "commandNotFound", "exec: \"/no/such\": stat /no/such: no such file or directory"),
    ("/etc/passwd", "commandNotExecutable", "exec: \"/etc/passwd\": permission denied"),
    ("/bin", "commandNotExecutable", "exec: \"/bin\": is a directory"),
    ("/bin/garbage", "commandNotExecutable", "exec /bin/garbage: exec format error"),
    ("/bin/orphan", "commandNotFound", "exec /bin/orphan: no such file or directory"),
  ])
  func aProgramThatCannotRunSaysWhy(_ name: String, _ code: String, _ words: String) throws {
    try box.write("bin/garbage", "\u{1}\u{2}\u{3}\n", mode: 0o755)
    try box.write("bin/orphan", "#!/no/interpreter\n", mode: 0o755)
    for hold in [false, true] {
      var job = box.job([name])
      job.hold = hold
      let result = try box.run(job)
      #expect(result.container.faultCode == code)
      #expect(result.container.message?.hasPrefix(words) == true, "\(result.container)")
      #expect(result.children == 0)
    }
  }

  @Test(arguments: [
    ("", "uid=0(root) gid=0(root) groups=0(root),10(wheel)"),
    ("ann", "uid=1000(ann) gid=1001(ann) groups=10(wheel),1001(ann),2000(extra)"),
    ("1000", "uid=1000(ann) gid=1001(ann) groups=10(wheel),1001(ann),2000(extra)"),
    ("ann:wheel", "uid=1000(ann) gid=10(wheel) groups=10(wheel)"),
    ("1234", "uid=1234 gid=0(root) groups=0(root)"), ("5:6", "uid=5 gid=6 groups=6"),
  ])
  func theUserIsLookedUpInTheContainer(_ user: String, _ words: String) throws {
    var job = box.job(["id"])
    job.spec.process?.user.username = user
    #expect(try box.run(job).lines == [words])
  }

  @Test func homeComesFromPasswdUnlessGiven() throws {
    var job = box.job(["sh", "-c", "echo $HOME"])
    job.spec.process?.user.username = "ann"
    #expect(try box.run(job).output == "/home/ann\n")
    job = box.job(["sh", "-c", "echo $HOME"])
    job.spec.process?.env = ["PATH=/bin", "HOME=/mine"]
    #expect(try box.run(job).output == "/mine\n")
  }

  @Test func execJoinsTheContainer() throws {
    var job = box.job(["sleep", "100"])
    job.signal = SIGKILL
    job.cgroup = "/gantry-tests/exec-\(getpid())"
    job.execs = [
      Box.process(["sh", "-c", "readlink /proc/1/ns/mnt; readlink /proc/self/ns/mnt; hostname; id -u"]),
      Box.process(["sh", "-c", "exit 9"]), Box.process(["nosuch"]),
      Box.process(["sh", "-c", "cat /proc/1/cgroup /proc/self/cgroup"]),
    ]
    let result = try box.run(job)
    #expect(result.lines.count > 4)
    #expect(result.lines[0] == result.lines[1])
    #expect(result.lines[2...3] == ["box", "0"])
    #expect(result.execs.map(\.code) == [0, 9, nil, 0])
    #expect(result.execs[2].faultCode == "commandNotFound")
    let cgroups = result.lines.dropFirst(4)
    #expect(Array(cgroups.prefix(cgroups.count / 2)) == Array(cgroups.suffix(cgroups.count / 2)))
    #expect(result.container.code == 137)
  }

  @Test func aTerminalIsTheContainersOwn() throws {
    var job = box.job(["sh", "-c", "tty; stty size; test -c /dev/console && echo console; stat -c %t:%T /dev/console"])
    job.spec.process?.terminal = true
    job.spec.process?.consoleSize = .init(height: 33, width: 77)
    job.signal = nil
    let result = try box.run(job)
    #expect(result.output == "/dev/pts/0\r\n33 77\r\nconsole\r\n88:0\r\n")
    job = box.job(["sleep", "100"])
    var exec = Box.process(["tty"])
    exec.terminal = true
    job.execs = [exec]
    job.signal = SIGKILL
    #expect(try box.run(job).output == "/dev/pts/0\r\n")
  }

  @Test func theBuiltInInitReapsAndForwards() throws {
    let orphans = try box.sh("(sleep 0.05 &) ; (true &); usleep 200000; ps -o pid,stat,args") { $0.useInit = true }
    #expect(orphans.output?.contains("gantry-init") == true, "\(orphans)")
    #expect(orphans.output?.contains("runtime-probe") == false, "\(orphans)")
    #expect(orphans.output?.contains(" Z ") == false, "\(orphans)")
    let signalled = try box.sh("trap 'echo got; exit 5' TERM; while true; do usleep 1000; done") {
      $0.useInit = true
      $0.execs = [Box.process(["usleep", "50000"])]
      $0.signal = SIGTERM
    }
    #expect(signalled.output == "got\n")
    #expect(signalled.container.code == 5)
    #expect(try box.sh("kill -9 $$") { $0.useInit = true }.container.code == 137)
    let missing = try box.run(
      {
        var job = box.job(["nosuch"]); job.useInit = true; return job
      }())
    #expect(missing.container.faultCode == "commandNotFound")
  }

  @Test func limitsAndScoresAreSet() throws {
    let result = try box.sh("ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; umask") {
      $0.spec.process?.rlimits = [.init(type: "RLIMIT_NOFILE", hard: 200, soft: 100)]
      $0.spec.process?.oomScoreAdj = 321
    }
    #expect(result.lines == ["100", "200", "321", "0022"])
    let above = try box.sh("true") {
      $0.spec.process?.rlimits = [.init(type: "RLIMIT_NOFILE", hard: 1 << 40, soft: 10)]
    }
    #expect(above.container.message?.contains("1099511627776") == true, "\(above.container)")
  }

  @Test func sharedMountsAreAsAsked() throws {
    let host = box.folder.appending("host")
    try Files.makeDirectory(host.string, mode: 0o755)
    try DurableFile.write(host.appending("file"), Array("from host\n".utf8), durable: false)
    let result = try box.sh(
      "cat /data/deep/file /one; touch /data/deep/x; echo $?; echo new > /rw/new; stat -c %a /t; ls /kept"
    ) {
      $0.spec.mounts? += [
        .init(destination: "/data/deep", type: "bind", source: host.string, options: ["rbind", "ro"]),
        .init(destination: "/one", source: host.appending("file").string, options: ["bind"]),
        .init(destination: "/rw", type: "bind", source: host.string, options: ["rbind"]),
        .init(destination: "/t", type: "tmpfs", source: "tmpfs", options: ["mode=700"]),
        .init(destination: "/kept", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]),
      ]
      _ = try? Files.makeDirectory(box.image.appending("kept").string, mode: 0o755)
      try? box.write("kept/inside", "x")
    }
    #expect(
      result.lines.filter { !$0.hasPrefix("touch") } == ["from host", "from host", "1", "700", "inside"], "\(result)")
    #expect(try Files.readText(host.appending("new").string) == "new\n")
  }

  @Test func partsOfBindsAndOfFileSystemsAreMounted() throws {
    let volume = box.folder.appending("volume")
    for name in ["", "a", "a/b"] { try Files.makeDirectory(volume.appending(name).string, mode: 0o755) }
    _ = try openat2(nil, volume.appending("a/b/file").string, [.writeOnly, .create], mode: 0o644)
    symlink("a/b", volume.appending("in").string)
    symlink("/etc", volume.appending("out").string)
    func job(_ type: String, _ source: String, _ options: [String], _ part: String) -> Box.Job {
      var job = box.job(["sh", "-c", "ls -d /part/file /part 2>/dev/null; touch /part/x 2>&1; true"])
      job.spec.mounts?.append(
        .init(destination: "/part", type: type, source: source, options: options + ["gantry.subpath=" + part]))
      return job
    }
    #expect(try box.run(job("bind", volume.string, ["rbind", "ro"], "in")).lines.prefix(2) == ["/part", "/part/file"])
    #expect(try box.run(job("bind", volume.string, ["bind"], "a/b/file")).lines.first == "/part")
    for (part, words) in [("out", "leads out"), ("none", "does not exist"), ("../image", "leads out")] {
      let refused = try box.run(job("bind", volume.string, ["rbind"], part)).container
      #expect(refused.faultCode == "invalidArgument" && refused.message?.contains(words) == true, "\(refused)")
    }
    // A file system of its own: layers as one tree, and only a part of it.
    let layers = ["lowerdir+=\(volume)", "lowerdir+=\(box.image)"]
    let seen = try box.run(job("overlay", "overlay", layers + ["ro"], "a/b"))
    #expect(seen.lines.prefix(2) == ["/part", "/part/file"] && seen.output?.contains("Read-only") == true, "\(seen)")
    #expect(seen.leakedMounts == 0)
    let out = try box.run(job("overlay", "overlay", layers, "out")).container
    #expect(out.message?.contains("leads out") == true, "\(out)")
  }

  @Test func aFileSystemOfTheHostsIsMadeOrRefusedByName() throws {
    func job(_ type: String) -> Box.Job {
      var job = box.job(["sh", "-c", "stat -c %a /fast; grep ' /fast ' /proc/mounts"])
      job.spec.mounts?.append(
        .init(destination: "/fast", type: type, source: "x", options: ["gantry.host", "mode=710", "ro", "size=1m"]))
      return job
    }
    let lines = try box.run(job("tmpfs")).lines
    #expect(lines.first == "710" && lines.last?.hasPrefix("x /fast tmpfs ro") == true, "\(lines)")
    let refused = try box.run(job("nosuchfs")).container
    #expect(refused.faultCode == "unsupported" && refused.message?.contains("nosuchfs") == true, "\(refused)")
  }

  @Test func aReadOnlyRootRefusesWrites() throws {
    let result = try box.sh("touch /x 2>/dev/null; echo $?; touch /dev/shm/x; echo $?") {
      $0.spec.root?.readonly = true
    }
    #expect(result.lines == ["1", "0"])
  }

  @Test(.enabled(if: KernelFeatures.version >= .init(6, 8), "needs Linux 6.8: layers one by one"))
  func manyLayersMount() throws {
    var options: [String] = []
    for index in 0..<300 {
      let layer = box.folder.appending("layer\(index)")
      try Files.makeDirectory(layer.string, mode: 0o755)
      try DurableFile.write(layer.appending("f\(index)"), [], durable: false)
      options.append("lowerdir+=\(layer)")
    }
    let result = try box.sh("ls / | grep -c ^f") {
      $0.rootfs[0].options = options + $0.rootfs[0].options
    }
    #expect(result.output == "300\n", "\(result)")
  }

  @Test func layersMountTheOldWayToo() throws {
    var options: [String] = []
    for index in 0..<100 {
      let layer = box.folder.appending("o\(index)")
      try Files.makeDirectory(layer.string, mode: 0o755)
      try DurableFile.write(layer.appending("f\(index)"), [], durable: false)
      options.append("lowerdir+=\(layer)")
    }
    let result = try box.sh("ls / | grep -c ^f; touch /new; echo $?") {
      $0.legacyOverlay = true
      $0.rootfs[0].options = options + $0.rootfs[0].options
    }
    #expect(result.lines == ["100", "0"], "\(result)")
    let tooMany = try box.sh("true") {
      $0.legacyOverlay = true
      $0.rootfs[0].options = (0..<2000).map { "lowerdir+=\(box.folder)/o\($0)" } + $0.rootfs[0].options
    }
    #expect(tooMany.container.faultCode == "unsupported")
  }

  @Test func aChrootIsRefused() throws {
    let jail = box.folder.appending("jail").string
    try Files.makeDirectory(jail)
    let result = try box.sh("true") { $0.jail = jail }
    #expect(result.container.faultCode == "unsupported", "\(result)")
    #expect(result.container.message?.contains("chroot") == true)
  }

  @Test func namespacesCanBeShared() throws {
    let result = try box.sh(
      "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/pid; hostname"
    ) {
      $0.spec.hostname = nil
      $0.spec.linux?.namespaces = [
        .init(type: "mount"), .init(type: "network", path: "/proc/self/ns/net"), .init(type: "ipc"),
        .init(type: "pid", path: "/proc/self/ns/pid"), .init(type: "uts", path: "/proc/self/ns/uts"),
      ]
    }
    #expect(result.lines.count == 4, "\(result)")
    #expect(result.lines.first == (try Files.readLink("/proc/self/ns/net")))
    #expect(result.lines[1] != (try Files.readLink("/proc/self/ns/ipc")))
    #expect(result.lines[2] == (try Files.readLink("/proc/self/ns/pid")))
  }

  @Test func aBindRootRuns() throws {
    let result = try box.sh("ls /bin/busybox; touch /x 2>/dev/null; echo $?") {
      $0.rootfs = [.init(type: "bind", source: box.image.string, options: ["rbind", "ro"])]
    }
    #expect(result.lines == ["/bin/busybox", "1"], "\(result)")
  }

  @Test(.enabled(if: KernelFeatures.version >= .init(5, 19), "needs Linux 5.19: idmapped layers"))
  func aUserNamespaceMapsRoot() throws {
    let result = try box.sh("id -u; touch /new && stat -c %u /new /bin/busybox; cat /proc/self/uid_map; hostname") {
      $0.spec.linux?.namespaces?.append(.init(type: "user"))
      $0.spec.linux?.uidMappings = [.init(containerID: 0, hostID: 100_000, size: 65536)]
      $0.spec.linux?.gidMappings = [.init(containerID: 0, hostID: 100_000, size: 65536)]
    }
    var job = box.job(["sleep", "100"])
    job.spec.linux?.namespaces?.append(.init(type: "user"))
    job.spec.linux?.uidMappings = [.init(containerID: 0, hostID: 100_000, size: 65536)]
    job.spec.linux?.gidMappings = [.init(containerID: 0, hostID: 100_000, size: 65536)]
    job.execs = [Box.process(["sh", "-c", "id -u; hostname exec && hostname"])]
    job.execs[0].capabilities?.bounding?.append("CAP_SYS_ADMIN")
    job.execs[0].capabilities?.permitted?.append("CAP_SYS_ADMIN")
    job.execs[0].capabilities?.effective?.append("CAP_SYS_ADMIN")
    job.signal = SIGKILL
    let exec = try box.run(job)
    #expect(exec.lines == ["0", "exec"], "\(exec)")
    #expect(
      result.lines.map { $0.split(separator: " ").joined(separator: " ") } == ["0", "0", "0", "0 100000 65536", "box"],
      "\(result)")
  }

  @Test(
    .enabled(if: KernelFeatures.version >= .init(5, 19), "needs Linux 5.19: idmapped layers"), arguments: [false, true])
  func theDiskKeepsTheContainersIDs(legacy: Bool) throws {
    let bind = box.folder.appending("data-\(legacy)").string
    try Files.makeDirectory(bind, mode: 0o755)
    var upper = ""
    let result = try box.sh("echo x >>/etc/group; rm /etc/passwd; touch /new /data/made; stat -c %u /data/made") {
      upper = Box.upper($0)
      $0.legacyOverlay = legacy
      $0.spec.linux?.namespaces?.append(.init(type: "user"))
      $0.spec.linux?.uidMappings = [.init(containerID: 0, hostID: 100_000, size: 65536)]
      $0.spec.linux?.gidMappings = [.init(containerID: 0, hostID: 100_000, size: 65536)]
      $0.spec.mounts?.append(.init(destination: "/data", type: "bind", source: bind, options: ["bind", "idmap"]))
    }
    #expect(result.lines == ["0"], "\(result)")
    #expect(try FileStatus(bind + "/made").uid == 0)
    for path in ["/new", "/etc/group"] { #expect(try FileStatus(upper + path).uid == 0, "\(path)") }
    let refused = try box.sh("true") {
      $0.spec.linux?.namespaces?.append(.init(type: "user"))
      $0.spec.linux?.uidMappings = [.init(containerID: 0, hostID: 100_000, size: 65536)]
      $0.spec.linux?.gidMappings = [.init(containerID: 0, hostID: 100_000, size: 65536)]
      $0.spec.mounts?.append(
        .init(destination: "/data", type: "bind", source: "/proc/sys", options: ["bind", "idmap"]))
    }
    #expect(refused.container.faultCode == "unsupported")
    #expect(
      refused.container.message?.contains("the file system proc does not support idmapped mounts") == true, "\(refused)"
    )
  }

  @Test func aBindFromAnotherMountNamespaceFollowsNoLink() throws {
    let own = "/proc/\(getpid())/ns/mnt"
    func run(_ source: String) throws -> Box.Result {
      try box.sh("cat /data/file") {
        $0.spec.mounts?.append(
          .init(destination: "/data", type: "bind", source: source, options: ["bind", "namespace=\(own)"]))
      }
    }
    let folder = box.folder.appending("shared").string
    try Files.makeDirectory(folder, mode: 0o755)
    try DurableFile.write(box.folder.appending("shared/file"), Array("there".utf8), mode: 0o644, durable: false)
    #expect(try run(folder).lines == ["there"])
    symlink(folder, box.folder.appending("link").string)
    let link = try run(box.folder.appending("link").string)
    #expect(link.container.message?.contains("cannot open") == true, "\(link)")
    #expect(try run("/no/such").container.message?.contains("does not exist") == true)
  }

  @Test func kernelSettingsStayInTheNamespace() throws {
    let result = try box.sh("cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax") {
      $0.spec.linux?.sysctl = ["net.ipv4.ip_default_ttl": "77", "kernel.msgmax": "4096"]
    }
    #expect(result.lines == ["77", "4096"])
    for (name, words) in [
      ("kernel.panic", "whole machine"), ("vm.overcommit_memory", "whole machine"),
      ("net/../kernel/panic", "no kernel setting"),
    ] {
      let refused = try box.sh("true") { $0.spec.linux?.sysctl = [name: "1"] }
      #expect(refused.container.message?.contains(words) == true, "\(refused.container)")
    }
    let shared = try box.sh("true") {
      $0.spec.linux?.namespaces?.removeAll { $0.type == "network" }
      $0.spec.linux?.sysctl = ["net.ipv4.ip_forward": "1"]
    }
    #expect(shared.container.message?.contains("network namespace") == true)
  }

  @Test func aProcessWithThreadsIsRefused() {
    #expect {
      _ = try Container.create(
        ContainerRequest(spec: RuntimeSpec(), rootfs: [], io: .descriptors(input: 0, output: 1, error: 2)))
    } throws: {
      ($0 as? Fault)?.message.contains("one thread") == true
    }
  }
}
