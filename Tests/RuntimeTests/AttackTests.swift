import Faults
import Glibc
import Linux
import OCI
import Testing

/// The attacks of the runtime's list at this level, each named after its first identifier. Each fails on a runtime
/// without the defence that the code names.
@Suite(.enabled(if: geteuid() == 0, "needs root: it makes namespaces and mounts"))
struct AttackTests {
  let box: Box
  init() throws { box = try Box() }

  @Test(arguments: 3...16) func cve_2024_21626_workingFolderByDescriptor(_ number: Int32) throws {
    var job = box.job(["sh", "-c", "pwd; ls /"])
    job.spec.process?.cwd = "/proc/self/fd/\(number)"
    job.leakUpTo = 20
    let result = try box.run(job)
    #expect(result.container.faultCode == "invalidArgument", "\(result)")
    #expect(result.output == "")
    job = box.job(["sleep", "100"])
    job.leakUpTo = 20
    job.signal = SIGKILL
    var exec = Box.process(["pwd"])
    exec.cwd = "/proc/self/fd/\(number)"
    job.execs = [exec]
    // Exit code 127 where the descriptor does not exist in the new process, 125 where it does.
    #expect(["commandNotFound", "invalidArgument"].contains(try box.run(job).execs[0].faultCode))
  }

  @Test func cve_2024_21626_onlyThreeDescriptors() throws {
    let result = try box.sh("ls /proc/self/fd") {
      $0.leakUpTo = 64
      $0.execs = []
    }
    // ls itself opens the folder as 3.
    #expect(result.lines == ["0", "1", "2", "3"])
    var job = box.job(["sleep", "100"])
    job.leakUpTo = 64
    job.signal = SIGKILL
    job.execs = [Box.process(["ls", "/proc/self/fd"])]
    #expect(try box.run(job).lines == ["0", "1", "2", "3"])
  }

  @Test(arguments: ["proc", "sys"]) func cve_2019_16884_kernelFoldersThatAreLinks(_ name: String) throws {
    rmdir(box.image.appending(name).string)
    symlink("/tmp", box.image.appending(name).string)
    let result = try box.sh("true")
    #expect(result.container.faultCode == "invalidArgument")
    #expect(result.container.message?.contains("link or a file") == true, "\(result.container)")
  }

  @Test(arguments: ["/proc", "/proc/sys", "/proc/../proc", "/link/self", "/link", "/sys"])
  func cve_2019_16884_mountsOverProc(_ destination: String) throws {
    symlink("/proc", box.image.appending("link").string)
    let result = try box.sh("true") {
      $0.spec.mounts?.append(
        .init(destination: destination, type: "bind", source: box.folder.string, options: ["bind"]))
    }
    #expect(result.container.faultCode == "invalidArgument", "\(result.container)")
  }

  @Test(arguments: ["/escape/new", "/etc/../../../../outside/new", "/chain/new"])
  func cve_2021_30465_targetsStayInside(_ destination: String) throws {
    let outside = box.folder.appending("outside")
    try Files.makeDirectory(outside.string, mode: 0o755)
    symlink(outside.string, box.image.appending("escape").string)
    symlink("../../../../../../../..\(outside)", box.image.appending("chain").string)
    let result = try box.sh("ls -d \(destination)") {
      $0.spec.mounts?.append(.init(destination: destination, type: "tmpfs", source: "tmpfs"))
    }
    // Whether it starts (the link resolved inside the root) or is refused, nothing appears outside.
    #expect(try Files.list(outside.string).isEmpty)
    #expect(result.leakedMounts == 0)
  }

  @Test(arguments: ["symlink", "file", "zero"]) func cve_2025_31133_nullDeviceExchanged(_ kind: String) throws {
    let null = box.image.appending("dev/null").string
    switch kind {
    case "symlink": symlink("/proc/sysrq-trigger", null)
    case "file": try box.write("dev/null", "not a device")
    default:
      try Files.makeNode(at: AT_FDCWD, null, kind: .characterDevice, mode: 0o666, device: .init(major: 1, minor: 5))
    }
    let result = try box.sh("true") { $0.spec.mounts?.removeAll { $0.destination.hasPrefix("/dev") } }
    #expect(result.container.faultCode == "invalidArgument", "\(result.container)")
  }

  @Test func maskedAndReadOnlyPaths() throws {
    let result = try box.sh(
      """
      wc -c < /proc/keys; wc -c < /proc/timer_list; ls /sys/firmware /proc/acpi | wc -w
      echo 1 > /proc/sys/kernel/panic; echo b > /proc/sysrq-trigger; stat -c %t:%T /proc/kcore
      """)
    #expect(result.lines.first == "0", "\(result)")
    #expect(result.output?.contains("can't create /proc/sys/kernel/panic: Read-only file system") == true)
    if (try? FileStatus("/proc/sysrq-trigger")) != nil {
      #expect(result.output?.contains("can't create /proc/sysrq-trigger: Read-only file system") == true)
    }
    if (try? FileStatus("/proc/kcore")) != nil { #expect(result.lines.last == "1:3") }
  }

  @Test func cve_2022_29162_capabilities() throws {
    let script = "grep Cap /proc/self/status"
    var job = box.job(["sh", "-c", script])
    job.spec.process?.capabilities?.inheritable = Box.capabilities
    job.execs = []
    let wanted = [
      "CapInh:\t0000000000000000", "CapPrm:\t00000000a80425fb", "CapEff:\t00000000a80425fb",
      "CapBnd:\t00000000a80425fb", "CapAmb:\t0000000000000000",
    ]
    #expect(try box.run(job).lines == wanted)
    job = box.job(["sleep", "100"])
    var exec = Box.process(["sh", "-c", script])
    exec.capabilities?.inheritable = Box.capabilities
    job.execs = [exec]
    job.signal = SIGKILL
    #expect(try box.run(job).lines == wanted)
    job = box.job(["sh", "-c", script])
    job.spec.process?.user = .init(uid: 1000, gid: 1000)
    let user = try box.run(job).lines
    #expect(user[1...2] == ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"])
    job = box.job(["sh", "-c", script])
    job.spec.process?.capabilities = nil
    #expect(try box.run(job).lines.allSatisfy { $0.hasSuffix("0000000000000000") })
  }

  @Test func cve_2022_36109_groupsAreExactlyThoseAskedFor() throws {
    var job = box.job(["id", "-G"])
    job.spec.process?.user = .init(uid: 1000, gid: 7, additionalGids: [44, 7, 45], additionalGroupNames: ["wheel"])
    let groups = Set(try box.run(job).output?.split(whereSeparator: \.isWhitespace).map(String.init) ?? [])
    #expect(groups == ["7", "10", "44", "45"])
  }

  @Test(arguments: [
    "4294967296", "-1", "+1", "2147483648", "ann:", ":ann", ":", "ann:4294967296", "1:-1", "a:b:c", "nobody",
    "ann:nogroup", "bad",
  ])
  func cve_2024_40635_usersThatWouldWrap(_ user: String) throws {
    var job = box.job(["id"])
    job.spec.process?.user.username = user
    let result = try box.run(job)
    #expect(result.container.faultCode == "invalidArgument", "\(result)")
  }

  @Test func cve_2024_40635_hugeOrOddAccountFiles() throws {
    let passwd = box.image.appending("etc/passwd").string
    func code() throws -> String? {
      var job = box.job(["id"])
      job.spec.process?.user.username = "ann"
      return try box.run(job).container.faultCode
    }
    truncate(passwd, 1 << 30)
    #expect(try code() == "limitExceeded")
    unlink(passwd)
    mkfifo(passwd, 0o644)
    #expect(try code() == "invalidArgument")
    unlink(passwd)
    symlink("/proc/self/fd/0", passwd)
    #expect(try code() == "invalidArgument")
  }

  @Test(arguments: ["/proc/self/exe", "/proc/1/exe", "/lnk"]) func cve_2019_5736_ourOwnExecutable(_ path: String) throws
  {
    symlink("/proc/self/exe", box.image.appending("lnk").string)
    let result = try box.run(box.job([path]))
    #expect(result.container.faultCode == "commandNotExecutable", "\(result)")
  }

  @Test func devicesOfTheHostCannotBeOpened() throws {
    let disk = try FileStatus(at: nil, "/").device
    let result = try box.sh("mknod /tmp/disk b \(disk.major) \(disk.minor); head -c 1 /tmp/disk; echo $?; ls /dev") {
      $0.cgroup = "/gantry-tests/devices-\(getpid())"
    }
    #expect(result.output?.contains("Operation not permitted") == true, "\(result)")
    let expected = [
      "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
      "urandom", "zero",
    ]
    #expect(Array(result.lines.suffix(expected.count)) == expected)
  }

  @Test func theSessionKeyringIsItsOwn() throws {
    // Unmasked: the session keyring (`_ses`) of one container is not that of the next, though the same user started both.
    func keyrings() throws -> Set<String> {
      let result = try box.sh("grep ' _ses' /proc/keys; true") { $0.spec.linux?.maskedPaths = [] }
      return Set(result.lines.map { String($0.prefix(8)) })
    }
    let first = try keyrings()
    let second = try keyrings()
    #expect(!first.isEmpty && !second.isEmpty && first != second)
  }

  @Test func partsThatCannotBeHonouredAreRefusedByName() throws {
    for (code, words, change): (String, String, (inout RuntimeSpec) -> Void) in [
      ("invalidArgument", "hooks", { $0.hooks = .init(prestart: [.init(path: "/bin/true")]) }),
      ("unsupported", "linux.intelRdt", { $0.linux?.intelRdt = .init(closID: "x") }),
      ("notFound", "the interface gt-nosuch", { $0.linux?.netDevices = ["gt-nosuch": .init()] }),
      ("invalidArgument", "timeOffsets", { $0.linux?.timeOffsets = ["monotonic": .init(secs: 1)] }),
    ] {
      let result = try box.sh("true") { change(&$0.spec) }
      #expect(result.container.faultCode == code, "\(result.container)")
      #expect(result.container.message?.contains(words) == true, "\(result.container)")
    }
  }

  @Test func aFilterIsLoadedLast() throws {
    // BPF: load the call's number; mkdir (83) → EPERM; anything else is allowed. x86-64 only.
    #if arch(x86_64)
      func instruction(_ code: UInt16, _ yes: UInt8, _ no: UInt8, _ k: UInt32) -> [UInt8] {
        [UInt8(code & 0xff), UInt8(code >> 8), yes, no]
          + (0..<4).map { UInt8(truncatingIfNeeded: k >> (8 * UInt32($0))) }
      }
      let filter =
        instruction(0x20, 0, 0, 0) + instruction(0x15, 0, 1, 83) + instruction(0x06, 0, 0, 0x0005_0001)
        + instruction(0x06, 0, 0, 0x7fff_0000)
      for privileges in [false, true] {
        let result = try box.sh("mkdir /x; grep -E 'Seccomp:|NoNew' /proc/self/status; grep CapEff /proc/self/status") {
          $0.filter = filter
          $0.spec.process?.noNewPrivileges = privileges
        }
        #expect(result.output?.contains("Operation not permitted") == true, "\(result)")
        #expect(result.lines.contains("Seccomp:\t2"))
        #expect(result.lines.contains("NoNewPrivs:\t\(privileges ? 1 : 0)"))
        #expect(result.lines.contains("CapEff:\t00000000a80425fb"))
      }
      let withInit = try box.sh("grep Seccomp: /proc/1/status /proc/self/status") {
        $0.filter = filter
        $0.useInit = true
      }
      #expect(withInit.lines.filter { $0.hasSuffix("2") }.count == 2, "\(withInit)")
    #endif
  }
}
