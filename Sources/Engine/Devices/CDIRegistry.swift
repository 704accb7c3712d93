import Faults
import Linux
import OCI

/// The CDI specifications of this machine. They are read when a container asks for a device of theirs, each time anew:
/// vendors' tools write them at boot and when drivers change.
struct CDIRegistry: Sendable {
  /// Where they lie; a device of a later folder wins over its namesake of an earlier one.
  var folders = ["/etc/cdi", "/var/run/cdi"]

  /// What was found.
  struct Found {
    fileprivate var devices: [CDIName: (spec: Int, device: CDISpec.Device)] = [:]
    fileprivate var ambiguous: Set<CDIName> = []
    fileprivate var specs: [(path: String, spec: CDISpec)] = []
    /// Files that are no specification, with the reason.
    fileprivate var failures: [String] = []

    /// Whether any device of `kind` is described.
    func has(kind: String) -> Bool { specs.contains { $0.spec.kind == kind } }
  }

  /// Reads all files.
  func read() -> Found {
    var found = Found()
    for folder in folders {
      guard let names = try? Files.list(folder) else { continue }
      var here: Set<CDIName> = []
      for name in names.sorted() where [".json", ".yaml", ".yml"].contains(where: { name.hasSuffix($0) }) {
        let path = "\(folder)/\(name)"
        do {
          let spec = try CDISpec(path: path)
          found.specs.append((path, spec))
          for device in spec.devices {
            let name = CDIName(kind: spec.kind, device: device.name)
            if !here.insert(name).inserted {
              found.ambiguous.insert(name)
            } else {
              found.ambiguous.remove(name)
              found.devices[name] = (found.specs.count - 1, device)
            }
          }
        } catch {
          let fault = Fault(describing: error)
          found.failures.append(([fault.message] + (fault.cause ?? [])).joined(separator: ": "))
        }
      }
    }
    return found
  }

  /// What the devices `names` change in a container.
  func edits(for names: [CDIName], in found: Found) throws -> DeviceEdits {
    var edits = DeviceEdits()
    var done: Set<Int> = []
    for name in names {
      if found.ambiguous.contains(name) {
        throw Fault(
          .conflict,
          "CDI device injection failed: \(name) is described by several files of one folder: remove all but one from "
            + folders.joined(separator: " and "))
      }
      guard let (index, device) = found.devices[name] else {
        throw Fault(
          .invalidArgument,
          "CDI device injection failed: unresolvable CDI devices \(name): no file in \(folders.joined(separator: " or ")) "
            + "describes it", cause: found.failures)
      }
      let (path, spec) = found.specs[index]
      if done.insert(index).inserted, let common = spec.containerEdits { try edits.add(common, path) }
      if let own = device.containerEdits { try edits.add(own, path) }
    }
    return edits
  }
}

/// What devices change in a container's specification.
struct DeviceEdits: Sendable, Equatable {
  var environment: [String] = []
  var nodes: [RuntimeSpec.Device] = []
  var rules: [RuntimeSpec.DeviceRule] = []
  var mounts: [RuntimeSpec.Mount] = []
  var hooks: RuntimeSpec.Hooks?
  var groups: [UInt32] = []

  /// Adds the edits of one specification or device in the file `path`.
  mutating func add(_ edits: CDISpec.Edits, _ path: String) throws {
    if edits.intelRdt != nil { throw Fault(.unsupported, "\(path): CDI edits of intelRdt are not built yet") }
    if edits.netDevices?.isEmpty == false {
      throw Fault(.unsupported, "\(path): CDI edits of netDevices are not built yet")
    }
    for variable in edits.env ?? [] {
      guard let equals = variable.firstIndex(of: "="), equals != variable.startIndex, !variable.utf8.contains(0) else {
        throw Fault(.invalidArgument, "\(path): \"\(variable)\" is no variable of the form NAME=VALUE")
      }
      environment.append(variable)
    }
    for node in edits.deviceNodes ?? [] { try add(node, path) }
    for mount in edits.mounts ?? [] {
      let options = mount.options ?? []
      let isBind = options.contains("bind") || options.contains("rbind")
      mounts.append(
        .init(
          destination: try ContainerPath.destination(mount.containerPath, field: path), type: mount.type ?? "bind",
          source: mount.hostPath, options: isBind || mount.type != nil ? options : ["bind"] + options))
    }
    for hook in edits.hooks ?? [] { try add(hook, path) }
    for group in edits.additionalGids ?? [] where group > 0 && !groups.contains(group) { groups.append(group) }
  }

  private mutating func add(_ node: CDISpec.Node, _ path: String) throws {
    var device = RuntimeSpec.Device(
      type: node.type ?? "", path: ContainerPath.clean(node.path), major: node.major, minor: node.minor,
      fileMode: node.fileMode, uid: node.uid, gid: node.gid)
    if device.type.isEmpty || (device.type != "p" && device.major == nil) {
      let source = node.hostPath ?? node.path
      guard let host = try HostDevices.under(source).first(where: { $0.path == source }) else {
        throw Fault(.invalidArgument, "\(path): \(source) is no device")
      }
      guard node.type == nil || node.type == host.type else {
        throw Fault(.invalidArgument, "\(path): \(source) is not of the type \(node.type ?? "")")
      }
      device.type = host.type
      device.major = host.major
      device.minor = host.minor
      if device.fileMode == nil { device.fileMode = host.fileMode }
      if device.uid == nil { device.uid = host.uid }
      if device.gid == nil { device.gid = host.gid }
    }
    let access = node.permissions ?? "rwm"
    guard access.allSatisfy({ "rwm".contains($0) }) else {
      throw Fault(.invalidArgument, "\(path): permissions \"\(access)\" are not of r, w and m")
    }
    nodes.removeAll { $0.path == device.path }
    nodes.append(device)
    guard ["b", "c", "u"].contains(device.type), !access.isEmpty else { return }
    rules.append(
      .init(
        allow: true, type: device.type == "u" ? "c" : device.type, major: device.major, minor: device.minor,
        access: access))
  }

  private mutating func add(_ hook: CDISpec.Hook, _ path: String) throws {
    let entry = RuntimeSpec.Hook(path: hook.path, args: hook.args, env: hook.env, timeout: hook.timeout)
    var all = hooks ?? RuntimeSpec.Hooks()
    switch hook.hookName {
    case "prestart": all.prestart = (all.prestart ?? []) + [entry]
    case "createRuntime": all.createRuntime = (all.createRuntime ?? []) + [entry]
    case "createContainer": all.createContainer = (all.createContainer ?? []) + [entry]
    case "startContainer": all.startContainer = (all.startContainer ?? []) + [entry]
    case "poststart": all.poststart = (all.poststart ?? []) + [entry]
    case "poststop": all.poststop = (all.poststop ?? []) + [entry]
    default: throw Fault(.invalidArgument, "\(path): there is no hook \"\(hook.hookName)\"")
    }
    hooks = all
  }
}
