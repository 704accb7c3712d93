import Foundation
import SystemPackage
import TestSupport
import Testing

/// The attacks that must fail, on real services; each test is named after the identifier of what it repeats.
@Suite(.engine, .root, .serialized, .timeLimit(.minutes(10)))
struct SecurityTests {
  var engine: TestEngine { TestEngine.current }

  /// One entry of a hostile layer, as `Tests/TestSupport/make-archive` takes it.
  struct Entry: Encodable {
    var name: String
    var type = "file"
    var link: String?
    var mode: String?
    var uid: Int?
    var gid: Int?
    var content: String?
    var major: Int?
    var minor: Int?
  }

  struct Description: Encodable {
    var tag: String
    var config: [String: Value]
    var layers: [[Entry]]
  }

  /// A value of an image's configuration.
  enum Value: Encodable, ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
    case text(String)
    case list([String])
    case map([String: [String: String]])
    case labels([String: String])
    init(stringLiteral value: String) { self = .text(value) }
    init(arrayLiteral elements: String...) { self = .list(elements) }
    init(dictionaryLiteral elements: (String, [String: String])...) {
      self = .map(Dictionary(uniqueKeysWithValues: elements))
    }
    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .text(let text): try container.encode(text)
      case .list(let list): try container.encode(list)
      case .map(let map): try container.encode(map)
      case .labels(let labels): try container.encode(labels)
      }
    }
  }

  /// Makes an archive of busybox with `layers` on top (or of `layers` alone) and loads it; returns the name of the image.
  @discardableResult
  func load(
    _ layers: [[Entry]], config: [String: Value] = [:], onBusybox: Bool = true, expecting: Int32? = 0
  ) async throws -> (image: String, output: Output) {
    let name = engine.name("hostile")
    let archive = engine.folder.appending("\(name).tar")
    let description = Description(tag: "\(name):latest", config: config, layers: layers)
    let json = String(decoding: try JSONEncoder().encode(description), as: UTF8.self)
    let maker = TestEngine.repository.appending("Tests/TestSupport/make-archive").string
    let base = onBusybox ? [try await TestImage.busybox().string] : []
    _ = try await Command.run([maker, archive.string] + base, input: json)
    let output = try await engine.gantry("load", "-q", "-i", archive.string, expecting: expecting)
    try FileManager.default.removeItem(atPath: archive.string)
    return (name, output)
  }

  /// The static program that tries one system call, as a path on the host.
  static func syscalls() async throws -> FilePath {
    try await TestImage.made("syscalls") { path in
      let source = TestEngine.repository.appending("Tests/SecurityTests/Fixtures/syscalls.c")
      _ = try await Command.run(["gcc", "-static", "-O1", "-o", path.string, source.string])
    }
  }

  /// Runs the program above in a container and returns the name of the error, or "allowed".
  func attempt(_ call: String..., flags: [String] = []) async throws -> String {
    let program = try await Self.syscalls()
    return try await engine.gantry(
      ["run", "--rm", "-v", "\(program):/syscalls:ro"] + flags + ["busybox", "/syscalls"] + call
    ).trimmed
  }
}
