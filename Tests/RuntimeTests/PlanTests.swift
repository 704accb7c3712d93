import Faults
import Linux
import OCI
import Testing

@testable import Runtime

@Suite struct PlanTests {
  @Test func mountOptionsAreSortedByWhatTheyActOn() {
    let options = MountOptions(["rbind", "ro", "nosuid", "rw", "rslave", "noatime", "size=64m", "x"])
    #expect(options.isBind && options.isRecursive)
    #expect(options.set == [.noSetUserID, .noAccessTime])
    #expect(options.clear == [.readOnly, .accessTimeField])
    #expect(options.propagation == .slave && options.propagatesRecursively)
    #expect(options.parameters.map(\.key) == ["size", "x"])
    #expect(options.parameters.map(\.value) == ["64m", nil])
    #expect(MountOptions(["rro"]).setRecursively == .readOnly)
    let own = MountOptions(["bind", "gantry.host", "gantry.subpath=a=b/c"])
    #expect(own.isMadeByHost && own.part == "a=b/c" && own.parameters.isEmpty)
    #expect(MountOptions(["defaults", ""]) == MountOptions([]))
  }

  @Test(arguments: [
    ("/a/b", ["a", "b"]), ("a//./b/", ["a", "b"]), ("/../../a", ["a"]), ("/a/../..", []), ("/", []), ("", []),
  ])
  func pathsNeverLeaveTheRoot(_ path: String, _ components: [String]) {
    #expect(ContainerTree.components(path) == components)
  }

  @Test func settingsUseTheSeparatorThatComesFirst() {
    #expect(KernelSetting.filePath("net.ipv4.ip_forward") == "net/ipv4/ip_forward")
    #expect(KernelSetting.filePath("net/ipv4/conf/eth0.1/forwarding") == "net/ipv4/conf/eth0.1/forwarding")
    #expect(KernelSetting.filePath("net.ipv4.conf.eth0/1.forwarding") == "net/ipv4/conf/eth0.1/forwarding")
  }

  @Test func cpuListsBecomeMasks() {
    #expect(Scheduling.mask("0-2,65")?.prefix(2) == [7, 2])
    for wrong in ["a", "3-1", "1-", "2000", "-1"] { #expect(Scheduling.mask(wrong) == nil, "\(wrong)") }
  }

  @Test func accountFilesAreReadByLine() throws {
    let files = AccountFiles(
      passwd: Array("# c\nroot:x:0:0::/root:/bin/sh\n\nann:x:1000:1001::/h\nshort:x\n99:x:0:0::/\n".utf8),
      group: Array("wheel:x:10:ann,bob\nann:x:1001:\nx:x:notanumber:ann\n".utf8))
    let (ann, groups) = try files.resolve("ann")
    #expect(ann.uid == 1000 && ann.gid == 1001 && ann.home == "/h")
    #expect(groups == [10])
    let (number, none) = try files.resolve("99")
    #expect(number.uid == 99 && number.gid == 0 && number.home == nil && none.isEmpty)
    #expect(try files.resolve("0:wheel").0.gid == 10)
    #expect(throws: Fault.self) { try files.resolve("short") }
    #expect(throws: Fault.self) { try files.resolve("ann:") }
  }

  @Test func faultsSurviveTheHandshake() {
    let fault = Fault(.commandNotFound, "exec: \"x\": not found", cause: ["one", "two"])
    let text = [UInt8]((["commandNotFound", fault.message] + fault.cause).joined(separator: "\0").utf8)
    #expect(Handshake.fault(text) == fault)
    #expect(Handshake.fault([]).code == FaultCode(rawValue: ""))
  }

  @Test func capabilitiesMustBeCoherent() {
    #expect(throws: Fault.self) { try CapabilityPlan(.init(effective: ["CAP_CHOWN"])) }
    #expect(throws: Fault.self) { try CapabilityPlan(.init(bounding: ["CAP_NONSENSE"])) }
    #expect(throws: Fault.self) { try CapabilityPlan(.init(permitted: ["CAP_CHOWN"], ambient: ["CAP_KILL"])) }
  }
}
