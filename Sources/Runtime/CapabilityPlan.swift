internal import CLinux
internal import Faults
internal import Linux
internal import OCI
internal import SystemPackage

/// The five capability sets of a process, and the order in which it gives up all others.
struct CapabilityPlan: Equatable {
  let bounding: CapabilitySet
  let permitted: CapabilitySet
  let effective: CapabilitySet
  let ambient: CapabilitySet

  /// Needed to load a filter without `no_new_privs`; given up right after.
  private static let systemAdministration = CapabilitySet(rawValue: 1 << 21)

  /// No capabilities when `sets` is nil.
  ///
  /// CVE-2022-29162, 2022-24769: the inheritable set is what the ambient one needs, hence empty, whatever the
  /// description says: with it, any file with inheritable bits would give rights to an ordinary user.
  init(_ sets: RuntimeSpec.Capabilities?) throws(Fault) {
    bounding = try Self.set(sets?.bounding)
    permitted = try Self.set(sets?.permitted)
    effective = try Self.set(sets?.effective)
    ambient = try Self.set(sets?.ambient)
    guard permitted.isSuperset(of: effective) else {
      throw Fault(
        .invalidArgument,
        "the capabilities \(effective.subtracting(permitted).names.joined(separator: ", ")) are effective, not permitted"
      )
    }
    guard permitted.isSuperset(of: ambient) else {
      throw Fault(
        .invalidArgument,
        "the capabilities \(ambient.subtracting(permitted).names.joined(separator: ", ")) are ambient, not permitted")
    }
    // What this process is permitted is in its bounding set: one call tells, where the whole set needs one each.
    var missing = bounding.union(permitted).subtracting(Capabilities.permitted)
    if !missing.isEmpty { missing.subtract(Capabilities.bounding) }
    guard missing.isEmpty else {
      throw Fault(
        .unsupported,
        "this machine does not let \(missing.names.joined(separator: ", ")) be given to a container: leave it out")
    }
  }

  private static func set(_ names: [String]?) throws(Fault) -> CapabilitySet {
    var bits: UInt64 = 0
    for name in names ?? [] {
      guard let number = Capabilities.number(of: name) else {
        throw Fault(.invalidArgument, "\(name) is no capability that this machine knows")
      }
      bits |= 1 << UInt64(number)
    }
    return CapabilitySet(rawValue: bits)
  }

  /// Child, first part, still as root: takes everything outside the bounding set away for ever.
  func dropBounding() throws(Fault) {
    for number in 0..<64 where !bounding.contains(CapabilitySet(rawValue: 1 << UInt64(number))) {
      let result = cl_prctl(Int32(CL_PR_CAPBSET_DROP), UInt(number), 0, 0, 0)
      if result == -22 { break }  // EINVAL: the kernel has no capability of this number, nor of a higher one
      try step("drop the capability \(number) from the bounding set") { () throws(Errno) in try check(result) }
    }
  }

  /// Child, second part, with its final user: permitted and effective become what is asked, plus, when `forFilter`, the
  /// one that loading the filter needs. Ambient ones are raised.
  func reduce(forFilter: Bool) throws(Fault) {
    let extra = forFilter ? Self.systemAdministration.intersection(Capabilities.permitted) : []
    let all = permitted.union(extra).rawValue
    try step("set the capabilities \(permitted.names.joined(separator: ", "))") { () throws(Errno) in
      try check(cl_capset(effective.union(extra).rawValue, all, ambient.rawValue))
    }
    _ = cl_prctl(Int32(CL_PR_CAP_AMBIENT), UInt(CL_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    for number in 0..<64 where ambient.contains(CapabilitySet(rawValue: 1 << UInt64(number))) {
      try step("make the capability \(number) ambient") { () throws(Errno) in
        try check(cl_prctl(Int32(CL_PR_CAP_AMBIENT), UInt(CL_PR_CAP_AMBIENT_RAISE), UInt(number), 0, 0))
      }
    }
  }

  /// Child, last part, after the filter: exactly what is asked. Two system calls at most follow it.
  func finish() throws(Fault) {
    try step("give up the last capability") { () throws(Errno) in
      try check(cl_capset(effective.rawValue, permitted.rawValue, ambient.rawValue))
    }
  }
}
