import Faults
import Foundation
import Yams

/// A file of the Container Device Interface (https://github.com/cncf-tags/container-device-interface, version 1.1): what a
/// vendor's devices need in a container. Fields that are not here are refused where they would change the container.
struct CDISpec: Codable, Sendable, Equatable {
  var cdiVersion: String
  /// `vendor.com/class`.
  var kind: String
  var devices: [Device]
  /// For a container that gets any of the devices.
  var containerEdits: Edits?

  struct Device: Codable, Sendable, Equatable {
    var name: String
    var containerEdits: Edits?
  }

  struct Edits: Codable, Sendable, Equatable {
    var env: [String]?
    var deviceNodes: [Node]?
    var mounts: [Mount]?
    var hooks: [Hook]?
    var additionalGids: [UInt32]?
    var netDevices: [NetDevice]?
    var intelRdt: Unread?
  }

  struct Node: Codable, Sendable, Equatable {
    var path: String
    var hostPath: String?
    var type: String?
    var major: Int64?
    var minor: Int64?
    var fileMode: UInt32?
    /// Of `rwm`.
    var permissions: String?
    var uid: UInt32?
    var gid: UInt32?
  }

  struct Mount: Codable, Sendable, Equatable {
    var hostPath: String
    var containerPath: String
    var options: [String]?
    var type: String?
  }

  struct Hook: Codable, Sendable, Equatable {
    var hookName: String
    var path: String
    var args: [String]?
    var env: [String]?
    var timeout: Int?
  }

  struct NetDevice: Codable, Sendable, Equatable {
    var hostInterfaceName: String
    var name: String
  }

  /// Something that is there and is not looked into.
  struct Unread: Codable, Sendable, Equatable {}

  /// The largest file that is read.
  private static let limit = 4 << 20

  /// Reads the file at `path`: JSON when its name says so, else YAML.
  init(path: String) throws {
    let text = try SmallFile.read(path, limit: Self.limit)
    do {
      self =
        path.hasSuffix(".json")
        ? try JSONDecoder().decode(CDISpec.self, from: Data(text.utf8))
        : try YAMLDecoder().decode(CDISpec.self, from: text)
    } catch {
      throw Fault(.invalidArgument, "\(path) is no CDI specification", cause: ["\(error)"])
    }
    guard CDIName.isKind(kind), !devices.isEmpty, devices.allSatisfy({ CDIName.isDevice($0.name) }) else {
      throw Fault(
        .invalidArgument,
        "\(path) is no CDI specification: \"\(kind)\" is no kind, or a device of it has no proper name")
    }
  }
}

/// `vendor.com/class=name`.
struct CDIName: Sendable, Equatable, Hashable, CustomStringConvertible {
  var kind: String
  var device: String

  var description: String { "\(kind)=\(device)" }

  /// Reads a qualified name; nil when it is none.
  init?(_ text: String) {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, Self.isKind(parts[0]), Self.isDevice(parts[1]) else { return nil }
    kind = parts[0]
    device = parts[1]
  }

  init(kind: String, device: String) {
    self.kind = kind
    self.device = device
  }

  static func isKind(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count == 2 && isWord(parts[0], also: "_-.") && isWord(parts[1], also: "_-.")
      && parts.allSatisfy { $0.first?.isLetter ?? false }
  }

  static func isDevice(_ text: String) -> Bool { isWord(text[...], also: "_-.:") }

  private static func isWord(_ text: Substring, also: String) -> Bool {
    guard let first = text.first, let last = text.last else { return false }
    func alphanumeric(_ character: Character) -> Bool {
      character.isASCII && (character.isLetter || character.isNumber)
    }
    return alphanumeric(first) && alphanumeric(last) && text.allSatisfy { alphanumeric($0) || also.contains($0) }
  }
}
