import Testing

@testable import CLI

/// Flags are read in every form that Docker's are.
@Suite struct FlagTests {
  func run(_ words: String...) throws -> (Run, FlagReader<Run>) {
    var command = Run()
    var reader = FlagReader(Run.flags, stopsAtOperand: true)
    try reader.read(words, into: &command)
    return (command, reader)
  }

  @Test func everyFormOfAValue() throws {
    for words in [["--name", "a"], ["--name=a"]] {
      #expect(try run(words[0], words.count > 1 ? words[1] : "--rm").0.container.name == "a")
    }
    for words in [["-e", "A=1"], ["-eA=1"], ["-e=A=1"], ["--env=A=1"], ["--env", "A=1"]] {
      let command = try run(words[0], words.count > 1 ? words[1] : "--rm").0
      #expect(command.container.environment == ["A=1"], "\(words)")
    }
    #expect(try run("--entrypoint", "-x").0.container.entrypoint == "-x")
    #expect(try run("--entrypoint=").0.container.entrypoint == "")
  }

  @Test func clustersOfSwitches() throws {
    let (command, reader) = try run("-itd", "image")
    #expect(command.container.interactive && command.container.terminal && command.detached)
    #expect(reader.operands == ["image"])
    let (withValue, rest) = try run("-ite", "A=1", "image", "sh")
    #expect(withValue.container.environment == ["A=1"] && withValue.container.terminal)
    #expect(rest.operands == ["image", "sh"])
    #expect(try run("-itw/tmp").0.container.workingDirectory == "/tmp")
  }

  @Test func switchesTakeAValueAfterAnEqualsSign() throws {
    #expect(try run("--rm=false").0.container.removesItself == false)
    #expect(try run("--rm=1").0.container.removesItself)
    #expect(try run("--sig-proxy=false").0.proxiesSignals == false)
    #expect(try run("-t=false").0.container.terminal == false)
    #expect(throws: CommandFailure.self) { try run("--rm=maybe") }
  }

  @Test func flagsStopAtTheImage() throws {
    let (command, reader) = try run("--rm", "image", "--name", "x", "-it", "--", "--help")
    #expect(command.container.name == nil && !command.container.terminal)
    #expect(reader.operands == ["image", "--name", "x", "-it", "--", "--help"])
    #expect(!reader.wantsHelp)
    #expect(try run("--", "--rm").1.operands == ["--rm"])
  }

  @Test func helpIsFoundAndHostnameKeepsItsLetter() throws {
    #expect(try run("--help").1.wantsHelp)
    #expect(try run("-h", "box").0.container.hostname == "box")
    var list = ContainerList()
    var reader = FlagReader(ContainerList.flags, stopsAtOperand: false)
    try reader.read(["-h"], into: &list)
    #expect(reader.wantsHelp)
  }

  @Test func flagsMayComeAfterOperandsWhereNoCommandFollows() throws {
    var remove = Remove()
    var reader = FlagReader(Remove.flags, stopsAtOperand: false)
    try reader.read(["a", "-f", "b"], into: &remove)
    #expect(remove.force && reader.operands == ["a", "b"])
  }

  @Test(arguments: [
    (["--no-such"], "unknown flag: --no-such"), (["-Z"], "unknown shorthand flag: 'Z' in -Z"),
    (["--name"], "flag needs an argument: --name"), (["-e"], "flag needs an argument: 'e' in -e"),
    (["--nam", "x"], "unknown flag: --nam (did you mean --name?)"),
    (["-m", "lots"], "invalid argument \"lots\" for \"-m, --memory\" flag: invalid size: 'lots'"),
  ])
  func refusals(words: [String], wanted: String) throws {
    var command = Run()
    var reader = FlagReader(Run.flags, stopsAtOperand: true)
    let failure = #expect(throws: CommandFailure.self) { try reader.read(words, into: &command) }
    #expect(failure?.message.hasPrefix(wanted) == true, "\(failure?.message ?? "")")
    #expect(failure?.code == 125 && failure?.showsUsage == true)
  }

  @Test(arguments: [
    (["-p", "80:80"], "--publish"), (["--publish=80:80"], "--publish"), (["-P"], "--publish-all"),
    (["--use-api-socket"], "--use-api-socket"),
    (["--network", "bridge"], "--network bridge"),
  ])
  func knownFlagsThatAreNotBuiltAreRefusedByName(words: [String], name: String) throws {
    var command = Run()
    var reader = FlagReader(Run.flags, stopsAtOperand: true)
    let failure = #expect(throws: CommandFailure.self) { try reader.read(words, into: &command) }
    #expect(failure?.message.hasPrefix("\(name) is not built yet") == true, "\(failure?.message ?? "")")
    #expect(failure?.code == 125)
  }

  @Test func aRefusedSwitchThatIsOffChangesNothing() throws {
    _ = try run("--publish-all=false", "--use-api-socket=false")
  }

  @Test func aritiesAreToldInDockersWords() {
    #expect(Arity.atLeast(1).refusal(of: 0, for: "gantry rm") == "'gantry rm' requires at least 1 argument")
    #expect(Arity.exactly(2).refusal(of: 1, for: "gantry tag") == "'gantry tag' requires 2 arguments")
    #expect(Arity.none.refusal(of: 1, for: "gantry ps") == "'gantry ps' accepts no arguments")
    #expect(Arity.atMost(1).refusal(of: 1, for: "gantry images") == nil)
  }
}

/// Every flag of Docker's is known to each command that Gantry has.
@Suite struct DockerFlagTests {
  /// Names and letters of the flags of one command, by the command's type.
  private func names<C: Command>(_ type: C.Type) -> Set<String> {
    Set(type.flags.flatMap { flag in ["--" + flag.long] + (flag.short.map { ["-\($0)"] } ?? []) })
  }

  @Test func everyFlagOfDockersIsKnown() {
    for (path, flags) in DockerFlags.byCommand {
      var node = CommandTree.root
      for word in path.split(separator: " ") {
        guard let child = node.child(String(word)) else {
          Issue.record("no command \(path)")
          return
        }
        node = child
      }
      guard let command = node.command else {
        Issue.record("\(path) is a group")
        continue
      }
      let known = names(command)
      let missing = flags.split(separator: " ").map(String.init).filter { !known.contains($0) }
      #expect(missing.isEmpty, "\(path) lacks \(missing)")
    }
  }

  private static func all(_ node: CommandNode) -> [any Command.Type] {
    node.command.map { [$0] } ?? node.children.flatMap { all($0) }
  }

  @Test func noCommandHasAFlagTwice() {
    func check<C: Command>(_ type: C.Type) {
      let longs = type.flags.map(\.long)
      let shorts = type.flags.compactMap(\.short)
      #expect(Set(longs).count == longs.count, "\(type)")
      #expect(Set(shorts).count == shorts.count, "\(type)")
    }
    for command in Self.all(CommandTree.root) { check(command) }
  }

  @Test func everyCommandHasAnExample() {
    for command in Self.all(CommandTree.root) where !command.about.hidden {
      #expect(!command.about.examples.isEmpty, "\(command)")
      for example in command.about.examples {
        #expect(example.line.contains("gantry"), "\(command): \(example.line)")
      }
    }
  }
}
