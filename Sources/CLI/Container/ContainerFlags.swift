internal import Glibc

/// What `run` and `create` are told about a container, as the flags say it; `ContainerRequest` makes the wire's form of it.
struct ContainerFlags: Sendable {
  var name: String?
  var platform: String?
  var image = ""
  var command: [String] = []

  // The process.
  var interactive = false
  var terminal = false
  /// `-a`: which of stdin, stdout and stderr to attach; empty is Docker's default for the command.
  var attach: [String] = []
  var environment: [String] = []
  var environmentFiles: [String] = []
  var entrypoint: String?
  var workingDirectory: String?
  var user: String?
  var groups: [String] = []
  var initProcess: Bool?
  var stopSignal: String?
  var stopTimeout: Int64?

  // Its description.
  var labels: [String] = []
  var labelFiles: [String] = []
  var annotations: [String] = []
  var containerIDFile: String?
  var acquisition = ImageAcquisition()
  var removesItself = false

  // Files.
  var binds: [String] = []
  /// Paths of `-v` without a source.
  var anonymousVolumes: [String] = []
  var volumesFrom: [String] = []
  var volumeDriver: String?
  var mounts: [String] = []
  var temporaryFileSystems: [String] = []
  var readOnlyRoot = false
  var devices: [String] = []
  var deviceRules: [String] = []
  /// `--gpus`, one entry for each time it was given.
  var gpus: [String] = []
  var storageOptions: [String] = []
  var sharedMemory: Int64?

  // Names and namespaces.
  var hostname: String?
  var domainname: String?
  var network = "none"
  var pidMode: String?
  var ipcMode: String?
  var utsMode: String?
  var usernsMode: String?
  var cgroupNamespace: String?
  var exposedPorts: [String] = []

  // Rights.
  var addedCapabilities: [String] = []
  var droppedCapabilities: [String] = []
  var privileged = false
  var securityOptions: [String] = []
  var sysctls: [String] = []

  // Limits.
  var limits = ResourceFlags()
  var ulimits: [String] = []

  // Logs and the runtime.
  var logDriver: String?
  var logOptions: [String] = []
  var runtime: String?

  // How it is looked after.
  var supervision = SupervisionFlags()
}

extension ContainerFlags {
  /// The flags that `run` and `create` share and that work.
  static let built: [Flag<ContainerFlags>] =
    process + description + files + namespaces + rights + limitFlags + supervisionFlags

  private static let process: [Flag<ContainerFlags>] = [
    .toggle("interactive", "i", "Keep STDIN open even if not attached") { $0.interactive = $1 },
    .toggle("tty", "t", "Allocate a pseudo-TTY") { $0.terminal = $1 },
    .value("attach", "a", "list", "Attach to STDIN, STDOUT or STDERR") { flags, value in
      guard ["stdin", "stdout", "stderr"].contains(value.lowercased()) else {
        throw CommandFailure("valid streams are STDIN, STDOUT and STDERR")
      }
      flags.attach.append(value.lowercased())
    },
    .value("env", "e", "list", "Set environment variables") { flags, value in
      if let entry = try KeyValues.environment(value) { flags.environment.append(entry) }
    },
    .value("env-file", nil, "list", "Read in a file of environment variables") { $0.environmentFiles.append($1) },
    .value("entrypoint", nil, "string", "Overwrite the default ENTRYPOINT of the image") { $0.entrypoint = $1 },
    .value("workdir", "w", "string", "Working directory inside the container") { $0.workingDirectory = $1 },
    .value("user", "u", "string", "Username or UID (format: <name|uid>[:<group|gid>])") { $0.user = $1 },
    .value("group-add", nil, "list", "Add additional groups to join") { $0.groups.append($1) },
    .toggle("init", nil, "Run an init inside the container that forwards signals and reaps processes") {
      $0.initProcess = $1
    },
    .value("stop-signal", nil, "string", "Signal to stop the container") { $0.stopSignal = $1 },
    .value("stop-timeout", nil, "int", "Timeout (in seconds) to stop a container") {
      $0.stopTimeout = try Quantity.integer($1)
    },
  ]

  private static let description: [Flag<ContainerFlags>] = [
    .value("name", nil, "string", "Assign a name to the container") { $0.name = $1 },
    .value("platform", nil, "string", "Set platform if the image has several") { $0.platform = $1 },
    .value("label", "l", "list", "Set meta data on a container") { $0.labels.append($1) },
    .value("label-file", nil, "list", "Read in a line delimited file of labels") { $0.labelFiles.append($1) },
    .value("annotation", nil, "map", "Add an annotation to the container (passed through to the runtime)") {
      _ = try KeyValues.strictPair($1)
      $0.annotations.append($1)
    },
    .value("cidfile", nil, "string", "Write the container ID to the file") { $0.containerIDFile = $1 },
    .toggle("rm", nil, "Automatically remove the container when it exits") { $0.removesItself = $1 },
    .value("log-driver", nil, "string", "Logging driver for the container") { $0.logDriver = $1 },
    .value("log-opt", nil, "list", "Log driver options") {
      _ = try KeyValues.strictPair($1)
      $0.logOptions.append($1)
    },
    .value("runtime", nil, "string", "Runtime to use for this container") { $0.runtime = $1 },
    .value("pull", nil, "string", "Pull image before running (\"always\", \"missing\", \"never\")") { flags, value in
      guard let policy = ImageAcquisition.Policy(rawValue: value) else {
        throw CommandFailure("it is \"always\", \"missing\" or \"never\"")
      }
      flags.acquisition.policy = policy
    },
    .toggle("quiet", "q", "Suppress the pull output") { $0.acquisition.isQuiet = $1 },
    .toggle("disable-content-trust", nil, "Skip image verification (always so: content trust is not a part)") { _, on in
      if !on { throw CommandFailure.unbuilt("--disable-content-trust=false", .trust) }
    },
    .value("isolation", nil, "string", "Container isolation technology (\"default\")") { _, value in
      if !value.isEmpty, value != "default" { throw CommandFailure.unbuilt("--isolation \(value)", .windows) }
    },
  ]

  private static let files: [Flag<ContainerFlags>] = [
    .value("volume", "v", "list", "Mount a volume or a folder: [NAME|FOLDER:]TARGET[:ro]") { flags, value in
      let bind = try BindFlag(value, workingDirectory: WorkingFolder.path)
      if let text = bind.text { flags.binds.append(text) } else { flags.anonymousVolumes.append(bind.target) }
    },
    .value("volumes-from", nil, "list", "Mount volumes from the specified container(s)") { $0.volumesFrom.append($1) },
    .value("volume-driver", nil, "string", "Optional volume driver for the container (\"local\")") {
      $0.volumeDriver = $1
    },
    .value("mount", nil, "mount", "Attach a filesystem mount: type=bind, volume, tmpfs or image") { flags, value in
      _ = try MountFlag(value, workingDirectory: WorkingFolder.path)
      flags.mounts.append(value)
    },
    .value("tmpfs", nil, "list", "Mount a tmpfs directory") { flags, value in
      guard value.hasPrefix("/") else { throw CommandFailure("invalid tmpfs: \(value): the path must be absolute") }
      flags.temporaryFileSystems.append(value)
    },
    .toggle("read-only", nil, "Mount the container's root filesystem as read only") { $0.readOnlyRoot = $1 },
    .value("device", nil, "list", "Add a host device, or one of CDI (vendor.com/class=name), to the container") {
      flags, value in
      if !DeviceFlag.isCDI(value) { _ = try DeviceFlag(value) }
      flags.devices.append(value)
    },
    .value("device-cgroup-rule", nil, "list", "Allow devices by their numbers: 'c 1:3 rwm'") { flags, value in
      guard DeviceFlag.isRule(value) else {
        throw CommandFailure("invalid device cgroup format '\(value)' (for example: 'c 1:3 rwm' or 'b 8:* r')")
      }
      flags.deviceRules.append(value)
    },
    .value("gpus", nil, "gpu-request", "GPU devices to add to the container ('all' to pass all GPUs)") { flags, value in
      _ = try GPUFlag(value)
      flags.gpus.append(value)
    },
    .value("storage-opt", nil, "list", "Storage option of the container: size=BYTES bounds what it writes") {
      _ = try KeyValues.strictPair($1)
      $0.storageOptions.append($1)
    },
    .value("shm-size", nil, "bytes", "Size of /dev/shm") { $0.sharedMemory = try Quantity.bytes($1) },
  ]

  private static let namespaces: [Flag<ContainerFlags>] = [
    .value("hostname", "h", "string", "Container host name") { $0.hostname = $1 },
    .value("domainname", nil, "string", "Container NIS domain name") { $0.domainname = $1 },
    .value("network", nil, "network", "Connect a container to a network (\"none\" or \"host\")") { flags, value in
      try flags.setNetwork(value, flag: "--network")
    },
    .value("net", nil, "network", "The same as --network") { flags, value in
      try flags.setNetwork(value, flag: "--net")
    },
    .value("pid", nil, "string", "PID namespace to use (host|container:NAME)") { $0.pidMode = $1 },
    .value("ipc", nil, "string", "IPC mode to use (none|private|shareable|host|container:NAME)") { $0.ipcMode = $1 },
    .value("uts", nil, "string", "UTS namespace to use (host)") { $0.utsMode = $1 },
    .value("userns", nil, "string", "User namespace to use (host|private|auto[:OPTIONS]|keep-id[:OPTIONS])") {
      $0.usernsMode = $1
    },
    .value("cgroupns", nil, "string", "Cgroup namespace to use (host|private)") { flags, value in
      guard ["host", "private", ""].contains(value) else { throw CommandFailure("it is \"host\" or \"private\"") }
      flags.cgroupNamespace = value
    },
    .value("expose", nil, "list", "Note a port that the container listens on") { flags, value in
      flags.exposedPorts += try ExposedPorts.read(value)
    },
  ]

  private static let rights: [Flag<ContainerFlags>] = [
    .value("cap-add", nil, "list", "Add Linux capabilities") {
      $0.addedCapabilities += $1.split(separator: ",").map(String.init)
    },
    .value("cap-drop", nil, "list", "Drop Linux capabilities") {
      $0.droppedCapabilities += $1.split(separator: ",").map(String.init)
    },
    .toggle("privileged", nil, "Give extended privileges to this container") { $0.privileged = $1 },
    .value("security-opt", nil, "list", "Security Options") { $0.securityOptions.append($1) },
    .value("sysctl", nil, "map", "Sysctl options") {
      _ = try KeyValues.strictPair($1)
      $0.sysctls.append($1)
    },
    .value("ulimit", nil, "ulimit", "Ulimit options") { flags, value in
      _ = try UlimitFlag(value)
      flags.ulimits.append(value)
    },
  ]

  private static let limitFlags: [Flag<ContainerFlags>] =
    (ResourceFlags.changeable + ResourceFlags.fixed).map { $0.embedded { try $1(&$0.limits) } }

  private mutating func setNetwork(_ value: String, flag: String) throws {
    guard value == "none" || value == "host" else {
      throw CommandFailure(
        "\(flag) \(value) is not built yet: networks come with a later version; use none or host",
        code: ExitCode.engineFailed)
    }
    network = value
  }
}

/// The folder that relative paths start from.
enum WorkingFolder {
  /// `path` as the engine, which works elsewhere, has to be told it.
  static func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : "\(Self.path)/\(path)" }

  /// Its absolute path.
  static var path: String {
    guard let bytes = getcwd(nil, 0) else { return "/" }
    defer { free(bytes) }
    return String(cString: bytes)
  }
}

/// Ports as `--expose` takes them: `80`, `80/udp`, `8000-8010/tcp`.
enum ExposedPorts {
  /// Each port with its protocol.
  static func read(_ text: String) throws -> [String] {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    let kind = parts.count == 2 ? parts[1].lowercased() : "tcp"
    let bounds = parts[0].split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { UInt16($0) }
    guard ["tcp", "udp", "sctp"].contains(kind), let first = bounds[0],
      let last = bounds.count == 2 ? bounds[1] : first,
      first > 0, first <= last
    else { throw CommandFailure("invalid range format for --expose: \(text)") }
    return (first...last).map { "\($0)/\(kind)" }
  }
}
