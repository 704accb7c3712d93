import Faults
import Foundation
import OCI
import SystemPackage
import Testing

@testable import RuntimeCLI

@Suite struct FlagTests {
  private let flags: [FlagDescription] = [
    .value("bundle", "b", ""), .toggle("detach", "d", ""), .value("env", "e", ""),
  ]

  @Test func flagsAreReadAsGoReadsThem() throws {
    let arguments = try Arguments(
      ["--bundle=/x", "-detach", "id", "-e", "A=1", "--env", "B=2", "-b", "/y"], flags, stopsAtOperand: false)
    #expect(arguments["bundle"] == "/y")
    #expect(arguments.isOn("detach"))
    #expect(arguments.all("env") == ["A=1", "B=2"])
    #expect(arguments.operands == ["id"])
    #expect(try !Arguments(["--detach=false"], flags, stopsAtOperand: false).isOn("detach"))
    #expect(try Arguments(["id", "ls", "-d"], flags, stopsAtOperand: true).operands == ["id", "ls", "-d"])
    #expect(try Arguments(["--", "-d"], flags, stopsAtOperand: false).operands == ["-d"])
  }

  @Test(arguments: [
    (["--nosuch"], "flag provided but not defined: -nosuch"), (["--bundle"], "flag needs an argument: -bundle"),
    (["--detach=perhaps"], "--detach is \"perhaps\": it must be true or false"),
  ])
  func whatCannotBeReadIsNamed(_ words: [String], _ message: String) {
    #expect(throws: Fault(.invalidArgument, message)) { try Arguments(words, flags, stopsAtOperand: false) }
  }

  @Test(arguments: ["", "/", "a/b", "..", ".hidden", "-x", "a b", "é", String(repeating: "a", count: 1025)])
  func namesThatAreNoneAreRefused(_ id: String) {
    #expect(throws: Fault.self) { try StateRoot("/nowhere").container(id) }
  }

  @Test(arguments: ["a", "a.b_c+d-e", String(repeating: "0", count: 64)])
  func namesAreTaken(_ id: String) throws {
    #expect(try StateRoot("/nowhere").container(id).path == FilePath("/nowhere").appending(id))
  }

  @Test(arguments: [("9", Int32(9)), ("KILL", 9), ("sigterm", 15), ("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("0", 0)])
  func signalsHaveNamesAndNumbers(_ text: String, _ number: Int32) throws {
    #expect(try Signals.number(text) == number)
  }

  @Test(arguments: ["", "65", "-1", "NOSUCH", "RTMIN+40"])
  func otherSignalsAreRefused(_ text: String) {
    #expect(throws: Fault.self) { try Signals.number(text) }
  }

  @Test func sizesAndTimesAreRead() throws {
    #expect(UpdateCommand.bytes("64m") == 64 << 20)
    #expect(UpdateCommand.bytes("1G") == 1 << 30)
    #expect(UpdateCommand.bytes("-1") == -1)
    #expect(UpdateCommand.bytes("512") == 512)
    for wrong in ["", "m", "1x", "9999999999999t"] { #expect(UpdateCommand.bytes(wrong) == nil, "\(wrong)") }
    #expect(try EventsCommand.milliseconds("5s") == 5000)
    #expect(try EventsCommand.milliseconds("500ms") == 500)
    for wrong in ["", "5", "0s", "-1s"] { #expect(throws: Fault.self) { try EventsCommand.milliseconds(wrong) } }
  }

  @Test func cgroupPathsOfSystemdAreFolders() throws {
    try #require((try? FileManager.default.attributesOfItem(atPath: "/run/systemd/system")) == nil, "systemd runs here")
    let globals = try GlobalOptions(["--systemd-cgroup", "state", "x"])
    #expect(
      try CgroupName.resolve("machine-a.slice:libpod:c1", id: "x", globals)
        == "/machine.slice/machine-a.slice/libpod-c1.scope")
    #expect(try CgroupName.resolve(":cri:c1", id: "x", globals) == "/system.slice/cri-c1.scope")
    #expect(throws: Fault.self) { try CgroupName.resolve("/plain", id: "x", globals) }
    #expect(throws: Fault.self) { try CgroupName.resolve("a--b.slice:x:y", id: "x", globals) }
    let plain = try GlobalOptions(["state", "x"])
    #expect(try CgroupName.resolve("/plain", id: "x", plain) == "/plain")
    #expect(try CgroupName.resolve(nil, id: "x", plain) == "/gantry-runtime-x")
  }

  @Test func aDescriptionKeepsItsSystemCallsAsText() throws {
    let file = FileManager.default.temporaryDirectory.appending(path: "description-\(UUID().uuidString).json")
    defer { try? FileManager.default.removeItem(at: file) }
    let section = #"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["x}\"]"], "action": "SCMP_ACT_KILL"}]}"#
    for text in [section, "null"] {
      try Data(
        #"{"ociVersion": "1.0.2", "linux": {"seccomp": \#(text) , "cgroupsPath": "/a"}, "root": {"path": "r"}}"#.utf8
      ).write(to: file)
      let description = try Description(file: FilePath(file.path))
      #expect(description.spec.linux?.cgroupsPath == "/a")
      #expect(try description.seccompSection()?.syscalls?.first?.names == (text == "null" ? nil : ["x}\"]"]))
    }
    try Data(#"{"ociVersion": "0.9"}"#.utf8).write(to: file)
    #expect(throws: Fault.self) { try Description(file: FilePath(file.path)) }
  }

  @Test func filtersAreFoundByAllOfTheirInput() throws {
    #expect(FilterStore.name([]) == "cbf29ce484222325")
    #expect(FilterStore.name(Array("a".utf8)) != FilterStore.name(Array("b".utf8)))
  }
}
