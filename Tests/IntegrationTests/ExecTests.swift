import Foundation
import TestSupport
import Testing

extension IntegrationTests {
  /// exec: what it runs as and where, how it ends, and with whom.
  @Suite struct Execs {
    var engine: TestEngine { TestEngine.current }

    private func sleeper(_ flags: String...) async throws -> String {
      let name = engine.name()
      try await engine.gantry(["run", "-d", "--name", name] + flags + ["busybox", "sleep", "1000"])
      return name
    }

    /// Processes of a container as `ps` in it shows them, itself left out.
    private func processes(_ name: String) async throws -> [String] {
      try await engine.gantry("top", name, "-o", "pid,args").lines.dropFirst().map {
        $0.split(separator: " ").dropFirst().joined(separator: " ")
      }
    }

    /// The line of a shell that runs `gantry` with `arguments` in the background and prints its pid.
    private func background(_ arguments: String) -> String {
      let variables = engine.environment.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
      return "\(variables) \(TestEngine.binaries)/gantry \(arguments) </dev/null >/dev/null 2>&1 & echo $!"
    }

    @Test func aKilledClientTakesItsExecWithIt() async throws {
      let name = try await sleeper()
      let client = try await Command.shell(background("exec \(name) sh -c 'sleep 2001 & sleep 2002'"))
      try await engine.eventually("the exec runs") { try await processes(name).count == 3 }
      kill(try #require(Int32(client.trimmed)), SIGKILL)
      try await engine.eventually("the exec and its child are gone", seconds: 3) {
        try await processes(name) == ["sleep 1000"]
      }
      try await engine.gantry("rm", "-f", name)
    }

    @Test func aDetachedExecOutlivesItsClient() async throws {
      let name = try await sleeper()
      try await engine.gantry("exec", "-d", name, "sleep", "2003")
      try await engine.eventually("it runs") { try await processes(name).contains("sleep 2003") }
      try await engine.gantry("rm", "-f", name)
    }

    @Test func theKeysToDetachLeaveItRunning() async throws {
      let name = try await sleeper()
      let variables = engine.environment.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
      let gantry = TestEngine.binaries.appending("gantry")
      // ctrl-x x, typed once the program has said that it runs.
      let typed = try await Command.shell(
        """
        (while ! \(variables) \(gantry) top \(name) | grep -q 'sleep 2004'; do sleep 0.05; done; printf '\\030x') |
          script -qec "\(variables) \(gantry) exec -it --detach-keys ctrl-x,x \(name) sleep 2004" /dev/null
        """, seconds: 30)
      #expect(typed.status == 0)
      #expect(try await processes(name).contains("sleep 2004"))
      try await engine.gantry("rm", "-f", name)
    }

    @Test func whatAnExecLeavesGoesOn() async throws {
      let name = try await sleeper()
      try await engine.gantry("exec", name, "sh", "-c", "sleep 2005 >/dev/null 2>&1 & exit 4", expecting: 4)
      #expect(try await processes(name).sorted() == ["sleep 1000", "sleep 2005"])
      let id = try await engine.gantry("inspect", "-f", "{{.Id}}", name).trimmed
      let left = try await Command.shell("find /sys/fs/cgroup -path '*\(id)/exec.*' -name 'exec.*' | wc -l")
      #expect(left.trimmed == "0")
      try await engine.gantry("rm", "-f", name)
    }

    @Test func limitsOfTheContainerHold() async throws {
      let name = try await sleeper("--pids-limit", "8")
      let forks = try await engine.gantry(
        "exec", name, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done; echo all", expecting: nil)
      #expect(forks.stderr.contains("can't fork") && !forks.stdout.contains("all"), "\(forks)")
      try await engine.gantry("rm", "-f", name)
    }

    @Test func userFolderVariablesAndRights() async throws {
      let name = try await sleeper("-e", "A=container", "-w", "/tmp")
      let file = engine.folder.appending("variables")
      try "# a comment\nB=file\nC=x y\n".write(toFile: file.string, atomically: true, encoding: .utf8)
      let shown = try await engine.gantry(
        "exec", "-u", "1000:2000", "-w", "/", "-e", "C=flag", "--env-file", file.string, name, "sh", "-c",
        "id -u; id -g; pwd; echo $A $B $C")
      #expect(shown.lines == ["1000", "2000", "/", "container file flag"])
      #expect(try await engine.gantry("exec", name, "pwd").trimmed == "/tmp")
      let rights = "grep CapEff /proc/self/status | cut -f2"
      let usual = try await engine.gantry("exec", name, "sh", "-c", rights).trimmed
      let privileged = try await engine.gantry("exec", "--privileged", name, "sh", "-c", rights).trimmed
      let all = try await engine.busybox(["--privileged"], "sh", "-c", rights).trimmed
      #expect(usual == "00000000a80425fb" && privileged == all && privileged != usual, "\(usual) \(privileged)")
      try await engine.gantry("rm", "-f", name)
    }

    @Test func exitCodes() async throws {
      let name = try await sleeper()
      try await engine.gantry("exec", name, "sh", "-c", "exit 42", expecting: 42)
      try await engine.gantry("exec", name, "sh", "-c", "kill -9 $$", expecting: 137)
      try await engine.gantry("exec", name, "nosuch", expecting: 127)
      try await engine.gantry("exec", name, "/etc", expecting: 126)
      try await engine.gantry("exec", "nosuch", "true", expecting: 1)
      try await engine.gantry("rm", "-f", name)
    }
  }
}
