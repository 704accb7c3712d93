internal import Faults
internal import FoundationEssentials
internal import JSONRPC
internal import Linux
internal import OCI
internal import Protocol
internal import Seccomp
internal import Synchronization

/// Compiled system call filters, by everything that went into them: compiling one takes longer than all the rest of a start.
final class FilterCache: Sendable {
  /// Filters that are kept; a machine has few different ones.
  private static let most = 64

  private let filters = Mutex<[Data: SeccompProgram]>([:])

  /// The filter of a container: that of its specification, else the chosen profile for its capabilities, else none.
  func filter(_ spec: RuntimeSpec, choice: SeccompChoice?) throws(Fault) -> SeccompProgram? {
    if let section = spec.linux?.seccomp {
      return try cached(Self.key("section", section)) { () throws(Fault) in section }
    }
    guard let choice, choice.profile != "unconfined" else { return nil }
    let capabilities = Set(spec.process?.capabilities?.bounding ?? [])
    switch choice.profile {
    case "default":
      return try cached(Self.key("default", capabilities.sorted())) { () throws(Fault) in
        try Self.section(DockerProfile.standard(), capabilities)
      }
    case "custom":
      guard let document = choice.document else {
        throw Fault(.invalidArgument, "a custom seccomp profile was chosen, but there is no document")
      }
      let text = try Self.key("custom", document)
      return try cached(text + Self.key("with", capabilities.sorted())) { () throws(Fault) in
        try Self.section(DockerProfile(json: [UInt8](RPCCoding.encode(document))), capabilities)
      }
    default:
      throw Fault(
        .invalidArgument, "\"\(choice.profile)\" is no seccomp profile: choose default, unconfined or custom")
    }
  }

  private func cached(
    _ key: Data, _ section: () throws(Fault) -> RuntimeSpec.Seccomp
  ) throws(Fault) -> SeccompProgram {
    if let known = filters.withLock({ $0[key] }) { return known }
    let program = try SeccompCompiler.compile(try section())
    filters.withLock { filters in
      if filters.count >= Self.most { filters.removeAll() }
      filters[key] = program
    }
    return program
  }

  private static func section(
    _ profile: DockerProfile, _ capabilities: Set<String>
  ) throws(Fault) -> RuntimeSpec.Seccomp {
    let version = KernelFeatures.version
    let architecture = KernelFeatures.machine == "aarch64" ? "arm64" : "amd64"
    return try profile.section(
      capabilities: capabilities, kernel: (version.major, version.minor), architecture: architecture)
  }

  private static func key(_ kind: String, _ value: some Encodable) throws(Fault) -> Data {
    do {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys]
      return Data("\(kind) ".utf8) + (try encoder.encode(value))
    } catch {
      throw Fault(.internal, "a seccomp profile cannot be written as JSON", cause: ["\(error)"])
    }
  }
}
