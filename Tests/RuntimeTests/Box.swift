import Faults
import FoundationEssentials
import Glibc
import Linux
import OCI
import SystemPackage

/// A busybox image in a folder of its own, and the probe that runs containers from it. Removed with the last reference.
final class Box {
  /// As `Tests/RuntimeProbe` takes it.
  struct Job: Codable {
    struct Mount: Codable {
      var type: String
      var source: String
      var options: [String]
    }
    var spec: RuntimeSpec
    var rootfs: [Mount]
    var cgroup: String?
    var filter: [UInt8]?
    var useInit = false
    var hold = false
    var execs: [RuntimeSpec.Process] = []
    var signal: Int32?
    var leakUpTo: Int32?
    var legacyOverlay = false
    var jail: String?
  }

  /// What the probe reports, and what the container wrote.
  struct Result: Codable {
    struct End: Codable {
      var code: Int32?
      var faultCode: String?
      var message: String?
    }
    var container: End
    var execs: [End]
    var children: Int
    var leakedMounts: Int
    var milliseconds: Double
    var output: String?
    /// The lines of the output.
    var lines: [String] { (output ?? "").split(separator: "\n").map(String.init) }
  }

  let folder: FilePath
  var image: FilePath { folder.appending("image") }
  /// The writable folder of a job.
  static func upper(_ job: Job) -> String {
    job.rootfs[0].options.first { $0.hasPrefix("upperdir=") }.map { String($0.dropFirst(9)) } ?? ""
  }
  private var count = 0

  init() throws {
    // In memory: making and removing many small files is slow on a disk.
    folder = FilePath("/dev/shm/gantry-runtime-\(getpid())-\(UInt32.random(in: 0...UInt32.max))")
    for name in [
      "", "image", "image/bin", "image/etc", "image/proc", "image/sys", "image/dev", "image/tmp", "image/root",
    ] {
      try Files.makeDirectory(folder.appending(name).string, mode: 0o755)
    }
    chmod(image.appending("tmp").string, 0o1777)
    let busybox = try Files.read("/bin/busybox", limit: 16 << 20)
    try DurableFile.write(image.appending("bin/busybox"), busybox, mode: 0o755, durable: false)
    for name in [
      "sh", "cat", "id", "ls", "true", "sleep", "pwd", "echo", "touch", "mknod", "head", "env", "hostname", "kill",
      "ps",
      "stat", "grep", "tty", "stty", "mount", "mkdir", "rm", "dd", "readlink", "test", "wc", "usleep", "ip", "seq",
    ] {
      symlink("busybox", image.appending("bin/\(name)").string)
    }
    try write(
      "etc/passwd",
      "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n1234:x:0:0::/trap:/bin/sh\nbad:x:-1:0::/:/bin/sh\n"
    )
    try write("etc/group", "root:x:0:\nann:x:1001:\nwheel:x:10:ann,root\nextra:x:2000:bob,ann\n")
  }

  deinit {
    _ = try? SpawnRequest(.path("/bin/busybox"), arguments: ["rm", "-rf", folder.string]).spawn().pidFD.wait()
  }

  /// Writes a file of the image.
  func write(_ path: String, _ text: String, mode: UInt32 = 0o644) throws {
    try DurableFile.write(image.appending(path), Array(text.utf8), mode: mode, durable: false)
  }

  static let capabilities = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
  ]

  static func process(_ arguments: [String]) -> RuntimeSpec.Process {
    RuntimeSpec.Process(
      args: arguments, env: ["PATH=/bin"], cwd: "/",
      capabilities: .init(bounding: capabilities, effective: capabilities, permitted: capabilities))
  }

  /// A container as the engine describes it by default.
  func job(_ arguments: [String]) -> Job {
    typealias Mount = RuntimeSpec.Mount
    count += 1
    for name in ["up\(count)", "up\(count)/fs", "up\(count)/work"] {
      _ = try? Files.makeDirectory(folder.appending(name).string, mode: 0o755)
    }
    let spec = RuntimeSpec(
      process: Self.process(arguments), root: .init(path: "rootfs"), hostname: "box",
      mounts: [
        Mount(destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"]),
        Mount(
          destination: "/dev", type: "tmpfs", source: "tmpfs",
          options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        Mount(
          destination: "/dev/pts", type: "devpts", source: "devpts",
          options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        Mount(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"]),
        Mount(
          destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"]),
        Mount(
          destination: "/dev/shm", type: "tmpfs", source: "shm",
          options: ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]),
      ],
      linux: .init(
        namespaces: ["mount", "network", "uts", "pid", "ipc", "cgroup"].map { .init(type: $0) },
        maskedPaths: [
          "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware",
        ],
        readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]))
    return Job(
      spec: spec,
      rootfs: [
        .init(
          type: "overlay", source: "overlay",
          options: [
            "lowerdir+=\(image)", "upperdir=\(folder)/up\(count)/fs", "workdir=\(folder)/up\(count)/work", "volatile",
          ])
      ])
  }

  /// Runs a shell script in a default container.
  func sh(_ script: String, _ change: (inout Job) -> Void = { _ in }) throws -> Result {
    var job = job(["sh", "-c", script])
    change(&job)
    return try run(job)
  }

  /// Runs a job and returns what came of it.
  func run(_ job: Job) throws -> Result {
    count += 1
    let file = folder.appending("job\(count).json")
    let reportFile = folder.appending("report\(count).json")
    let output = folder.appending("output\(count)").string
    try DurableFile.write(file, Array(try JSONEncoder().encode(job)), durable: false)
    let out = try openat2(nil, output, [.writeOnly, .create, .append], mode: 0o600)
    let probe = try SpawnRequest(
      .path(Self.probe), arguments: ["runtime-probe", file.string, reportFile.string],
      descriptors: [nil, out.rawValue, out.rawValue]
    ).spawn()
    _ = try probe.pidFD.wait()
    guard let report = try? Files.read(reportFile.string) else {
      throw Fault(.internal, "the probe died: \((try? Files.readText(output)) ?? "")")
    }
    var result = try JSONDecoder().decode(Result.self, from: Data(report))
    result.output = try Files.readText(output, limit: 1 << 24)
    return result
  }

  /// The probe, built beside the tests.
  static let probe: FilePath = {
    let tests = FilePath((try? Files.readLink("/proc/self/exe")) ?? "")
    let beside = tests.removingLastComponent().appending("runtime-probe")
    if (try? FileStatus(beside.string)) != nil { return beside }
    // The test bundle is loaded by a helper of the toolchain: its own path is among the arguments.
    for argument in CommandLine.arguments where argument.hasSuffix(".xctest") {
      return FilePath(argument).removingLastComponent().appending("runtime-probe")
    }
    return beside
  }()
}
