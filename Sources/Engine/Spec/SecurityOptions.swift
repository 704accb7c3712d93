import Faults
import Protocol

/// The `--security-opt` of a container.
struct SecurityOptions: Sendable, Equatable {
  /// Which system calls are filtered.
  enum Seccomp: Sendable, Equatable {
    case standard
    case unconfined
    /// A profile of Docker's form, as JSON text.
    case custom(String)
  }
  var noNewPrivileges = false
  var seccomp = Seccomp.standard
  /// The profile of AppArmor; nil for none.
  var appArmor: String?
  /// Nothing of /proc and /sys is masked.
  var systemPathsUnconfined = false

  /// Reads Docker's `SecurityOpt`; a privileged container is unfiltered unless it asks for a profile.
  init(_ host: HostConfig) throws {
    if host.privileged ?? false { seccomp = .unconfined }
    for text in host.securityOpt ?? [] {
      let separator = text.firstIndex(where: { $0 == "=" }) ?? text.firstIndex(where: { $0 == ":" })
      let name = separator.map { String(text[..<$0]) } ?? text
      let value = separator.map { String(text[text.index(after: $0)...]) } ?? ""
      switch name {
      case "no-new-privileges":
        switch value.lowercased() {
        case "", "true", "1": noNewPrivileges = true
        case "false", "0": noNewPrivileges = false
        default:
          throw Fault(.invalidArgument, "SecurityOpt: no-new-privileges takes true or false, not \"\(value)\"")
        }
      case "seccomp":
        switch value {
        case "unconfined": seccomp = .unconfined
        case "builtin", "default": seccomp = .standard
        default:
          guard value.first(where: { !$0.isWhitespace }) == "{" else {
            throw Fault(
              .invalidArgument,
              "SecurityOpt: seccomp takes unconfined, builtin or the JSON of a profile (clients send the file's content), "
                + "not \"\(value.prefix(80))\"")
          }
          seccomp = .custom(value)
        }
      case "apparmor":
        guard !value.isEmpty, value.utf8.allSatisfy({ $0 > 32 && $0 != 127 }) else {
          throw Fault(.invalidArgument, "SecurityOpt: apparmor takes unconfined or the name of a loaded profile")
        }
        appArmor = value == "unconfined" ? nil : value
      case "systempaths":
        guard value == "unconfined" else {
          throw Fault(.invalidArgument, "SecurityOpt: systempaths takes unconfined, not \"\(value)\"")
        }
        systemPathsUnconfined = true
      case "label":
        guard value == "disable" else {
          throw Fault(
            .unsupported,
            "SecurityOpt: label=\(value) is for SELinux, which is not built yet: only label=disable is known")
        }
      default:
        throw Fault(
          .invalidArgument,
          "SecurityOpt: invalid --security-opt: \"\(text)\": known are no-new-privileges, seccomp, apparmor, systempaths, "
            + "label=disable")
      }
    }
  }
}
