import Glibc
import Linux
import SystemPackage

/// What this process gives up before it reads the first byte of a layer.
enum Confinement {
  /// Owners (CHOWN, FOWNER, FSETID), everybody's files (DAC_OVERRIDE, DAC_READ_SEARCH), devices (MKNOD), file capabilities
  /// (SETFCAP) and overlayfs's attributes (SYS_ADMIN): what unpacking takes. SYS_CHROOT and SYS_PTRACE reach the root of a
  /// running container, which its files are copied from and to. Nothing else.
  static let capabilities = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "MKNOD", "SETFCAP", "SYS_ADMIN", "SYS_CHROOT",
    "SYS_PTRACE",
  ]

  /// Leaves the network for an empty namespace and drops capabilities. Unix sockets are found by path in any network
  /// namespace, so the service is reached as before. Gives the reason, in words for a person, when that cannot be done.
  static func enter() -> String? {
    // Help, completion and version need no rights and give up none.
    guard geteuid() == 0 else { return nil }
    do throws(Errno) {
      try NamespaceKinds.unshare(.network)
      guard let kept = CapabilitySet(names: capabilities) else { return "unknown capabilities" }
      try Privileges.dropCapabilities(keeping: kept)
    } catch {
      return "cannot give up rights (\(error)): start it as root with CAP_SYS_ADMIN and CAP_SETPCAP"
    }
    return nil
  }
}
