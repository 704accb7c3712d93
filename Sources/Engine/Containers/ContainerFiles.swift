import Faults
import Linux
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// The files that the gateway keeps for one container and shows it: `ROOT/gateway/containers/<id>/`
///
///     hostname  hosts  resolv.conf      bound over those in /etc
///     <id>-json.log  <id>-json.log.1 …  what it wrote (`<id>-local.log` of that driver, `<id>-cached.log` beside others)
///     committing                        while the engine has frozen it for a commit
///     checkpoints/NAME                  its processes as CRIU wrote them
struct ContainerFiles: Sendable {
  /// The container's folder.
  let folder: String
  let id: String

  var hostname: String { folder + "/hostname" }
  var hosts: String { folder + "/hosts" }
  var resolvConf: String { folder + "/resolv.conf" }
  var log: String { "\(folder)/\(id)-json.log" }
  var commitMark: String { folder + "/committing" }
  var checkpoints: String { folder + "/checkpoints" }
  var localLog: String { "\(folder)/\(id)-local.log" }
  var cachedLog: String { "\(folder)/\(id)-cached.log" }

  /// Makes the folder (0710, so that the container's user reaches nothing but what is bound) and the three files.
  func create(hostname: String, domainname: String, extraHosts: [String], dns: Resolver, hostNetwork: Bool) throws {
    guard mkdir(folder, 0o710) == 0 || errno == EEXIST else { throw SmallFile.failure("create", folder) }
    let fullName = domainname.isEmpty ? hostname : "\(hostname).\(domainname)"
    try SmallFile.write(fullName + "\n", to: self.hostname)
    try SmallFile.write(try ContainerFiles.hostsText(extraHosts, hostNetwork: hostNetwork), to: hosts)
    try SmallFile.write(dns.text(), to: resolvConf)
  }

  /// Takes the folder and everything in it away; what is gone already is fine.
  func remove() throws {
    guard let names = try? Files.list(folder) else {
      if access(folder, F_OK) != 0 { return }
      throw SmallFile.failure("list", folder)
    }
    for name in names where name != "." && name != ".." { unlink("\(folder)/\(name)") }
    try Folders.removeTree(checkpoints)
    if rmdir(folder) != 0, errno != ENOENT { throw SmallFile.failure("remove", folder) }
  }

  private static let hostsOfLoopback = """
    127.0.0.1\tlocalhost
    ::1\tlocalhost ip6-localhost ip6-loopback
    fe00::\tip6-localnet
    ff00::\tip6-mcastprefix
    ff02::1\tip6-allnodes
    ff02::2\tip6-allrouters

    """

  /// /etc/hosts: the host's own with the host's network, else the loopback names; then `NAME:ADDRESS` entries.
  static func hostsText(_ extra: [String], hostNetwork: Bool) throws -> String {
    var text = hostNetwork ? (try? SmallFile.read("/etc/hosts")) ?? hostsOfLoopback : hostsOfLoopback
    for entry in extra {
      let separator = entry.firstIndex(of: "=") ?? entry.firstIndex(of: ":")
      guard let separator, separator != entry.startIndex, entry.index(after: separator) != entry.endIndex,
        !entry.contains(where: \.isNewline), !entry.contains(" "), !entry.contains("\t")
      else { throw Fault(.invalidArgument, "ExtraHosts: \"\(entry)\" is not NAME:ADDRESS") }
      text += "\(entry[entry.index(after: separator)...])\t\(entry[..<separator])\n"
    }
    return text
  }
}

/// What a container's /etc/resolv.conf says.
struct Resolver: Sendable, Equatable {
  var servers: [String] = []
  var search: [String] = []
  var options: [String] = []

  /// The host's file, with what was asked for in its place.
  func text() -> String {
    let host = (try? SmallFile.read("/etc/resolv.conf")) ?? ""
    if servers.isEmpty, search.isEmpty, options.isEmpty { return host }
    var lines = host.split(separator: "\n").map(String.init).filter { line in
      !(line.hasPrefix("nameserver") && !servers.isEmpty) && !(line.hasPrefix("search") && !search.isEmpty)
        && !(line.hasPrefix("options") && !options.isEmpty) && !line.hasPrefix("#")
    }
    lines += servers.map { "nameserver \($0)" }
    if !search.isEmpty, search != ["."] { lines.append("search " + search.joined(separator: " ")) }
    if !options.isEmpty { lines.append("options " + options.joined(separator: " ")) }
    return lines.joined(separator: "\n") + "\n"
  }
}
