import Faults

/// The devices controller of cgroup v1: `devices.deny` and `devices.allow`.
enum DevicesV1 {
  /// Makes `rules` hold in `folder`. A fresh folder inherits its parent's rules, which mostly allow everything.
  ///
  /// On an update the difference alone is written, so that a running container never loses a device that it may keep.
  static func apply(_ rules: DeviceRules, to folder: ControllerFolder, creating: Bool) throws(Fault) {
    let old = creating ? nil : current(in: folder)
    if rules.allowsByDefault {
      // A fresh folder has its parent's rules already, and a restricted parent (Gantry inside a container) refuses `a`.
      if !creating && old?.allowsByDefault != true { try folder.write("devices.allow", each: ["a"]) }
      // The kernel lists a folder that allows by default as `a *:* rwm` without its exceptions: write them all.
      try folder.write("devices.deny", each: lines(rules.sorted))
      return
    }
    guard let old, !old.allowsByDefault else {
      try folder.write("devices.deny", each: ["a"])
      try folder.write("devices.allow", each: lines(rules.sorted))
      return
    }
    try folder.write("devices.allow", each: lines(difference(rules.sorted, less: old.exceptions)))
    let stale = old.exceptions.sorted { $0.key.sortKey < $1.key.sortKey }.map { (device: $0.key, access: $0.value) }
    try folder.write("devices.deny", each: lines(difference(stale, less: rules.exceptions)))
  }

  private static func lines(_ exceptions: [(device: DeviceRules.Device, access: DeviceRules.Access)]) -> [String] {
    exceptions.map { "\($0.device.text) \($0.access.letters)" }
  }

  private static func difference(
    _ exceptions: [(device: DeviceRules.Device, access: DeviceRules.Access)],
    less others: [DeviceRules.Device: DeviceRules.Access]
  ) -> [(device: DeviceRules.Device, access: DeviceRules.Access)] {
    exceptions.compactMap { device, access in
      let rest = access.subtracting(others[device] ?? [])
      return rest.isEmpty ? nil : (device: device, access: rest)
    }
  }

  /// The rules that hold in `folder` now, from `devices.list`.
  private static func current(
    in folder: ControllerFolder
  ) -> (allowsByDefault: Bool, exceptions: [DeviceRules.Device: DeviceRules.Access]) {
    var exceptions: [DeviceRules.Device: DeviceRules.Access] = [:]
    for line in (folder.read("devices.list") ?? "").split(separator: "\n") {
      let fields = line.split(whereSeparator: { $0 == " " || $0 == ":" })
      guard fields.count == 4, let kind = fields[0].first else { continue }
      if kind == "a" { return (true, [:]) }
      let device = DeviceRules.Device(kind: kind, major: Int64(fields[1]), minor: Int64(fields[2]))
      exceptions[device] = DeviceRules.Access(letters: String(fields[3]))
    }
    return (false, exceptions)
  }
}
