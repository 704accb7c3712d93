public import Faults
import FoundationEssentials
public import OCI

/// A system-call profile in the form that Docker takes for `--security-opt seccomp=FILE`: OCI's `linux.seccomp` section
/// with an architecture map, and rules that apply only with certain capabilities, architectures or kernels.
public struct DockerProfile: Sendable, Equatable {
  private var document: Document

  /// The profile that containers get when they ask for none: moby's, embedded in the binary. Parsed once.
  public static func standard() throws(Fault) -> DockerProfile { try embedded.get() }

  private static let embedded: Result<DockerProfile, Fault> = {
    do throws(Fault) {
      return .success(try DockerProfile(json: PackageResources.seccomp_default_json))
    } catch {
      return .failure(error)
    }
  }()

  /// Reads a profile. Fails with `invalidArgument` when `json` is no profile, or is larger than 1 MiB.
  public init(json: [UInt8]) throws(Fault) {
    guard json.count <= 1 << 20 else {
      throw Fault(.limitExceeded, "the seccomp profile has \(json.count) bytes; 1 MiB is the most")
    }
    do {
      document = try JSONDecoder().decode(Document.self, from: Data(json))
    } catch {
      throw Fault(.invalidArgument, "the seccomp profile is not valid: \(error)")
    }
    if document.architectures != nil && document.archMap?.isEmpty == false {
      throw Fault(.invalidArgument, "the seccomp profile has both \"architectures\" and \"archMap\"; use one of them")
    }
  }

  /// The OCI section for a container with these properties.
  ///
  /// - Parameters:
  ///   - capabilities: the bounding set, in names such as `CAP_SYS_ADMIN`.
  ///   - kernel: major and minor of the running kernel.
  ///   - architecture: the machine in Go's names, such as `amd64` or `arm64`.
  public func section(
    capabilities: Set<String>, kernel: (major: Int, minor: Int), architecture: String
  ) throws(Fault) -> RuntimeSpec.Seccomp {
    var architectures = document.architectures
    if let native = Architecture.nativeName(go: architecture),
      let entry = document.archMap?.first(where: { $0.architecture == native })
    {
      architectures = [entry.architecture] + (entry.subArchitectures ?? [])
    }
    var rules: [RuntimeSpec.SeccompRule] = []
    for rule in document.syscalls ?? [] {
      if let includes = rule.includes, try !includes.holds(all: capabilities, kernel, architecture) { continue }
      if let excludes = rule.excludes, try excludes.holds(any: capabilities, kernel, architecture) { continue }
      guard rule.name == nil || rule.names?.isEmpty != false else {
        throw Fault(.invalidArgument, "a rule of the seccomp profile has both \"name\" and \"names\"; use one of them")
      }
      rules.append(
        RuntimeSpec.SeccompRule(
          names: rule.name.map { [$0] } ?? rule.names ?? [], action: rule.action, errnoRet: rule.errnoRet,
          args: rule.args?.isEmpty == false ? rule.args : nil))
    }
    return RuntimeSpec.Seccomp(
      defaultAction: document.defaultAction, defaultErrnoRet: document.defaultErrnoRet, flags: document.flags,
      listenerPath: document.listenerPath, listenerMetadata: document.listenerMetadata, architectures: architectures,
      syscalls: rules)
  }
}

extension DockerProfile {
  /// The file as it is.
  private struct Document: Codable, Equatable {
    var defaultAction: String
    var defaultErrnoRet: UInt32?
    var flags: [String]?
    var listenerPath: String?
    var listenerMetadata: String?
    var architectures: [String]?
    var archMap: [ArchitectureEntry]?
    var syscalls: [Rule]?
  }

  private struct ArchitectureEntry: Codable, Equatable {
    var architecture: String
    var subArchitectures: [String]?
  }

  private struct Rule: Codable, Equatable {
    var name: String?
    var names: [String]?
    var action: String
    var errnoRet: UInt32?
    var args: [RuntimeSpec.SeccompArgument]?
    var includes: Condition?
    var excludes: Condition?
  }

  /// When a rule applies (`includes`: all parts hold) or not (`excludes`: any part holds).
  private struct Condition: Codable, Equatable {
    var caps: [String]?
    var arches: [String]?
    var minKernel: String?

    func holds(
      all capabilities: Set<String>, _ kernel: (major: Int, minor: Int), _ architecture: String
    ) throws(Fault) -> Bool {
      if let arches, !arches.isEmpty, !arches.contains(architecture) { return false }
      if let caps, !caps.allSatisfy(capabilities.contains) { return false }
      if let minKernel, try !Self.reached(minKernel, kernel) { return false }
      return true
    }

    func holds(
      any capabilities: Set<String>, _ kernel: (major: Int, minor: Int), _ architecture: String
    ) throws(Fault) -> Bool {
      if let arches, arches.contains(architecture) { return true }
      if let caps, caps.contains(where: capabilities.contains) { return true }
      if let minKernel, try Self.reached(minKernel, kernel) { return true }
      return false
    }

    private static func reached(_ text: String, _ kernel: (major: Int, minor: Int)) throws(Fault) -> Bool {
      let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
      guard parts.count == 2, let major = parts[0], let minor = parts[1] else {
        throw Fault(.invalidArgument, "the seccomp profile's minKernel \"\(text)\" is no version such as 4.8")
      }
      return (kernel.major, kernel.minor) >= (major, minor)
    }
  }
}
