import Glibc
import Linux
import SystemPackage

/// What this process gives up before it reads the first request.
enum Confinement {
  /// Sources of binds and volumes may belong to anybody (DAC_OVERRIDE, FOWNER, CHOWN). The gateway mounts nothing, joins no
  /// namespace and signals nobody: the other services do.
  static let capabilities = ["CHOWN", "DAC_OVERRIDE", "FOWNER"]

  /// Drops everything else. Gives the reason, in words for a person, when that cannot be done.
  static func enter() -> String? {
    // Help, completion and version need no rights and give up none.
    guard geteuid() == 0 else { return nil }
    do throws(Errno) {
      guard let kept = CapabilitySet(names: capabilities) else { return "unknown capabilities" }
      try Privileges.dropCapabilities(keeping: kept)
    } catch {
      return "cannot give up rights (\(error)): start it as root"
    }
    return nil
  }
}
