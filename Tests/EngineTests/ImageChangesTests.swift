import Faults
import OCI
import Testing

@testable import Engine

/// `commit -c` and `import -c`.
@Suite struct ImageChangesTests {
  private func apply(
    _ lines: String..., to execution: ImageConfig.Execution = .init()
  ) throws -> ImageConfig.Execution { try ImageChanges.apply(lines, to: execution) }

  @Test func commandsInBothForms() throws {
    #expect(try apply(#"CMD ["a", "b c"]"#).cmd == ["a", "b c"])
    #expect(try apply("cmd echo $HOME 'x y'").cmd == ["/bin/sh", "-c", "echo $HOME 'x y'"])
    #expect(
      try apply("ENTRYPOINT /run me", to: .init(shell: ["/bin/ash", "-c"])).entrypoint == ["/bin/ash", "-c", "/run me"])
  }

  @Test func anEntryPointTakesTheImagesCommandAway() throws {
    let image = ImageConfig.Execution(cmd: ["old"])
    #expect(try apply(#"ENTRYPOINT ["x"]"#, to: image).cmd == nil)
    #expect(try apply(#"CMD ["new"]"#, #"ENTRYPOINT ["x"]"#, to: image).cmd == ["new"])
  }

  @Test func environmentAndLabels() throws {
    let image = ImageConfig.Execution(env: ["A=1", "PATH=/bin"])
    let changed = try apply(
      #"ENV A=2 B="two words" C=a\ b"#, "ENV D the rest of it", "ENV E=$A/${B:-x}/${Z:-none}", to: image)
    #expect(changed.env == ["A=2", "PATH=/bin", "B=two words", "C=a b", "D=the rest of it", "E=2/two words/none"])
    #expect(try apply(#"LABEL a=1 "b.c"='$A'"#).labels == ["a": "1", "b.c": "$A"])
  }

  @Test func portsVolumesAndFolders() throws {
    #expect(
      try apply("EXPOSE 80 53/UDP 8000-8002").exposedPorts?.keys.sorted()
        == ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"])
    #expect(try apply(#"VOLUME ["/a", "/b c"]"#, "VOLUME /d /e").volumes?.keys.sorted() == ["/a", "/b c", "/d", "/e"])
    #expect(try apply("WORKDIR /a", "WORKDIR b/../c").workingDir == "/a/c")
    #expect(
      try apply("USER 1:2", "STOPSIGNAL SIGQUIT", "ONBUILD RUN x")
        == .init(user: "1:2", stopSignal: "SIGQUIT", onBuild: ["RUN x"]))
  }

  @Test func healthChecks() throws {
    let health = try apply("HEALTHCHECK --interval=5s --retries=3 --start-period=1m CMD curl -f http://x").healthcheck
    #expect(
      health
        == .init(
          test: ["CMD-SHELL", "curl -f http://x"], interval: 5_000_000_000, startPeriod: 60_000_000_000, retries: 3))
    #expect(try apply(#"HEALTHCHECK CMD ["a"]"#).healthcheck?.test == ["CMD", "a"])
    #expect(try apply("HEALTHCHECK NONE").healthcheck?.test == ["NONE"])
  }

  @Test func severalLinesCommentsAndContinuations() throws {
    #expect(try apply("# note\nENV A=1 \\\n  B=2\n\nUSER me") == .init(user: "me", env: ["A=1", "B=2"]))
  }

  @Test(arguments: [
    "RUN x", "FROM y", "SHELL [\"x\"]", "EXPOSE http", "EXPOSE 0", "EXPOSE 9-8", "EXPOSE 1/icmp", "USER", "USER a b",
    "ENV A",
    "ENV =x", "LABEL 'a", "STOPSIGNAL NOPE", "HEALTHCHECK RUN x", "HEALTHCHECK --interval=1 CMD x", "HEALTHCHECK CMD",
    "ONBUILD ONBUILD RUN x", "ONBUILD FROM x", "VOLUME", "CMD", "ENV A=${B", "ENV A=${B:?no}",
  ])
  func refusals(line: String) {
    #expect { try apply(line) } throws: { ($0 as? Fault)?.code == .invalidArgument }
  }
}
