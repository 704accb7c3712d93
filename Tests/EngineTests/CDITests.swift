import Faults
import Foundation
import OCI
import Protocol
import Testing

@testable import Engine

/// Devices that vendors describe: JSON and YAML, which file wins, and what ends up in the container.
@Suite final class CDITests {
  private let folder = "/tmp/gantry-cdi-\(Identifier.random(digits: 10))"
  private var registry: CDIRegistry { CDIRegistry(folders: [folder + "/etc", folder + "/run"]) }

  init() throws {
    for name in ["etc", "run"] {
      try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  private func write(_ path: String, _ text: String) throws {
    try Data(text.utf8).write(to: URL(filePath: "\(folder)/\(path)"))
  }

  private func spec(_ requests: [GatewayAPI.DeviceRequest]) throws -> RuntimeSpec {
    let machine = Machine(
      capabilities: Capabilities(bounding: (1 << 41) - 1), cpuCount: 4, cgroupVersion: 2, hostname: "host")
    var host = HostConfig()
    host.deviceRequests = requests
    return try SpecBuilder(machine: machine, cdi: registry).build(
      .init(
        id: String(repeating: "a1", count: 32), config: ContainerConfig(cmd: ["sh"], image: "busybox"),
        hostConfig: host,
        mounts: [], files: ContainerFiles(folder: "/f", id: "x")))
  }

  private func spec(_ names: String...) throws -> RuntimeSpec { try spec([.init(driver: "cdi", deviceIDs: names)]) }

  private let vendor = """
    cdiVersion: "0.6.0"
    kind: "vendor.com/device"
    containerEdits:
      env: ["VENDOR=1"]
      mounts:
        - hostPath: /usr/lib/vendor.so
          containerPath: /usr/lib/vendor.so
          options: [ro, nosuid, bind]
    devices:
      - name: one
        containerEdits:
          deviceNodes:
            - path: /dev/vendor0
              hostPath: /dev/null
              permissions: rw
          additionalGids: [44]
          hooks:
            - hookName: createContainer
              path: /usr/bin/vendor-hook
              args: [vendor-hook, update]
      - name: two
        containerEdits:
          env: ["TWO=2"]
    """

  @Test func aDeviceOfAYAMLFile() throws {
    try write("etc/vendor.yaml", vendor)
    let spec = try spec("vendor.com/device=one", "vendor.com/device=two")
    #expect(spec.process?.env?.filter { ["VENDOR=1", "TWO=2"].contains($0) } == ["VENDOR=1", "TWO=2"])
    #expect(spec.process?.user.additionalGids == [44])
    let node = spec.linux?.devices?.first { $0.path == "/dev/vendor0" }
    #expect(node?.type == "c" && node?.major == 1 && node?.minor == 3)
    #expect(
      spec.linux?.resources?.devices?.last == .init(allow: true, type: "c", major: 1, minor: 3, access: "rw"))
    #expect(spec.mounts?.last?.source == "/usr/lib/vendor.so" && spec.mounts?.last?.type == "bind")
    #expect(spec.hooks?.createContainer?.map(\.path) == ["/usr/bin/vendor-hook"])
    #expect(try self.spec("vendor.com/device=two").linux?.devices == nil)
  }

  @Test func theLaterFolderWins() throws {
    try write("etc/vendor.yaml", vendor)
    try write(
      "run/vendor.json",
      #"{"cdiVersion":"0.5.0","kind":"vendor.com/device","devices":[{"name":"two","containerEdits":{"env":["TWO=run"]}}]}"#
    )
    let environment = try spec("vendor.com/device=two").process?.env ?? []
    #expect(environment.contains("TWO=run") && !environment.contains("VENDOR=1"))
  }

  @Test func whatCannotBeResolvedIsNamed() throws {
    try write("etc/vendor.yaml", vendor)
    try write("etc/again.yml", vendor)
    try write("etc/broken.json", "{")
    let missing = #expect(throws: Fault.self) { try spec("vendor.com/device=nine") }
    #expect(missing?.message.contains("unresolvable CDI devices vendor.com/device=nine") == true)
    #expect(missing?.cause.contains { $0.contains("broken.json") } == true)
    let ambiguous = #expect(throws: Fault.self) { try spec("vendor.com/device=one") }
    #expect(ambiguous?.code == .conflict)
    #expect(throws: Fault.self) { try spec("no name") }
  }

  @Test(arguments: [
    "deviceNodes: [{path: /dev/x, hostPath: /no/such}]", "env: [NOVALUE]", "hooks: [{hookName: never, path: /x}]",
    "mounts: [{hostPath: /a, containerPath: /proc/x}]", "intelRdt: {closID: a}",
    "netDevices: [{hostInterfaceName: eth0, name: eth1}]", "deviceNodes: [{path: /dev/null, permissions: rwx}]",
  ])
  func editsThatCannotBeMadeAreRefused(edit: String) throws {
    try write(
      "etc/bad.yaml", "cdiVersion: \"1.0.0\"\nkind: vendor.com/bad\ndevices: [{name: x, containerEdits: {\(edit)}}]\n")
    let fault = #expect(throws: Fault.self) { try spec("vendor.com/bad=x") }
    #expect(fault?.message.contains("unresolvable") == false, "\(fault?.message ?? "")")
  }

  @Test func graphicsCardsAreDevicesOfCDI() throws {
    let all = GatewayAPI.DeviceRequest(driver: "", count: -1, capabilities: [["gpu"]])
    let none = #expect(throws: Fault.self) { try spec([all]) }
    #expect(none?.message.hasPrefix("could not select device driver \"\" with capabilities: [[gpu]]") == true)
    try write(
      "run/nvidia.yaml",
      """
      cdiVersion: "0.5.0"
      kind: nvidia.com/gpu
      devices:
        - {name: all, containerEdits: {env: [GPU=all]}}
        - {name: "0", containerEdits: {env: [GPU=0]}}
        - {name: "1", containerEdits: {env: [GPU1=1]}}
      """)
    #expect(try spec([all]).process?.env?.contains("GPU=all") == true)
    #expect(try spec([.init(count: 2, capabilities: [["gpu"]])]).process?.env?.contains("GPU1=1") == true)
    #expect(
      try spec([.init(deviceIDs: ["0"], capabilities: [["gpu", "compute"]])]).process?.env?.contains("GPU=0") == true)
    for bad in [
      GatewayAPI.DeviceRequest(count: -1, capabilities: [["tpu"]]),
      .init(driver: "amd", count: 1, capabilities: [["gpu"]]),
      .init(count: 1, deviceIDs: ["0"], capabilities: [["gpu"]]), .init(count: -2, capabilities: [["gpu"]]),
      .init(count: 1, capabilities: [["gpu"]], options: ["a": "b"]),
    ] {
      #expect(throws: Fault.self) { try spec([bad]) }
    }
  }
}
