import Foundation
public import SystemPackage
public import Testing

/// A whole engine of a test's own: its services, its root and its state in one temporary folder, beside whatever else runs.
///
/// `@Suite(.engine)` starts one for all tests of a suite and ends it after the last; the tests reach it as `TestEngine.current`.
/// What a test makes it names with `name()` and removes itself; what is left at the end fails the suite.
public final class TestEngine: Sendable {
  /// The engine of the suite that runs.
  @TaskLocal public static var current: TestEngine! = nil

  /// The folder of release executables: `GANTRY_TEST_BINARIES`, or where `deploy/lib/build` puts them.
  public static let binaries: FilePath = {
    if let given = ProcessInfo.processInfo.environment["GANTRY_TEST_BINARIES"] { return FilePath(given) }
    return repository.appending(".build-release/release")
  }()

  /// The top of the source tree.
  public static let repository: FilePath = FilePath(#filePath).removingLastComponent().removingLastComponent()
    .removingLastComponent()

  /// Holds everything of this engine: `r` is its root, `s` its state (short, because socket paths are bounded).
  public let folder: FilePath
  /// Where images, layers and containers are kept.
  public let root: FilePath
  /// Where sockets and running containers are kept.
  public var state: FilePath { folder.appending("s") }
  /// Variables that make `gantry` speak to this engine.
  public var environment: [String: String] { ["GANTRY_ROOT": root.string, "GANTRY_STATE": state.string] }

  init(folder: FilePath, root: FilePath?) {
    self.folder = folder
    self.root = root ?? folder.appending("r")
  }

  /// Starts an engine with an empty root.
  ///
  /// - Parameters:
  ///   - image: load `gantry/busybox` (also named `busybox`) into it.
  ///   - root: its root, when not in the engine's own folder.
  ///   - configuration: the text of its `gantry.json`.
  public static func start(
    image: Bool = true, root: FilePath? = nil, configuration: String? = nil
  ) async throws -> TestEngine {
    try #require(
      access(binaries.appending("gantry").string, X_OK) == 0,
      "no executables in \(binaries): run deploy/lib/build first")
    var template = Array("/tmp/g-XXXXXX".utf8CString)
    let made = try #require(mkdtemp(&template).map { String(cString: $0) }, "mkdtemp: \(errno)")
    let engine = TestEngine(folder: FilePath(made), root: root)
    if let configuration { try engine.configure(configuration) }
    try await engine.gantry(
      ["system", "start"] + (configuration == nil ? [] : ["--config", engine.configuration.string]), seconds: 120)
    if image { try await engine.gantry("load", "-q", "-i", TestImage.busybox().string, seconds: 120) }
    return engine
  }

  /// Its `gantry.json`, when it was started with one; certificates and `hosts.toml` are in `certs.d` beside it.
  public var configuration: FilePath { folder.appending("gantry.json") }

  /// Changes its `gantry.json`.
  public func configure(_ text: String) throws {
    try text.write(toFile: configuration.string, atomically: true, encoding: .utf8)
  }

  /// Removes the containers, stops the services and deletes the folder.
  public func stop() async throws {
    let left = try await gantry("ps", "-aq", expecting: nil)
    if !left.lines.isEmpty { try await gantry(["rm", "-f"] + left.lines.map(String.init), expecting: nil) }
    try await gantry("system", "stop", seconds: 60)
    try FileManager.default.removeItem(atPath: folder.string)
  }

  /// Runs `gantry` with `arguments` against this engine.
  @discardableResult
  public func gantry(
    _ arguments: [String], input: String = "", environment extra: [String: String] = [:], expecting: Int32? = 0,
    seconds: Int = 60
  ) async throws -> Output {
    try await Command.run(
      [Self.binaries.appending("gantry").string] + arguments, input: input,
      environment: environment.merging(extra) { $1 }, expecting: expecting, seconds: seconds)
  }

  /// Runs `gantry` with `arguments` against this engine.
  @discardableResult
  public func gantry(
    _ arguments: String..., input: String = "", expecting: Int32? = 0, seconds: Int = 60
  ) async throws -> Output {
    try await gantry(arguments, input: input, expecting: expecting, seconds: seconds)
  }

  /// Runs `gantry run --rm busybox` with `command`.
  @discardableResult
  public func busybox(
    _ flags: [String] = [], _ command: String..., input: String = "", expecting: Int32? = 0
  ) async throws -> Output {
    try await gantry(["run", "--rm"] + flags + ["busybox"] + command, input: input, expecting: expecting)
  }

  /// A name that no other test uses.
  public func name(_ prefix: String = "t") -> String { "\(prefix)-\(String(UInt64.random(in: 0 ... .max), radix: 36))" }

  /// The pid of one of this engine's services, as `system status` tells it.
  public func pid(of service: String) async throws -> Int32 {
    try #require(await pidIfUp(of: service), "\(service) does not run")
  }

  /// The same; nil while the service is down.
  public func pidIfUp(of service: String) async throws -> Int32? {
    let status = try await gantry("system", "status", "--format", "{{.Name}} {{.PID}}", expecting: nil)
    let line = status.lines.first { $0.hasPrefix(service + " ") }
    return line.flatMap { Int32($0.split(separator: " ")[1]) }
  }

  /// Waits until `condition` holds, asking every 20 ms; fails with `what` after `seconds`.
  public func eventually(
    _ what: String, seconds: Double = 10, _ condition: () async throws -> Bool
  ) async throws {
    let end = ContinuousClock.now + .seconds(seconds)
    while try await !condition() {
      guard ContinuousClock.now < end else { throw NeverHappened(what: what) }
      try await Task.sleep(for: .milliseconds(20))
    }
  }
}

/// Something that a test waited for and that did not come.
public struct NeverHappened: Error, CustomStringConvertible {
  var what: String
  public var description: String { "never happened: \(what)" }
}

/// Starts a `TestEngine` for a suite.
public struct EngineTrait: SuiteTrait, TestScoping {
  public func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    let engine = try await TestEngine.start()
    do {
      try await TestEngine.$current.withValue(engine) { try await function() }
    } catch {
      try? await engine.stop()
      throw error
    }
    try await engine.stop()
  }
}

extension Trait where Self == EngineTrait {
  /// Gives the suite an engine of its own.
  public static var engine: Self { EngineTrait() }
}

extension Trait where Self == ConditionTrait {
  /// Runs only as root, as everything that makes namespaces and mounts must.
  public static var root: Self { .enabled(if: geteuid() == 0, "needs root: it makes namespaces and mounts") }
}

/// Images for tests, made once a run and kept in a cache folder.
public enum TestImage {
  static let cache = FilePath("/tmp/gantry-test-images")

  /// A docker-archive of `gantry/busybox`, also named `busybox`.
  public static func busybox() async throws -> FilePath {
    try await made("busybox.tar") { path in
      _ = try await Command.run([TestEngine.repository.appending("deploy/make-busybox-image").string, path.string])
    }
  }

  /// The file `name` of the cache; when it is not there, `make` writes it, and it appears whole or not at all.
  public static func made(_ name: String, _ make: (FilePath) async throws -> Void) async throws -> FilePath {
    let path = cache.appending(name)
    if access(path.string, R_OK) == 0 { return path }
    try FileManager.default.createDirectory(atPath: cache.string, withIntermediateDirectories: true)
    let temporary = cache.appending("\(name).\(getpid()).\(UInt32.random(in: 0 ... .max))")
    try await make(temporary)
    guard rename(temporary.string, path.string) == 0 else { throw Errno(rawValue: errno) }
    return path
  }
}
