import Foundation
import SystemPackage
import TestSupport
import Testing

/// A log destination that runs beside a test: Tests/IntegrationTests/log-sink.
final class LogSink {
  let folder: String
  private let process = Process()
  private let input = Pipe()

  /// Starts a sink; `environment` may name the PORT and END.
  init(_ kind: String, environment: [String: String] = [:], folder: String? = nil) async throws {
    var template = Array("/tmp/gantry-sink-XXXXXX".utf8CString)
    self.folder = try folder ?? #require(mkdtemp(&template).map { String(cString: $0) })
    unlink(self.folder + "/address")
    process.executableURL = URL(filePath: "/usr/bin/python3")
    process.arguments = [
      TestEngine.repository.appending("Tests/IntegrationTests/log-sink").string, kind, self.folder,
    ]
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = input
    try process.run()
    try await TestEngine.current.eventually("the sink listens") { (try? address()) != nil }
  }

  /// A port, or the path of a socket.
  func address() throws -> String { try String(contentsOfFile: folder + "/address", encoding: .utf8) }

  /// What was received, decoded.
  func received() -> [[String: Any]] {
    let text = (try? String(contentsOfFile: folder + "/received", encoding: .utf8)) ?? ""
    return text.split(separator: "\n").compactMap {
      (try? JSONSerialization.jsonObject(with: Data($0.utf8))) as? [String: Any]
    }
  }

  var texts: [String] { received().compactMap { $0["text"] as? String } }

  /// Whether it answers, or only says that it cannot.
  func setAway(_ away: Bool) {
    if away {
      _ = FileManager.default.createFile(atPath: folder + "/away", contents: nil)
    } else {
      unlink(folder + "/away")
    }
  }

  func stop() {
    try? input.fileHandleForWriting.close()
    process.waitUntilExit()
  }

  deinit {
    stop()
    try? FileManager.default.removeItem(atPath: folder)
  }
}

extension IntegrationTests {
  /// `--log-driver` and `--log-opt`, each against a destination that the test runs.
  @Suite struct LogDrivers {
    var engine: TestEngine { TestEngine.current }

    /// Runs a container to its end with a log driver and returns its name.
    func run(_ driver: String, _ options: [String], _ flags: [String] = [], _ script: String) async throws -> String {
      let name = engine.name()
      let chosen = options.flatMap { ["--log-opt", $0] }
      try await engine.gantry(
        ["run", "--name", name, "--log-driver", driver] + chosen + flags + ["busybox", "sh", "-c", script])
      return name
    }

    func remove(_ name: String) async throws { try await engine.gantry("rm", "-f", name) }

    @Test func syslogOverUDP() async throws {
      let sink = try await LogSink("udp")
      let name = try await run(
        "syslog",
        [
          "syslog-address=udp://127.0.0.1:\(sink.address())", "syslog-facility=local3", "syslog-format=rfc5424",
          "tag={{.Name}}/x",
        ],
        [], "echo out; echo err >&2")
      try await engine.eventually("both messages") { sink.texts.count == 2 }
      let out = try #require(sink.texts.first { $0.hasSuffix(" - out\n") })
      #expect(out.hasPrefix("<158>1 20"))
      #expect(out.contains(" \(name)/x "))
      #expect(sink.texts.contains { $0.hasPrefix("<155>1 ") && $0.hasSuffix(" - err\n") })
      // The cache beside it serves `logs`.
      #expect(try await engine.gantry("logs", name).stdout == "out\n")
      let path = try await engine.gantry("inspect", "-f", "{{.LogPath}}|{{.HostConfig.LogConfig.Type}}", name)
      #expect(path.trimmed == "|syslog")
      try await remove(name)
    }

    @Test func syslogOverTCPComesBackAfterItsDestinationDid() async throws {
      let first = try await LogSink("tcp")
      let port = try first.address()
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "--log-driver", "syslog", "--log-opt", "syslog-address=tcp://127.0.0.1:\(port)",
        "busybox", "sh", "-c", "i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line-$i; sleep 0.01; done")
      try await engine.eventually("the first lines") { first.texts.count > 20 }
      first.stop()
      let before = first.texts.count
      let second = try await LogSink("tcp", environment: ["PORT": port], folder: nil)
      try await engine.eventually("the last line", seconds: 20) { second.texts.contains { $0.hasSuffix(": line-200") } }
      // Lines that the first had taken into its socket without reading them are lost with it: what follows is whole.
      let numbers = second.texts.compactMap { Int($0.split(separator: "-").last ?? "") }
      #expect(numbers == Array((numbers.first ?? 0)...200))
      #expect((numbers.first ?? 0) >= before)
      try await remove(name)
    }

    @Test func gelfCompressesAndCutsIntoChunks() async throws {
      let sink = try await LogSink("udp")
      let name = try await run(
        "gelf",
        ["gelf-address=udp://127.0.0.1:\(sink.address())", "gelf-compression-type=none", "labels=team", "env=STAGE"],
        ["--label", "team=red", "-e", "STAGE=test"], "echo hello; head -c 3000 /dev/zero | tr '\\0' x; echo")
      try await engine.eventually("both messages") { sink.texts.count == 2 }
      let messages = try sink.texts.map {
        try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
      }
      #expect(messages[0]["short_message"] as? String == "hello")
      #expect(messages[0]["_team"] as? String == "red")
      #expect(messages[0]["_STAGE"] as? String == "test")
      #expect(messages[0]["_container_name"] as? String == name)
      #expect(messages[0]["level"] as? Int == 6)
      #expect((messages[1]["short_message"] as? String)?.count == 3000)
      #expect(try await engine.gantry("logs", "--details", name).stdout.hasPrefix("STAGE=test,team=red hello\n"))
      try await remove(name)
      let zipped = try await run("gelf", ["gelf-address=udp://127.0.0.1:\(sink.address())"], [], "echo zipped")
      try await engine.eventually("the third message") { sink.texts.count == 3 }
      #expect(sink.texts[2].contains(#""short_message":"zipped""#))
      try await remove(zipped)
    }

    @Test func gelfOverTCPEndsWithZero() async throws {
      let sink = try await LogSink("tcp", environment: ["END": "zero"])
      let name = try await run("gelf", ["gelf-address=tcp://127.0.0.1:\(sink.address())"], [], "echo hello")
      try await engine.eventually("the message") { sink.texts.count == 1 }
      #expect(sink.texts[0].contains(#""short_message":"hello""#))
      try await remove(name)
    }

    @Test func fluentdTakesRecordsAndPieces() async throws {
      let sink = try await LogSink("fluentd")
      let name = try await run(
        "fluentd",
        [
          "fluentd-address=127.0.0.1:\(sink.address())", "tag=docker.{{.Name}}", "fluentd-request-ack=true",
          "fluentd-sub-second-precision=true", "env-regex=^APP_",
        ], ["-e", "APP_A=1", "-e", "OTHER=2"], "echo short; head -c 20000 /dev/zero | tr '\\0' y; echo; echo err >&2")
      try await engine.eventually("all records") { sink.received().count == 4 }
      let records = sink.received()
      #expect(records.allSatisfy { $0["tag"] as? String == "docker.\(name)" })
      let fields = records.compactMap { $0["record"] as? [String: String] }
      #expect(fields.contains { $0["log"] == "short" && $0["APP_A"] == "1" && $0["OTHER"] == nil })
      #expect(fields.contains { $0["log"] == "err" && $0["source"] == "stderr" })
      let pieces = fields.filter { $0["partial_message"] == "true" }
      #expect(pieces.map { $0["partial_ordinal"] } == ["1", "2"])
      #expect(pieces.map { $0["partial_last"] } == ["false", "true"])
      #expect(Set(pieces.map { $0["partial_id"] }).count == 1)
      #expect(pieces.map { $0["log"]?.count } == [16384, 3616])
      try await remove(name)
    }

    @Test func splunkIsTriedAgainUntilItAnswers() async throws {
      let sink = try await LogSink("http")
      sink.setAway(true)
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "--log-driver", "splunk", "--log-opt",
        "splunk-url=http://127.0.0.1:\(sink.address())", "--log-opt", "splunk-token=secret", "--log-opt",
        "splunk-gzip=true", "--log-opt", "splunk-index=main", "busybox", "sh", "-c", "echo one; echo two; sleep 1000")
      try await engine.eventually("the failure is told") {
        try await engine.gantry("system", "logs", "task").stdout.contains("is away: HTTP 503")
      }
      sink.setAway(false)
      try await engine.eventually("the events", seconds: 20) {
        sink.received().contains { $0["method"] as? String == "POST" }
      }
      let post = try #require(sink.received().first { $0["method"] as? String == "POST" })
      #expect((post["headers"] as? [String: String])?["authorization"] == "Splunk secret")
      let body = try #require(post["body"] as? String)
      #expect(body.contains(#""line":"one","source":"stdout""#) && body.contains(#""line":"two""#))
      #expect(body.contains(#""index":"main""#))
      try await remove(name)
    }

    @Test func cloudsGetTheirRequests() async throws {
      let sink = try await LogSink("http")
      let address = try "http://127.0.0.1:\(sink.address())"
      // The services' environment cannot be changed from here: a second engine has its own.
      let key = try await Command.shell("openssl genrsa 2048 2>/dev/null").stdout
      let account = [
        "client_email": "me@example.com", "private_key": key, "token_uri": address + "/token", "project_id": "p1",
      ]
      let file = sink.folder + "/account.json"
      try JSONEncoder().encode(account).write(to: URL(filePath: file))
      let folder = sink.folder
      let environment = [
        "GANTRY_ROOT": folder + "/r", "GANTRY_STATE": folder + "/s", "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1", "GOOGLE_APPLICATION_CREDENTIALS": file,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING": address,
      ]
      let gantry = TestEngine.binaries.appending("gantry").string
      func second(_ words: String...) async throws {
        _ = try await Command.run([gantry] + words, environment: environment)
      }
      try await second("system", "start")
      do {
        try await second("load", "-q", "-i", TestImage.busybox().string)
        try await second(
          "run", "--rm", "--log-driver", "awslogs", "--log-opt", "awslogs-endpoint=\(address)", "--log-opt",
          "awslogs-group=g", "--log-opt", "awslogs-stream=s", "--log-opt", "awslogs-create-group=true", "busybox",
          "echo", "to aws")
        try await second("run", "--rm", "--log-driver", "gcplogs", "busybox", "echo", "to google")
        try await engine.eventually("both clouds", seconds: 20) {
          sink.received().contains { ($0["body"] as? String ?? "").contains("to google") }
            && sink.received().contains { ($0["body"] as? String ?? "").contains("to aws") }
        }
      } catch {
        try? await second("system", "stop")
        throw error
      }
      try await second("system", "stop")
      let requests = sink.received()
      let targets = requests.compactMap { ($0["headers"] as? [String: String])?["x-amz-target"] }
      #expect(targets == ["CreateLogGroup", "CreateLogStream", "PutLogEvents"].map { "Logs_20140328.\($0)" })
      let put = try #require(requests.first { ($0["body"] as? String ?? "").contains("to aws") })
      #expect(
        (put["headers"] as? [String: String])?["authorization"]?.contains("/eu-central-1/logs/aws4_request") == true)
      let write = try #require(requests.first { $0["path"] as? String == "/v2/entries:write" })
      #expect((write["headers"] as? [String: String])?["authorization"] == "Bearer token-of-the-fake")
      #expect((write["body"] as? String)?.contains(#""logName":"projects/p1/logs/gcplogs-docker-driver""#) == true)
    }

    @Test func localIsCompactAndCompressed() async throws {
      let name = try await run(
        "local", ["max-size=50k", "max-file=4"], [], "seq 1 20000; head -c 40000 /dev/zero | tr '\\0' z; echo")
      let lines = try await engine.gantry("logs", name).lines
      #expect(lines.last?.count == 40_000)
      let numbers = lines.dropLast().compactMap { Int($0) }
      #expect(numbers.count > 1000 && numbers == Array((20_001 - numbers.count)...20_000))
      #expect(try await engine.gantry("logs", "--tail", "4", name).lines.map(\.count) == [5, 40_000])
      let folder = try await engine.gantry("inspect", "-f", "{{.HostnamePath}}", name).trimmed
      try await engine.eventually("a part is compressed") {
        let files = try await Command.shell("ls \(FilePath(folder).removingLastComponent()) | grep local.log")
        return files.lines.contains { $0.hasSuffix("-local.log.1.gz") }
      }
      try await remove(name)
    }

    @Test func jsonFileCompressesItsRotatedParts() async throws {
      let name = try await run(
        "json-file", ["max-size=50k", "max-file=4", "compress=true", "tag={{.ImageName}}", "labels-regex=^te"],
        ["--label", "team=red"], "seq 1 20000")
      let path = try await engine.gantry("inspect", "-f", "{{.LogPath}}", name).trimmed
      try await engine.eventually("a part is compressed") { access("\(path).1.gz", R_OK) == 0 }
      let parsed = try await Command.shell("zcat \(path).1.gz | tail -1 | jq -r .attrs.tag,.attrs.team")
      #expect(parsed.stdout == "busybox\nred\n")
      let numbers = try await engine.gantry("logs", name).lines.compactMap { Int($0) }
      #expect(numbers.count > 1000 && numbers == Array((20_001 - numbers.count)...20_000))
      #expect(
        try await engine.gantry("logs", "--tail", "1", "--details", name).stdout == "tag=busybox,team=red 20000\n")
      try await remove(name)
    }

    @Test func aKilledLoggerGoesOnWhereItWas() async throws {
      let sink = try await LogSink("fluentd")
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "--log-driver", "fluentd", "--log-opt",
        "fluentd-address=127.0.0.1:\(sink.address())",
        "busybox", "sh", "-c", "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo $i; sleep 0.01; done")
      try await engine.eventually("the first records") { sink.received().count > 20 }
      let id = try await engine.gantry("inspect", "-f", "{{.Id}}", name).trimmed
      _ = try await Command.shell("pkill -9 -f '[g]antry-logger deliver .*\(id)'")
      try await engine.eventually("the last record", seconds: 20) {
        sink.received().contains { ($0["record"] as? [String: String])?["log"] == "300" }
      }
      let seen = sink.received().compactMap { ($0["record"] as? [String: String])?["log"].flatMap { Int($0) } }
      #expect(Set(seen) == Set(1...300))
      #expect(seen.count < 400, "only what was in flight may come twice")
      try await remove(name)
    }

    @Test func aBlockedContainerWaitsAndANonBlockingOneDoesNot() async throws {
      // Nobody listens there: the port was free a moment ago.
      let sink = try await LogSink("tcp")
      let port = try sink.address()
      sink.stop()
      let (waits, goesOn) = (engine.name(), engine.name())
      for (name, mode) in [(waits, "blocking"), (goesOn, "non-blocking")] {
        try await engine.gantry(
          "run", "-d", "--name", name, "--log-driver", "gelf", "--log-opt", "gelf-address=tcp://127.0.0.1:\(port)",
          "--log-opt", "mode=\(mode)", "--log-opt", "cache-max-size=100k", "busybox", "sh", "-c",
          "seq 1 30000; echo done >&2; sleep 1000")
      }
      try await engine.eventually("the container that need not wait is done", seconds: 20) {
        try await engine.gantry("logs", goesOn).stderr == "done\n"
      }
      #expect(try await engine.gantry("logs", waits).stderr.isEmpty)
      let again = try await LogSink("tcp", environment: ["PORT": port, "END": "zero"])
      try await engine.eventually("the container that waited is done", seconds: 40) {
        try await engine.gantry("logs", waits).stderr == "done\n"
      }
      let id = try await engine.gantry("inspect", "-f", "{{.Id}}", waits).trimmed
      let other = try await engine.gantry("inspect", "-f", "{{.Id}}", goesOn).trimmed
      try await engine.eventually("everything arrives", seconds: 40) {
        let texts = again.texts
        return texts.contains { $0.contains(id) && $0.contains(#""short_message":"done""#) }
          && texts.contains { $0.contains(other) && $0.contains(#""short_message":"done""#) }
      }
      #expect(again.texts.count { $0.contains(id) } == 30_001)
      #expect(again.texts.contains { $0.contains(other) && $0.contains("were not delivered") })
      try await engine.gantry("rm", "-f", waits, goesOn)
    }

    @Test(arguments: [
      (["--log-driver", "x"], "no log driver named 'x' is registered: known are awslogs, fluentd"),
      (["--log-opt", "x=1"], "unknown log opt 'x' for json-file log driver: known are compress, env"),
      (["--log-driver", "gelf"], "gelf-address is a required parameter"),
      (["--log-driver", "splunk"], "splunk-url is expected"),
      (
        ["--log-driver", "syslog", "--log-opt", "syslog-format=x"], "syslog-format \"x\" is not one of rfc3164, rfc5424"
      ),
      (["--log-opt", "tag={{.Nothing}}"], "{{.Nothing}} is no field: known are {{.ID}}"),
      (["--log-opt", "max-buffer-size=1m"], "only supported with 'mode=non-blocking'"),
      (["--log-opt", "labels-regex=("], "is no regular expression"),
    ])
    func refusesInPlainWords(flags: [String], words: String) async throws {
      let answer = try await engine.gantry(["create"] + flags + ["busybox", "true"], expecting: nil)
      #expect(answer.status != 0 && answer.stderr.contains(words))
    }

    @Test func whatKeepsNothingCannotBeRead() async throws {
      let sink = try await LogSink("udp")
      let name = try await run(
        "syslog", ["syslog-address=udp://127.0.0.1:\(sink.address())", "cache-disabled=true"], [], "echo hello")
      try await engine.eventually("the message") { sink.texts.count == 1 }
      let answer = try await engine.gantry("logs", name, expecting: 1)
      #expect(answer.stderr.contains("configured logging driver does not support reading"))
      try await remove(name)
    }

    /// Writes as fast as it can: the disk stays bounded, and the shim's memory flat.
    @Test func aFloodStaysBounded() async throws {
      let name = engine.name()
      try await engine.gantry(
        "run", "-d", "--name", name, "--log-opt", "max-size=1m", "--log-opt", "max-file=3", "--log-opt",
        "compress=true",
        "busybox", "sh", "-c",
        "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | head -n 3000000; echo end; sleep 1000")
      let pid = try await engine.gantry("inspect", "-f", "{{.State.Pid}}", name).trimmed
      let folder = FilePath(try await engine.gantry("inspect", "-f", "{{.LogPath}}", name).trimmed)
        .removingLastComponent()
      var (disk, memory) = (0, 0)
      try await engine.eventually("the flood is over", seconds: 50) {
        let sizes = try await Command.shell("du -sk \(folder) | cut -f1; awk '/PPid/{print $2}' /proc/\(pid)/status")
          .lines
        disk = max(disk, Int(sizes[0]) ?? 0)
        let rollup = try await Command.shell("awk '/^Anonymous/{print $2}' /proc/\(sizes[1])/smaps_rollup")
        memory = max(memory, Int(rollup.trimmed) ?? 0)
        return try await engine.gantry("logs", "--tail", "1", name).stdout == "end\n"
      }
      // Three parts, one that is being compressed, and the text of one entry.
      #expect(disk > 0 && disk < 5 * 1024, "\(disk) kB")
      #expect(memory > 0 && memory < 4096, "\(memory) kB")
      try await remove(name)
    }
  }
}
