import Foundation
import TestSupport
import Testing

extension SecurityTests {
  @Test("CVE-2026-53488: a newline in HOME, a label or an annotation becomes a line of a file or a log")
  func newlines() async throws {
    let line = "evil:x:0:0::/:/bin/sh"
    let (image, _) = try await load(
      [],
      config: ["Env": ["HOME=/root\n\(line)", "PATH=/bin\n\(line)"], "Labels": .labels(["a\n\(line)": "b\n\(line)"])])
    let name = engine.name()
    try await engine.gantry(
      "run", "-d", "--name", name, "--label", "x=y\n\(line)", "--annotation", "n=v\n\(line)", "-e", "HOME=/\n\(line)",
      "--entrypoint", "/bin/sleep", image, "1000")
    let files = try await engine.gantry(
      "exec", name, "/bin/cat", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    #expect(!files.lines.contains { $0.hasPrefix("evil") }, "\(files)")
    let logs = try await Command.shell("cat \(engine.root)/log/*.log")
    #expect(!logs.lines.contains { $0.hasPrefix("evil") })
    for flags in [
      ["-h", "a\n\(line)"], ["--domainname", "a\n\(line)"], ["--name", "a\n\(line)"], ["-u", "a\n\(line)"],
    ] {
      let refused = try await engine.busybox(flags, "true", expecting: 125)
      #expect(!refused.stdout.contains("evil"), "\(flags)")
    }
    try await engine.gantry("rm", "-f", name)
  }

  @Test("CVE-2026-53488: an image speaks in the engine's own name")
  func reservedLabels() async throws {
    let (image, _) = try await load(
      [],
      config: [
        "Labels": .labels(["gantry.init": "true", "gantry.privileged": "true", "io.gantry.x": "1", "org.x": "stays"])
      ])
    let name = engine.name()
    try await engine.gantry("create", "--name", name, image, "true")
    let labels = try await engine.gantry("inspect", "-f", "{{json .Config.Labels}}", name)
    #expect(labels.trimmed == #"{"org.x":"stays"}"#)
    try await engine.gantry("rm", name)
    for annotation in ["gantry.init=true", "gantry.privileged=true", "io.gantry.x=1"] {
      let refused = try await engine.busybox(["--annotation", annotation], "true", expecting: 125)
      #expect(refused.stderr.contains("belong to the engine"))
    }
  }

  @Test("A container with ids of its own is nobody outside, whatever it may do inside")
  func userNamespace() async throws {
    let name = engine.name()
    try await engine.gantry(
      "run", "-d", "--name", name, "--userns", "auto", "--cap-add", "SYS_ADMIN", "busybox", "sleep", "1000")
    let pid = try await engine.gantry("inspect", "-f", "{{.State.Pid}}", name).trimmed
    let lowest = try await Command.shell(
      "awk '/^[UG]id/ {print $2; print $3; print $4; print $5}' /proc/\(pid)/status | sort -n | head -n 1")
    #expect(Int64(lowest.trimmed).map { $0 > 65536 } == true)
    for attempt in [
      "mknod /disk b 8 0", "echo 1 >/proc/sys/kernel/sysrq", "mount -t ext4 /dev/vda /mnt",
    ] {
      let output = try await engine.gantry("exec", name, "sh", "-c", attempt, expecting: nil)
      #expect(output.status != 0, "\(attempt): \(output)")
    }
    try await engine.gantry("rm", "-f", name)
  }
}
