import Foundation
import OCI
import SystemPackage
import TestSupport
import Testing

/// A bundle with busybox in a folder of its own, the runtime's root beside it, and the runtime to call on them.
final class Bundle: Sendable {
  let folder: FilePath
  var root: FilePath { folder.appending("run") }
  var rootfs: FilePath { folder.appending("bundle/rootfs") }
  var path: FilePath { folder.appending("bundle") }
  /// A name that no other test's container has: cgroups are named after it.
  let id: String

  static let executable = TestEngine.binaries.appending("gantry-runtime")

  private init(_ folder: FilePath) {
    self.folder = folder
    id = "t" + String(UInt64.random(in: 0 ... .max), radix: 36)
  }

  /// Makes one, hands it to `body`, and then removes it; a container, cgroup or file that is left is a failure.
  static func with(_ body: (Bundle) async throws -> Void) async throws {
    try #require(access(executable.string, X_OK) == 0, "no \(executable): run deploy/lib/build first")
    var template = Array("/dev/shm/gantry-runtime-XXXXXX".utf8CString)
    let made = try #require(mkdtemp(&template).map { String(cString: $0) })
    let bundle = Bundle(FilePath(made))
    try await bundle.fill()
    do {
      try await body(bundle)
    } catch {
      try? await bundle.clean()
      throw error
    }
    try await bundle.clean()
  }

  private func fill() async throws {
    _ = try await Command.shell(
      """
      mkdir -p \(rootfs)/bin \(rootfs)/etc \(rootfs)/proc \(rootfs)/sys \(rootfs)/dev \(rootfs)/tmp
      cp /bin/busybox \(rootfs)/bin/busybox
      for name in $(/bin/busybox --list); do [ $name = busybox ] || ln -s busybox \(rootfs)/bin/$name; done
      echo root:x:0:0::/root:/bin/sh >\(rootfs)/etc/passwd
      """)
  }

  private func clean() async throws {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: root.string)) ?? [] where !name.hasPrefix(".") {
      try await runtime("delete", "--force", name)
    }
    let cgroups = try await Command.shell("find /sys/fs/cgroup -maxdepth 3 -name '*\(id)*' || true")
    #expect(cgroups.stdout.isEmpty, "cgroups are left: \(cgroups.stdout)")
    try FileManager.default.removeItem(atPath: folder.string)
  }

  /// Writes config.json: what `gantry-runtime spec` writes, without a terminal, running `arguments`, and changed.
  func describe(_ arguments: [String], _ change: (inout RuntimeSpec) -> Void = { _ in }) async throws {
    let file = path.appending("config.json").string
    try? FileManager.default.removeItem(atPath: file)
    try await runtime("spec", "--bundle", path.string)
    var spec = try JSONDecoder().decode(RuntimeSpec.self, from: Data(contentsOf: URL(filePath: file)))
    spec.process?.terminal = false
    spec.process?.args = arguments
    spec.process?.env = ["PATH=/bin"]
    spec.root?.readonly = false
    change(&spec)
    try JSONEncoder().encode(spec).write(to: URL(filePath: file))
  }

  /// Calls the runtime.
  @discardableResult
  func runtime(_ words: String..., input: String = "", expecting: Int32? = 0) async throws -> Output {
    try await runtime(words, input: input, expecting: expecting)
  }

  /// Calls the runtime.
  @discardableResult
  func runtime(_ words: [String], input: String = "", expecting: Int32? = 0) async throws -> Output {
    try await Command.run(
      [Self.executable.string, "--root", root.string] + words, input: input, expecting: expecting)
  }

  /// `gantry-runtime --root ROOT` for use in a shell script.
  var command: String { "\(Self.executable) --root \(root)" }

  /// Describes and runs a shell script to its end.
  @discardableResult
  func sh(
    _ script: String, expecting: Int32? = 0, _ change: (inout RuntimeSpec) -> Void = { _ in }
  ) async throws -> Output {
    try await describe(["sh", "-c", script], change)
    return try await runtime("run", "--bundle", path.string, id, expecting: expecting)
  }

  /// Makes and starts a container that sleeps.
  func sleeper(_ change: (inout RuntimeSpec) -> Void = { _ in }) async throws {
    try await describe(["sleep", "1000"], change)
    try await create()
    try await runtime("start", id)
  }

  /// Makes a container whose output goes nowhere: what it keeps open would keep the caller waiting for an end of input.
  func create(_ flags: [String] = []) async throws {
    let log = folder.appending("create.log")
    let words = flags.joined(separator: " ")
    do {
      _ = try await Command.shell(
        "\(command) --log \(log) create --bundle \(path) \(words) \(id) </dev/null >/dev/null 2>&1")
    } catch {
      throw Failed(text: (try? String(contentsOfFile: log.string, encoding: .utf8)) ?? "\(error)")
    }
  }

  /// What `state` says.
  func state() async throws -> [String: Any] {
    let output = try await runtime("state", id)
    return try JSONSerialization.jsonObject(with: Data(output.stdout.utf8)) as? [String: Any] ?? [:]
  }

  func status() async throws -> String? { try await state()["status"] as? String }

  struct Failed: Error, CustomStringConvertible {
    var text: String
    var description: String { text }
  }
}

/// Waits until `condition` holds, asking every 20 ms.
func eventually(_ what: String, seconds: Double = 10, _ condition: () async throws -> Bool) async throws {
  let end = ContinuousClock.now + .seconds(seconds)
  while try await !condition() {
    try #require(ContinuousClock.now < end, "never happened: \(what)")
    try await Task.sleep(for: .milliseconds(20))
  }
}
