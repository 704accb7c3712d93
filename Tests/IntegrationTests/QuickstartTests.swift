import Foundation
import SystemPackage
import TestSupport
import Testing

/// `deploy/quickstart` as a person runs it, into a prefix of the test's own.
@Suite(.root, .serialized, .timeLimit(.minutes(15)))
struct QuickstartTests {
  static let script = TestEngine.repository.appending("deploy/quickstart").string

  @Test func twiceAndTheSecondChangesNothing() async throws {
    var template = Array("/tmp/g-XXXXXX".utf8CString)
    let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    let arguments = ["--prefix", "\(folder)/p", "--root", "\(folder)/r", "--state", "\(folder)/s"]
    let environment = ["GANTRY_ROOT": "\(folder)/r", "GANTRY_STATE": "\(folder)/s"]
    let gantry = "\(folder)/p/bin/gantry"
    do {
      let first = try await Command.run([Self.script] + arguments, seconds: 800)
      #expect(first.stdout.contains("\nHello from a container\n"))
      let before = try await state(folder, gantry, environment)
      let clock = ContinuousClock()
      let took = try await clock.measure {
        let second = try await Command.run([Self.script] + arguments, seconds: 100)
        #expect(second.stdout.contains("\nHello from a container\n"))
      }
      #expect(took < .seconds(10))
      #expect(try await state(folder, gantry, environment) == before)
    } catch {
      _ = try? await Command.run([gantry, "system", "stop"], environment: environment)
      throw error
    }
    _ = try await Command.run([gantry, "system", "stop"], environment: environment)
    _ = try await Command.shell("rm -rf \(folder)")
  }

  /// What a second run must leave as it is: the programs, the pids of the services, the images.
  func state(_ folder: String, _ gantry: String, _ environment: [String: String]) async throws -> String {
    let programs = try await Command.shell("find \(folder)/p -type f -printf '%p %T@ %s\\n' | sort").stdout
    let pids = try await Command.run(
      [gantry, "system", "status", "--format", "{{.Name}} {{.PID}}"], environment: environment)
    let images = try await Command.run([gantry, "images", "--no-trunc", "-q"], environment: environment)
    return programs + pids.stdout + images.stdout
  }

  @Test func refusesBeforeItChangesAnything() async throws {
    let user = try await Command.run(
      ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", Self.script], expecting: 1)
    #expect(user.stderr.contains("sudo") && user.stderr.split(separator: "\n").count == 1, "\(user)")
    let unknown = try await Command.run([Self.script, "--no-such"], expecting: 1)
    #expect(unknown.stderr.contains("--no-such"))
    let relative = try await Command.run([Self.script, "--prefix", "here"], expecting: 1)
    #expect(relative.stderr.contains("absolute"))
  }

  @Test(arguments: ["4.19.0-27-amd64", "5.11.22"]) func anOldKernelIsRefused(release: String) async throws {
    let output = try await Command.run(
      [
        "bash", "-c",
        "uname() { echo \(release); }; . \(TestEngine.repository)/deploy/lib/preflight; require_kernel",
      ], expecting: 1)
    #expect(output.stderr.contains(release) && output.stderr.contains("5.12"), "\(output)")
  }

  @Test func aMissingToolchainIsRefused() async throws {
    let output = try await Command.run(
      [
        "bash", "-c",
        "command() { [ \"$2\" != swift ]; }; . \(TestEngine.repository)/deploy/lib/preflight; require_swift",
      ], expecting: 1)
    #expect(output.stderr.contains("Swift 6.3"), "\(output)")
  }
}
