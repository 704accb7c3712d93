import Testing

@testable import CLI

/// Which engine is meant, and where its parts are.
@Suite struct EngineChoiceTests {
  @Test func environmentAndFlags() throws {
    let environment = ["GANTRY_ROOT": "/r", "GANTRY_STATE": "/s", "GANTRY_HOST": ""]
    var options = GlobalOptions { environment[$0] }
    #expect(options.root == "/r" && options.state == "/s")
    #expect(try options.gatewaySocket() == "/s/gantry.sock")
    var reader = FlagReader(GlobalOptions.flags, stopsAtOperand: true)
    try reader.read(["--state", "/t", "-H", "unix:///u/x.sock", "ps", "-a"], into: &options)
    #expect(options.state == "/t" && reader.operands == ["ps", "-a"])
    #expect(try options.gatewaySocket() == "/u/x.sock")
    options.host = "tcp://127.0.0.1:2375"
    #expect(throws: CommandFailure.self) { try options.gatewaySocket() }
  }

  @Test func placesAreAbsolute() {
    var options = GlobalOptions { _ in nil }
    options.root = "relative/root"
    #expect(EnginePlaces(options).root.isAbsolute)
    #expect(EnginePlaces(options).log("gantryd").string.hasSuffix("relative/root/log/gantryd.log"))
  }

  @Test func servicesByEitherName() throws {
    #expect(try EngineService.named("gateway").program == "gantryd")
    #expect(try EngineService.named("gantry-taskd").name == "task")
    #expect(throws: CommandFailure.self) { try EngineService.named("no-such-service") }
  }

  @Test func filtersCollect() throws {
    var filters: [String: [String]] = [:]
    for text in ["label=a=1", "label=b", "status = running"] { try Filters.add(text, to: &filters) }
    #expect(filters == ["label": ["a=1", "b"], "status": ["running"]])
    #expect(throws: CommandFailure.self) { try Filters.add("nothing", to: &filters) }
  }

  @Test func completionOffersCommandsAndFlags() throws {
    let session = Session(GlobalOptions { _ in nil })
    #expect(try Complete.offers([], "", session).contains { $0.0 == "run" })
    #expect(try Complete.offers(["container"], "", session).contains { $0.0 == "ls" })
    #expect(try Complete.offers(["run", "--rm"], "-", session).contains { $0.0 == "--name" })
    #expect(try Complete.offers(["load", "-i"], "", session).map(\.0) == [":files"])
    #expect(!(try Complete.offers([], "", session).contains { $0.0.hasPrefix("__") }))
  }
}
