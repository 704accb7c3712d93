import Faults
import Protocol
import Testing

@testable import CLI

/// What the flags of `run` become on the wire, and what its ends mean.
@Suite struct RequestTests {
  private func request(_ words: String...) throws -> ContainerRequest {
    var command = Run()
    var reader = FlagReader(Run.flags, stopsAtOperand: true)
    try reader.read(words, into: &command)
    try command.take(operands: reader.operands)
    return try ContainerRequest(command.container, attach: command.container.attachStreams(detached: command.detached))
  }

  @Test func theDefaultsAreEmpty() throws {
    let request = try request("busybox")
    #expect(request.config.image == "busybox" && request.config.cmd == nil && request.config.env == nil)
    #expect(request.config.attachStdout == true && request.config.attachStdin == false)
    var empty = GatewayAPI.HostConfig()
    empty.networkMode = "none"
    #expect(request.hostConfig == empty)
  }

  @Test func everythingArrives() throws {
    let request = try request(
      "-it", "--rm", "-e", "A=1", "-w", "/w", "-u", "1:2", "-h", "box", "--entrypoint", "echo", "--label", "a=1", "-l",
      "b",
      "-m", "64m", "--memory-swap=-1", "--cpus", "0.5", "--cpuset-cpus", "0", "--pids-limit", "50", "--cap-add",
      "NET_RAW",
      "--cap-drop", "ALL", "--privileged", "--security-opt", "no-new-privileges", "--security-opt",
      "seccomp=unconfined",
      "--ulimit", "nofile=1:2", "--read-only", "--init", "--network", "host", "-v", "/a:/b:ro", "--tmpfs", "/t:size=1m",
      "--mount", "type=bind,src=/c,dst=/d,readonly", "--stop-signal", "USR1", "--stop-timeout", "3", "--sysctl",
      "a.b=1",
      "--shm-size", "1m", "--group-add", "7", "--device", "/dev/null:/dev/x:r", "--expose", "80", "--oom-score-adj",
      "5",
      "image", "sh", "-c", "echo $A")
    let config = request.config
    #expect(config.tty == true && config.openStdin == true && config.stdinOnce == true)
    #expect(config.env == ["A=1"] && config.workingDir == "/w" && config.user == "1:2" && config.hostname == "box")
    #expect(config.entrypoint == ["echo"] && config.cmd == ["sh", "-c", "echo $A"])
    #expect(config.labels == ["a": "1", "b": ""] && config.stopSignal == "USR1" && config.stopTimeout == 3)
    #expect(config.exposedPorts?.keys.sorted() == ["80/tcp"])
    let host = request.hostConfig
    #expect(host.autoRemove == true && host.memory == 64 << 20 && host.memorySwap == -1 && host.nanoCpus == 500_000_000)
    #expect(host.cpusetCpus == "0" && host.pidsLimit == 50 && host.capAdd == ["NET_RAW"] && host.capDrop == ["ALL"])
    #expect(host.privileged == true && host.securityOpt == ["no-new-privileges", "seccomp=unconfined"])
    #expect(host.ulimits == [.init(name: "nofile", soft: 1, hard: 2)] && host.readonlyRootfs == true)
    #expect(host.`init` == true && host.networkMode == "host" && host.binds == ["/a:/b:ro"])
    #expect(host.tmpfs == ["/t": "size=1m"] && host.sysctls == ["a.b": "1"] && host.shmSize == 1 << 20)
    #expect(host.mounts == [.init(target: "/d", source: "/c", type: .bind, readOnly: true)])
    #expect(host.groupAdd == ["7"] && host.oomScoreAdj == 5)
    #expect(host.devices == [.init(pathOnHost: "/dev/null", pathInContainer: "/dev/x", cgroupPermissions: "r")])
  }

  @Test func volumesArrive() throws {
    let request = try request(
      "-v", "/anonymous", "-v", "data:/data:ro", "--volumes-from", "other:ro", "--volume-driver", "local", "--mount",
      "src=named,dst=/n,volume-nocopy,volume-label=a=b,volume-opt=type=tmpfs,volume-subpath=s", "--mount",
      "type=image,src=img,dst=/i,image-subpath=bin", "image")
    #expect(request.config.volumes?.keys.sorted() == ["/anonymous"])
    let host = request.hostConfig
    #expect(host.binds == ["data:/data:ro"] && host.volumesFrom == ["other:ro"] && host.volumeDriver == "local")
    #expect(
      host.mounts == [
        .init(
          target: "/n", source: "named", type: .volume,
          volumeOptions: .init(
            noCopy: true, labels: ["a": "b"], driverConfig: .init(options: ["type": "tmpfs"]), subpath: "s")),
        .init(target: "/i", source: "img", type: .image, imageOptions: .init(subpath: "bin")),
      ])
  }

  @Test func systempathsAreClearedByTheirOption() throws {
    let host = try request("--security-opt", "systempaths=unconfined", "image").hostConfig
    #expect(host.maskedPaths == [] && host.readonlyPaths == [] && host.securityOpt == nil)
  }

  @Test func aMissingFileIsOurFailure() {
    for flag in ["--env-file", "--label-file"] {
      let failure = #expect(throws: CommandFailure.self) { try request(flag, "/no/such/file", "image") }
      #expect(failure?.message.contains("/no/such/file") == true && failure?.code == 125)
    }
    #expect(throws: CommandFailure.self) { try request("--security-opt", "seccomp=/no/such", "image") }
  }

  @Test func detachedAndChosenStreams() throws {
    var flags = ContainerFlags()
    flags.interactive = true
    #expect(flags.attachStreams(detached: true) == AttachStreams(stdin: false, stdout: false, stderr: false))
    #expect(flags.attachStreams(detached: false) == AttachStreams(stdin: true, stdout: true, stderr: true))
    flags.attach = ["stderr"]
    #expect(flags.attachStreams(detached: false) == AttachStreams(stdin: false, stdout: false, stderr: true))
    #expect(throws: CommandFailure.self) { try request("-d", "-a", "stdout", "image") }
  }

  static let codes: [(FaultCode, Int32)] = [
    (.commandNotFound, 127), (.commandNotExecutable, 126), (.notFound, 125), (.unavailable, 125),
    (FaultCode(rawValue: "of-a-newer-engine"), 125),
  ]

  @Test(arguments: codes)
  func exitCodesOfWhatDidNotStart(code: FaultCode, wanted: Int32) {
    #expect(ExitCode.ofStart(Fault(code, "")) == wanted)
  }

  @Test(arguments: [Int64(0), 1, 125, 137, 255]) func exitCodesOfContainers(code: Int64) throws {
    #expect(try ExitCode.of(.init(exitCode: code)) == Int32(code))
  }
}
