import Foundation
import TestSupport
import Testing

extension SecurityTests {
  @Test("Health: a link in the container leads a file probe to nothing of the machine's")
  func fileProbeStaysInside() async throws {
    let name = engine.name("probe")
    let target = engine.folder.appending("s").string  // exists on the machine and in no container
    try await engine.gantry(
      "run", "-d", "--name", name, "--health-cmd", "file:///link", "--health-interval", "50ms", "--health-retries",
      "2", "busybox", "sh", "-c", "ln -s /../../../../../..\(target) /link; exec sleep 1000")
    try await engine.eventually("the probe has found nothing") {
      try await engine.gantry("inspect", "-f", "{{.State.Health.Status}}", name).trimmed == "unhealthy"
    }
    // A magic link of /proc is followed for nobody.
    try await engine.gantry("exec", name, "sh", "-c", "rm /link; ln -s /proc/1/root/bin /link")
    let last = try await engine.gantry("inspect", "-f", "{{.State.Health.Status}}", name).trimmed
    #expect(last == "unhealthy")
    try await engine.gantry("rm", "-f", name)
  }

  @Test(
    "Health: what answers a probe cannot flood, hang or paint the engine",
    arguments: [
      ("a line without end", "yes | tr -d '\\n'", "unhealthy"),
      ("nothing at all", "sleep 1000", "unhealthy"),
      ("another language", "echo SSH-2.0-OpenSSH", "unhealthy"),
      ("words for a terminal", "printf 'HTTP/1.1 200 \\033[31mred\\007\\r\\n\\r\\n'", "healthy"),
    ])
  func answersOfProbesAreHarmless(what: String, command: String, verdict: String) async throws {
    let name = engine.name("probe")
    try await engine.gantry(
      "run", "-d", "--name", name, "--health-cmd", "http://:81/", "--health-interval", "100ms", "--health-timeout",
      "300ms", "--health-retries", "3", "busybox", "sh", "-c",
      "while :; do (\(command)) | nc -l -p 81 >/dev/null; done")
    try await engine.eventually("the verdict on \(what) is \(verdict)", seconds: 20) {
      try await engine.gantry("inspect", "-f", "{{.State.Health.Status}}", name).trimmed == verdict
    }
    let log = try await engine.gantry("inspect", "-f", "{{json .State.Health.Log}}", name).stdout
    #expect(log.utf8.count < 8000 && !log.contains("\\u001b") && !log.contains("\u{1B}"))
    let pid = try #require(Int32(try await engine.gantry("inspect", "-f", "{{.State.Pid}}", name).trimmed))
    let shim = try await Command.shell("awk '{print $4}' /proc/\(pid)/stat").trimmed
    let open = try await Command.shell("ls /proc/\(shim)/fd | wc -l").trimmed
    #expect(Int(open) ?? 99 < 40, "probes leave descriptors behind")
    try await engine.gantry("rm", "-f", name)
  }
}
