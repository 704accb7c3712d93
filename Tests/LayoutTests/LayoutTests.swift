import Foundation
import Testing

/// What README and DESIGN say of the tree must stay true of it.
@Suite struct LayoutTests {
  static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  static func text(_ path: String) throws -> String {
    try String(contentsOf: repository.appending(path: path), encoding: .utf8)
  }

  /// The targets of a layer as the manifest declares them.
  static func layers() throws -> [[String]] {
    let manifest = try text("Package.swift")
    return try ["layer0", "layer1", "layer2", "services", "layer3"].map { layer in
      let start = try #require(manifest.range(of: "let \(layer): [Target] = ["))
      let end = try #require(manifest.range(of: "\n]\n", range: start.upperBound..<manifest.endIndex))
      let block = manifest[start.upperBound..<end.lowerBound]
      let name = /(?:library|service|systemLibrary|executableTarget|target)\(\s*(?:name: )?"([A-Za-z-]+)"/
      return block.matches(of: name).map { String($0.output.1) }
    }
  }

  /// The folder of a target's sources.
  static func folder(_ target: String) -> String {
    let services = [
      "GatewayDaemon": "Gateway", "ImageDaemon": "Image", "SnapshotDaemon": "Snapshot", "TaskDaemon": "Task",
      "gantryd": "gantryd", "gantry-shim": "Shim", "gantry-logger": "Logger",
      "gantry-runtime": "Runtime",
    ]
    if let service = services[target] { return "Services/\(service)" }
    let examples = ["task-example": "", "image-example": "/image", "snapshot-example": "/snapshot"]
    if let example = examples[target] { return "Protocols/swift" + example }
    return target == "TestSupport" ? "Tests/TestSupport" : "Sources/\(target)"
  }

  static func imports(of target: String) throws -> Set<String> {
    let folder = repository.appending(path: folder(target))
    let files = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
    var found: Set<String> = []
    for case let file as URL in files where file.pathExtension == "swift" {
      let source = try String(contentsOf: file, encoding: .utf8)
      for match in source.matches(
        of: /(?m)^(?:@[a-z]+ )?(?:public |internal |package )?import (?:struct |enum )?([A-Za-z_]+)/)
      {
        found.insert(String(match.output.1))
      }
    }
    return found
  }

  @Test func everyImportPointsToALowerLayer() throws {
    let layers = try Self.layers()
    #expect(layers.allSatisfy { !$0.isEmpty })
    var layerOf: [String: Int] = [:]
    for (index, targets) in layers.enumerated() { for target in targets { layerOf[target] = index } }
    for (index, targets) in layers.enumerated() {
      var earlier = Set(layers[..<index].joined())
      for target in targets {
        for module in try Self.imports(of: target) where layerOf[module] != nil {
          #expect(earlier.contains(module), "\(target) imports \(module), which is not above it in Package.swift")
        }
        earlier.insert(target)
      }
    }
  }

  @Test func servicesDoNotImportEachOther() throws {
    let allowed = [
      "GatewayDaemon": "Engine", "ImageDaemon": "Images", "SnapshotDaemon": "Snapshots", "TaskDaemon": "Tasks",
    ]
    for (service, own) in allowed {
      let imports = try Self.imports(of: service)
      for other in allowed.values where other != own {
        #expect(
          !imports.contains(other), "\(service) imports \(other): services meet only in Gateway, over their sockets")
      }
    }
  }

  @Test func theWayOfRunNamesFilesThatExist() throws {
    let readme = try Self.text("README.md")
    let start = try #require(readme.range(of: "## The way of `run`"))
    let section = readme[start.upperBound...].prefix { _ in true }
    let end = section.range(of: "\n## ")?.lowerBound ?? section.endIndex
    let paths = section[..<end].matches(of: /`((?:Sources|Services|Protocols)\/[A-Za-z0-9_.\/-]+)`/).map {
      String($0.output.1)
    }
    #expect(paths.count >= 8)
    for path in paths {
      #expect(
        FileManager.default.fileExists(atPath: Self.repository.appending(path: path).path), "README names \(path)")
    }
  }

  @Test func theTopLevelHoldsWhatTheDesignNames() throws {
    let allowed: Set = [
      "Package.swift", "README.md", "LICENSE", "Sources", "Services", "Protocols", "Tests", "deploy", ".ci", ".git",
      ".gitignore", ".swift-format", "Package.resolved",
    ]
    let entries = try FileManager.default.contentsOfDirectory(atPath: Self.repository.path)
    let extra = Set(entries).subtracting(allowed).filter { !$0.hasPrefix(".build") }
    #expect(extra.isEmpty, "not in the layout: \(extra)")
  }

  /// ICU weighs more than 40 MB: an executable that linked full Foundation cannot be this small.
  @Test(arguments: ["gantry", "gantry-shim", "gantry-runtime"])
  func programsThatStartForEveryContainerCarryNoICU(program: String) async throws {
    let environment = ProcessInfo.processInfo.environment["GANTRY_TEST_BINARIES"]
    let folder = environment.map { URL(filePath: $0) } ?? Self.repository.appending(path: ".build-release/release")
    let binary = folder.appending(path: program)
    try #require(
      FileManager.default.fileExists(atPath: binary.path), "no \(program) in \(folder.path): run deploy/lib/build")
    let stripped = FileManager.default.temporaryDirectory.appending(path: "\(program)-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: stripped) }
    let strip = try Process.run(URL(filePath: "/usr/bin/strip"), arguments: ["-o", stripped.path, binary.path])
    strip.waitUntilExit()
    #expect(strip.terminationStatus == 0)
    let size = try #require(try FileManager.default.attributesOfItem(atPath: stripped.path)[.size] as? Int)
    #expect(size < 20_000_000, "\(program) is \(size) bytes stripped: full Foundation was linked")
  }
}
