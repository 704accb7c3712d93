internal import Glibc
internal import Linux
internal import SystemPackage

/// systemd, where it is this machine's first process.
enum Systemd {
  /// The unit that holds all services.
  static let target = "gantry.target"

  private static let programs: [String] = ["/usr/bin/systemctl", "/bin/systemctl"]

  /// Whether systemd is pid 1, has our units, and `options` name the places that they serve.
  static func manages(_ options: GlobalOptions) -> Bool {
    let standard = GlobalOptions { _ in nil }
    guard options.root == standard.root, options.state == standard.state,
      access("/run/systemd/system", F_OK) == 0
    else { return false }
    return ["/etc", "/usr/lib", "/lib"].contains { access("\($0)/systemd/system/\(target)", F_OK) == 0 }
  }

  /// Runs `systemctl VERB gantry.target`.
  static func run(_ verb: String) throws {
    let services = EngineService.all.map { $0.program + ".service" }
    // stop of the target alone does stop its parts (PartOf=), start pulls them in.
    let arguments = ["systemctl", verb, target] + (verb == "stop" ? services : [])
    guard let program = Self.programs.first(where: { access($0, X_OK) == 0 }) else {
      throw CommandFailure("systemd runs this machine, but there is no systemctl")
    }
    let request = SpawnRequest(.path(FilePath(program)), arguments: arguments)
    do {
      let process = try request.spawn()
      guard try process.pidFD.wait() == .exited(0) else {
        throw CommandFailure("systemctl \(verb) \(target) failed: see `journalctl -u gantryd`")
      }
    } catch let error as Errno {
      throw CommandFailure("systemctl cannot be run: \(error)")
    }
  }
}
