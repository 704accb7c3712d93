import Faults
import Linux
import OCI
import Protocol

#if canImport(Glibc)
  import Glibc
#endif

extension SpecBuilder {
  /// The device nodes to make and the rules of the device cgroup. Docker's standard devices need neither: the task
  /// service makes and allows them itself, and denies everything else.
  func devices(
    _ host: HostConfig, privileged: Bool
  ) throws -> (nodes: [RuntimeSpec.Device], rules: [RuntimeSpec.DeviceRule]) {
    var nodes: [RuntimeSpec.Device] = []
    var rules = [RuntimeSpec.DeviceRule(allow: privileged, access: "rwm")]
    if privileged { nodes = HostDevices.all() }
    for device in host.devices ?? [] {
      let source = device.pathOnHost ?? ""
      let target = (device.pathInContainer ?? "").isEmpty ? source : device.pathInContainer ?? ""
      let access = (device.cgroupPermissions ?? "").isEmpty ? "rwm" : device.cgroupPermissions ?? ""
      guard source.hasPrefix("/"), target.hasPrefix("/"), !access.isEmpty, access.allSatisfy({ "rwm".contains($0) })
      else {
        throw Fault(
          .invalidArgument,
          "Devices: \"\(source):\(target):\(access)\" is no device: give /dev/NAME[:/dev/NAME[:PERMISSIONS]], permissions "
            + "of r, w and m")
      }
      let found = try HostDevices.under(source)
      guard !found.isEmpty else {
        throw Fault(
          .invalidArgument,
          "error gathering device information while adding custom device \"\(source)\": not a device node")
      }
      for var node in found {
        let rest = node.path.dropFirst(source.utf8.count)
        node.path = ContainerPath.clean(target + rest)
        nodes.removeAll { $0.path == node.path }
        rules.append(
          RuntimeSpec.DeviceRule(allow: true, type: node.type, major: node.major, minor: node.minor, access: access))
        nodes.append(node)
      }
    }
    for rule in host.deviceCgroupRules ?? [] { rules.append(try Self.rule(rule)) }
    return (nodes, rules)
  }

  /// `c 1:3 rwm` of `--device-cgroup-rule`.
  private static func rule(_ text: String) throws -> RuntimeSpec.DeviceRule {
    let parts = text.split(separator: " ")
    let numbers = parts.count == 3 ? parts[1].split(separator: ":") : []
    func number(_ text: Substring) -> Int64?? { text == "*" ? .some(nil) : Int64(text).map { .some($0) } }
    guard parts.count == 3, ["a", "b", "c"].contains(parts[0]), numbers.count == 2, let major = number(numbers[0]),
      let minor = number(numbers[1]), parts[2].allSatisfy({ "rwm".contains($0) })
    else {
      throw Fault(
        .invalidArgument, "DeviceCgroupRules: invalid device cgroup rule format: '\(text)': give such as 'c 1:3 rwm'")
    }
    return RuntimeSpec.DeviceRule(
      allow: true, type: String(parts[0]), major: major, minor: minor, access: String(parts[2]))
  }
}

/// The host's device nodes.
enum HostDevices {
  /// Those of /dev that a privileged container gets: all but what its own /dev has (pts, shm, mqueue, console).
  static func all() -> [RuntimeSpec.Device] {
    var nodes: [RuntimeSpec.Device] = []
    collect("/dev", into: &nodes, depth: 0)
    return nodes
  }

  /// The node at `path`, or those in the folder there.
  static func under(_ path: String) throws -> [RuntimeSpec.Device] {
    let status: FileStatus
    do {
      status = try FileStatus(path, followLinks: true)
    } catch {
      throw Fault(
        .invalidArgument,
        "error gathering device information while adding custom device \"\(path)\": no such file or directory")
    }
    if let node = device(path, status) { return [node] }
    guard status.kind == .directory else { return [] }
    var nodes: [RuntimeSpec.Device] = []
    collect(path, into: &nodes, depth: 0)
    return nodes
  }

  /// The numbers of the block device at `path`.
  static func block(_ path: String, field: String) throws -> (major: Int64, minor: Int64) {
    guard let node = try under(path).first(where: { $0.type == "b" && $0.path == path }), let major = node.major,
      let minor = node.minor
    else { throw Fault(.invalidArgument, "\(field): \"\(path)\" is no block device") }
    return (major, minor)
  }

  private static func collect(_ folder: String, into nodes: inout [RuntimeSpec.Device], depth: Int) {
    guard depth < 6, let names = try? Files.list(folder) else { return }
    for name in names.sorted() where name != "." && name != ".." {
      let path = "\(folder)/\(name)"
      if folder == "/dev", ["pts", "shm", "mqueue", "console", "ptmx", "fd", "core"].contains(name) { continue }
      guard let status = try? FileStatus(path) else { continue }
      if status.kind == .directory {
        collect(path, into: &nodes, depth: depth + 1)
      } else if let node = device(path, status) {
        nodes.append(node)
      }
    }
  }

  private static func device(_ path: String, _ status: FileStatus) -> RuntimeSpec.Device? {
    let type: String
    switch status.mode & 0o170000 {
    case 0o020000: type = "c"
    case 0o060000: type = "b"
    default: return nil
    }
    return RuntimeSpec.Device(
      type: type, path: path, major: Int64(status.special.major), minor: Int64(status.special.minor),
      fileMode: status.permissions & 0o777, uid: status.uid, gid: status.gid)
  }
}
