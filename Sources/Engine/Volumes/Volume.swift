import Faults
import Protocol

/// A folder or file system that outlives containers and that several may have at once.
struct Volume: Sendable, Equatable {
  /// What Docker's clients know an anonymous volume by.
  static let anonymousLabel = "com.docker.volume.anonymous"
  /// The only driver there is.
  static let driver = "local"

  /// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`; also the name of its folder.
  var name: String
  var created: Timestamp
  var labels: [String: String] = [:]
  /// `type`, `device` and `o`, as they were given.
  var options: [String: String] = [:]
  /// Made for a container that named none: it goes with that container, when asked to.
  var isAnonymous = false

  /// What is mounted. Options were checked when the volume was made.
  var backing: VolumeBacking { (try? VolumeBacking(options: options)) ?? .folder }

  /// Docker's Volume.
  func wire(mountpoint: String) -> GatewayAPI.Volume {
    GatewayAPI.Volume(
      name: name, driver: Volume.driver, mountpoint: mountpoint,
      createdAt: Timestamp(nanoseconds: created.seconds * 1_000_000_000).text(),
      labels: labels.isEmpty ? nil : labels, options: options.isEmpty ? nil : options, scope: "local")
  }

  /// Throws unless `name` is one that Docker takes, in its words.
  static func check(name: String) throws {
    if name.utf8.count == 1 {
      throw Fault(
        .invalidArgument, "volume name is too short, names should be at least two alphanumeric characters")
    }
    guard Names.isValid(name) else {
      throw Fault(
        .invalidArgument,
        "\"\(name)\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. "
          + "If you intended to pass a host directory, use absolute path")
    }
  }

  /// Throws unless `driver` is the one there is.
  static func check(driver: String?) throws {
    guard let driver, !driver.isEmpty, driver != Volume.driver else { return }
    throw Fault(
      .notFound,
      "error looking up volume plugin \(driver): plugin \"\(driver)\" not found: Gantry has the driver local alone")
  }
}

/// What a volume's options make of it: its own folder, or something that is mounted when a container starts, in that
/// container's mount namespace and nowhere else.
enum VolumeBacking: Sendable, Equatable {
  /// A folder of the engine.
  case folder
  /// A folder of the host (`type=none,o=bind,device=/srv`), with the options of its mount.
  case bind(device: String, options: [String])
  /// A file system, such as nfs, tmpfs or ext4.
  case fileSystem(type: String, device: String, options: [String])

  private static let bindOptions: Set<String> = [
    "bind", "rbind", "ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "atime", "nodiratime",
    "diratime", "relatime", "norelatime", "strictatime", "nostrictatime", "shared", "rshared", "slave", "rslave",
    "private", "rprivate",
  ]

  /// Reads the driver's options; throws for what can never be mounted.
  init(options: [String: String]) throws {
    if let name = options.keys.sorted().first(where: { !["type", "o", "device", "size"].contains($0) }) {
      throw Fault(.invalidArgument, "invalid option: \"\(name)\": the driver local takes type, device and o")
    }
    if options["size"] != nil {
      throw Fault(
        .unsupported, "quota size requested but no quota support: a tmpfs can have a size, by type=tmpfs and o=size=64m"
      )
    }
    if options.isEmpty {
      self = .folder
      return
    }
    for name in ["type", "device"] where (options[name] ?? "").isEmpty {
      throw Fault(.invalidArgument, "missing required option: \"\(name)\"")
    }
    let type = options["type"] ?? ""
    let device = options["device"] ?? ""
    let list = (options["o"] ?? "").split(separator: ",").map(String.init)
    for text in [type, device] + list where text.utf8.contains(0) || text.hasPrefix("gantry.") {
      throw Fault(.invalidArgument, "invalid option: \"\(text)\" is none of a file system")
    }
    if type == "none" || type == "bind" || list.contains("bind") || list.contains("rbind") {
      guard type == "bind" || list.contains("bind") || list.contains("rbind") else {
        throw Fault(.invalidArgument, "invalid option: type=\(type) needs o=bind: nothing else can be mounted so")
      }
      guard device.hasPrefix("/") else {
        throw Fault(.invalidArgument, "invalid option: device=\(device): what is bound must be an absolute path")
      }
      if let other = list.first(where: { !Self.bindOptions.contains($0) }) {
        throw Fault(.invalidArgument, "invalid option: o=\(other) is none of a bind mount")
      }
      self = .bind(device: device, options: list.filter { $0 != "bind" })
      return
    }
    if type == "nfs" || type == "nfs4" {
      guard let address = list.first(where: { $0.hasPrefix("addr=") })?.dropFirst(5), !address.isEmpty,
        address.utf8.allSatisfy({
          ($0 >= 48 && $0 <= 58) || $0 == 46 || ($0 | 0x20 >= 97 && $0 | 0x20 <= 102)
        })
      else {
        throw Fault(
          .invalidArgument,
          "invalid option: type=\(type) needs the server as o=addr=ADDRESS, an IP address: names are not "
            + "looked up")
      }
    }
    self = .fileSystem(type: type, device: device, options: list)
  }

  /// The folder of the host that an empty volume is filled in from an image; nil for file systems of their own.
  func folder(or own: String) -> String? {
    switch self {
    case .folder: own
    case .bind(let device, _): device
    case .fileSystem: nil
    }
  }
}
