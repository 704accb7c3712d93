internal import Faults
internal import FoundationEssentials
internal import Glibc
internal import Linux
internal import OCI
internal import SystemPackage

/// `spec`.
enum SpecCommand {
  static let command = Command(
    usage: "", help: "write a description to start from, config.json",
    flags: [
      .value("bundle", "b", "the folder for it (the working folder)"),
      .toggle("rootless", nil, "with a user namespace that maps root to the caller"),
    ]
  ) { arguments, _ throws(Fault) in
    try arguments.atMost(0)
    let path = FilePath(arguments["bundle"] ?? ".").appending("config.json")
    guard (try? FileStatus(path.string)) == nil else {
      throw Fault(.alreadyExists, "File config.json exists. Remove it first")
    }
    do {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .withoutEscapingSlashes, .sortedKeys]
      let bytes = try encoder.encode(arguments.isOn("rootless") ? rootless : standard)
      try DurableFile.write(path, Array(bytes), mode: 0o644, durable: false)
    } catch {
      throw Fault(describing: error).wrapped("\(path) cannot be written")
    }
    return 0
  }

  private static let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]

  /// A shell in namespaces of its own, with what every engine's containers have.
  private static var standard: RuntimeSpec {
    typealias Mount = RuntimeSpec.Mount
    return RuntimeSpec(
      ociVersion: SpecificationVersion.latest,
      process: .init(
        terminal: true, user: .init(uid: 0, gid: 0), args: ["sh"],
        env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"], cwd: "/",
        capabilities: .init(bounding: capabilities, effective: capabilities, permitted: capabilities),
        rlimits: [.init(type: "RLIMIT_NOFILE", hard: 1024, soft: 1024)], noNewPrivileges: true),
      root: .init(path: "rootfs", readonly: true), hostname: "gantry",
      mounts: [
        Mount(destination: "/proc", type: "proc", source: "proc"),
        Mount(
          destination: "/dev", type: "tmpfs", source: "tmpfs",
          options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        Mount(
          destination: "/dev/pts", type: "devpts", source: "devpts",
          options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        Mount(
          destination: "/dev/shm", type: "tmpfs", source: "shm",
          options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        Mount(
          destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"]),
        Mount(destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"]),
        Mount(
          destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup",
          options: ["nosuid", "noexec", "nodev", "relatime", "ro"]),
      ],
      linux: .init(
        namespaces: ["pid", "network", "ipc", "uts", "mount", "cgroup"].map { .init(type: $0) },
        resources: .init(devices: [.init(allow: false, access: "rwm")]),
        maskedPaths: [
          "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
          "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
          "/sys/devices/virtual/powercap",
        ],
        readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]))
  }

  /// The same in a user namespace. The container's root is the caller, and there are no other users in it.
  private static var rootless: RuntimeSpec {
    var spec = standard
    spec.linux?.namespaces?.append(.init(type: "user"))
    let own = RuntimeSpec.IDMapping(containerID: 0, hostID: geteuid(), size: 1)
    spec.linux?.uidMappings = [own]
    spec.linux?.gidMappings = [.init(containerID: 0, hostID: getegid(), size: 1)]
    spec.linux?.resources = nil
    return spec
  }
}
