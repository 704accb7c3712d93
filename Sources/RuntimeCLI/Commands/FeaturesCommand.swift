internal import Faults
internal import FoundationEssentials
internal import Linux
internal import Runtime
internal import Seccomp

/// Versions that others ask for.
enum SpecificationVersion {
  /// Of the runtime specification.
  static let latest = "1.2.1"
  static let oldest = "1.0.0"

  static var libseccomp: String { SeccompCompiler.libraryVersion }
}

/// `features`: what this runtime can do, in the form of the specification ("Features Structure").
enum FeaturesCommand {
  static let command = Command(
    usage: "", help: "print what this runtime can do, as JSON", flags: []
  ) { arguments, _ throws(Fault) in
    try arguments.atMost(0)
    do {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .withoutEscapingSlashes, .sortedKeys]
      Output.line(String(decoding: try encoder.encode(Features()), as: UTF8.self))
    } catch {
      throw Fault(.internal, "the features cannot be written as JSON", cause: ["\(error)"])
    }
    return 0
  }
}

private struct Features: Encodable {
  struct Enabled: Encodable { var enabled: Bool }
  struct Cgroup: Encodable {
    var v1 = true
    var v2 = true
    var systemd = false
    var systemdUser = false
    var rdma = true
  }
  struct Seccomp: Encodable {
    var enabled = true
    var actions = [
      "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
      "SCMP_ACT_LOG",
      "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
    ]
    var operators = [
      "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
    ]
    var archs = SeccompCompiler.architectures
    var knownFlags = [
      "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
      "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ]
    var supportedFlags = [
      "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
      "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ]
  }
  struct MountExtensions: Encodable { var idmap = Enabled(enabled: true) }
  struct Linux: Encodable {
    var namespaces = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"]
    var capabilities = Capabilities.names
    var cgroup = Cgroup()
    var seccomp = Seccomp()
    var apparmor = Enabled(enabled: true)
    var selinux = Enabled(enabled: true)
    var intelRdt = Enabled(enabled: false)
    var mountExtensions = MountExtensions()
    var netDevices = Enabled(enabled: true)
  }

  var ociVersionMin = SpecificationVersion.oldest
  var ociVersionMax = SpecificationVersion.latest
  var hooks = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
  var mountOptions = SupportedMountOptions.names
  var linux = Linux()
  var annotations = [
    "gantry.runtime.version": GantryVersion.current,
    "io.github.seccomp.libseccomp.version": SpecificationVersion.libseccomp,
  ]
  var potentiallyUnsafeConfigAnnotations: [String] = []
}
