internal import Faults
internal import Linux
internal import SystemPackage

/// The options of one mount of the specification, sorted by what they act on.
struct MountOptions: Equatable {
  /// Attributes to set on the mount.
  var set: MountAttributes = []
  /// Attributes to take off it.
  var clear: MountAttributes = []
  /// Attributes to set on it and on everything mounted below it (`rro` and its kin, Linux 5.12).
  var setRecursively: MountAttributes = []
  /// Attributes to take off it and everything below.
  var clearRecursively: MountAttributes = []
  /// How it travels, and whether that counts for what is below it too.
  var propagation: MountPropagation?
  /// Whether the propagation is for everything below it too.
  var propagatesRecursively = false
  /// Whether it is a bind (`bind` and `rbind`).
  var isBind = false
  /// Whether a bind takes what is mounted below its source along.
  var isRecursive = false
  /// Whether a new tmpfs gets a copy of what it covers.
  var copiesUp = false
  /// Whether the ids of the container's user namespace are applied to it.
  var isMapped = false
  /// Whether a file system is made in the host's namespaces: its network, its users (`gantry.host`).
  var isMadeByHost = false
  /// The path within the source that is mounted in its place (`gantry.subpath=`).
  var part: String?
  /// What is left: parameters of the file system itself, in order.
  var parameters: [(key: String, value: String?)] = []

  private static let attributes: [String: (on: Bool, MountAttributes)] = [
    "ro": (true, .readOnly), "rw": (false, .readOnly), "nosuid": (true, .noSetUserID), "suid": (false, .noSetUserID),
    "nodev": (true, .noDevices), "dev": (false, .noDevices), "noexec": (true, .noExecute), "exec": (false, .noExecute),
    "nodiratime": (true, .noDirectoryAccessTime), "diratime": (false, .noDirectoryAccessTime),
    "nosymfollow": (true, .noSymlinkFollow), "symfollow": (false, .noSymlinkFollow),
  ]

  private static let accessTimes: [String: MountAttributes] = [
    "noatime": .noAccessTime, "strictatime": .strictAccessTime, "relatime": [], "atime": [], "norelatime": [],
    "nostrictatime": [],
  ]

  private static let propagations: [String: MountPropagation] = [
    "private": .private, "slave": .slave, "shared": .shared, "unbindable": .unbindable,
  ]

  /// Sorts `options`; the later of two that contradict each other wins.
  init(_ options: [String]) {
    for option in options { add(option) }
  }

  private mutating func add(_ option: String) {
    if let (on, attribute) = Self.attributes[option] {
      set = on ? set.union(attribute) : set.subtracting(attribute)
      clear = on ? clear.subtracting(attribute) : clear.union(attribute)
    } else if option.hasPrefix("r"), let (on, attribute) = Self.attributes[String(option.dropFirst())] {
      setRecursively = on ? setRecursively.union(attribute) : setRecursively.subtracting(attribute)
      clearRecursively = on ? clearRecursively.subtracting(attribute) : clearRecursively.union(attribute)
    } else if let mode = Self.accessTimes[option] {
      set = set.subtracting(.accessTimeField).union(mode)
      clear.insert(.accessTimeField)
    } else if option.hasPrefix("r"), let mode = Self.accessTimes[String(option.dropFirst())] {
      setRecursively = setRecursively.subtracting(.accessTimeField).union(mode)
      clearRecursively.insert(.accessTimeField)
    } else if let mode = Self.propagations[option] {
      propagation = mode
      propagatesRecursively = false
    } else if option.hasPrefix("r"), let mode = Self.propagations[String(option.dropFirst())] {
      propagation = mode
      propagatesRecursively = true
    } else {
      addOther(option)
    }
  }

  private mutating func addOther(_ option: String) {
    switch option {
    case "defaults", "": break
    case "bind": isBind = true
    case "rbind":
      isBind = true
      isRecursive = true
    case "tmpcopyup": copiesUp = true
    case "idmap", "ridmap": isMapped = true
    case "gantry.host": isMadeByHost = true
    default:
      let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      if parts[0] == "gantry.subpath", parts.count == 2 {
        part = String(parts[1])
        return
      }
      parameters.append((String(parts[0]), parts.count == 2 ? String(parts[1]) : nil))
    }
  }

  static func == (a: MountOptions, b: MountOptions) -> Bool {
    a.set == b.set && a.clear == b.clear && a.setRecursively == b.setRecursively
      && a.clearRecursively == b.clearRecursively && a.propagation == b.propagation
      && a.propagatesRecursively == b.propagatesRecursively && a.isBind == b.isBind && a.isRecursive == b.isRecursive
      && a.copiesUp == b.copiesUp && a.isMapped == b.isMapped && a.isMadeByHost == b.isMadeByHost && a.part == b.part
      && a.parameters.elementsEqual(b.parameters, by: ==)
  }

  /// Puts the attributes on the detached or attached `mount` that they are for; propagation last, on its own, because
  /// mount_setattr refuses nothing of it then.
  func apply(to mount: Int32, alreadySet: MountAttributes = []) throws(Errno) {
    let newlySet = set.subtracting(alreadySet)
    if !newlySet.isEmpty || !clear.isEmpty {
      try Mounts.change(mount, set: set, clear: clear)
    }
    if !setRecursively.isEmpty || !clearRecursively.isEmpty {
      try Mounts.change(mount, set: setRecursively, clear: clearRecursively, recursive: true)
    }
    if let propagation {
      try Mounts.change(mount, propagation: propagation, recursive: propagatesRecursively)
    }
  }
}
