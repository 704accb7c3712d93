import Foundation
import TestSupport
import Testing

extension SecurityTests {
  /// Streams that are left behind.
  @Suite struct Streams {
    var engine: TestEngine { TestEngine.current }

    /// Rounds; `GANTRY_TEST_STREAMS=10000` is the whole of it.
    static let count = ProcessInfo.processInfo.environment["GANTRY_TEST_STREAMS"].flatMap { Int($0) } ?? 120

    @Test(.timeLimit(.minutes(60)))
    func cve_2022_23471_cve_2022_31030_cve_2025_64329_abandonedStreamsCostNothing() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "busybox", "sh", "-c", "while :; do echo x; sleep 0.01; done")
      let python = TestEngine.repository.appending("Protocols/python").string
      let script = TestEngine.repository.appending("Tests/SecurityTests/Fixtures/abandon.py").string
      let state = engine.state.string
      let told = try await Command.run(
        ["python3", script, name, String(Self.count)],
        environment: ["GANTRY_STATE": state, "GANTRY_PYTHON": python, "PYTHONDONTWRITEBYTECODE": "1"], seconds: 3000)
      let numbers = told.lines.map { $0.split(separator: " ").compactMap { Int($0) } }
      try #require(numbers.count == 2 && numbers.allSatisfy { $0.count == 4 }, "\(told)")
      for (index, (process, most)) in [("shim", 512 << 10), ("gantry-taskd", 4 << 20), ("gantryd", 6 << 20)]
        .enumerated()
      {
        let grown = numbers[1][index] - numbers[0][index]
        #expect(grown < most, "\(process) has grown by \(grown) bytes: \(told.stdout)")
      }
      #expect(numbers[1][3] - numbers[0][3] < 16, "descriptors of the shim: \(told.stdout)")
      #expect(try await engine.gantry("exec", name, "echo", "still here").trimmed == "still here")
      try await engine.eventually("nothing of the execs is left") {
        try await engine.gantry("top", name, "-o", "pid,args").lines.count <= 3
      }
      try await engine.gantry("rm", "-f", name)
    }

    @Test func outputThatNobodyTakesStopsItsProgramAndFillsNoMemory() async throws {
      let name = engine.name()
      try await engine.gantry("run", "-d", "--name", name, "busybox", "sleep", "1000")
      let python = TestEngine.repository.appending("Protocols/python").string
      let script = """
        import os, sys, time
        sys.path.insert(0, \"\(python)\")
        from gantry_rpc import Service, stream
        engine = Service(os.environ["GANTRY_STATE"] + "/gantry.sock")
        made = engine.call("container.exec", container="\(name)", config={"Cmd": ["yes"]},
                           attach={"stdin": False, "stdout": True, "stderr": True})
        held = stream(made["stream"])
        task = Service(os.environ["GANTRY_STATE"] + "/task.sock")
        ident = engine.call("container.inspect", container="\(name)")["container"]["Id"]
        shim = task.call("task.get", id=ident)["task"]["shimPid"]
        def memory():
            lines = open(f"/proc/{shim}/smaps_rollup").read().splitlines()
            return sum(int(l.split()[1]) for l in lines if l.startswith("Private_")) * 1024
        most = 0
        for _ in range(20):
            time.sleep(0.02)
            most = max(most, memory())
        print(most)
        """
      let most = try await Command.run(
        ["python3", "-c", script], environment: ["GANTRY_STATE": engine.state.string, "PYTHONDONTWRITEBYTECODE": "1"])
      #expect((Int(most.trimmed) ?? .max) < 8 << 20, "\(most)")
      try await engine.gantry("rm", "-f", name)
    }
  }
}
