import Glibc
import Linux
import OCI
import Seccomp
import Testing

/// The runtime's own calls between the filter and exec must pass Docker's profile, for every kind of start.
@Suite(.enabled(if: geteuid() == 0, "needs root: it makes namespaces and mounts"))
struct ProfileTests {
  let box: Box
  let filter: [UInt8]

  init() throws {
    box = try Box()
    #if arch(arm64)
      let architecture = "arm64"
    #else
      let architecture = "amd64"
    #endif
    let section = try DockerProfile.standard().section(
      capabilities: Set(Box.capabilities),
      kernel: (KernelFeatures.version.major, KernelFeatures.version.minor), architecture: architecture)
    filter = try SeccompCompiler.compile(section).bytes
  }

  @Test(arguments: [false, true], [false, true])
  func everyKindOfStartPasses(_ useInit: Bool, _ noNewPrivileges: Bool) throws {
    let result = try box.sh("grep Seccomp: /proc/self/status; (sleep 0.01 &); mount -t tmpfs x /tmp; id -un") {
      $0.filter = filter
      $0.useInit = useInit
      $0.hold = useInit
      $0.spec.process?.noNewPrivileges = noNewPrivileges
      $0.spec.process?.user.username = "ann"
    }
    #expect(result.container.code == 0, "\(result)")
    #expect(result.lines.first == "Seccomp:\t2")
    #expect(result.output?.contains("mount: permission denied") == true, "\(result)")
    #expect(result.lines.last == "ann")
  }

  @Test func execAndTerminalsPass() throws {
    var job = box.job(["sh", "-c", "tty; usleep 300000"])
    job.filter = filter
    job.spec.process?.terminal = true
    var shell = Box.process(["sh", "-c", "grep Seccomp: /proc/self/status"])
    shell.terminal = true
    job.execs = [Box.process(["sh", "-c", "exit 4"]), shell]
    let result = try box.run(job)
    #expect(result.execs.map(\.code) == [4, 0], "\(result)")
    #expect(result.output?.contains("Seccomp:\t2") == true, "\(result)")
    #expect(result.output?.contains("/dev/pts/0") == true, "\(result)")
  }
}
