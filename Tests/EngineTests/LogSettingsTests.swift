import Faults
import Protocol
import Testing

@testable import Engine

@Suite struct LogSettingsTests {
  private func settings(_ driver: String?, _ options: [String: String] = [:]) throws -> LogSettings {
    var host = HostConfig()
    host.logConfig = .init(type: driver, config: options)
    let settings = try LogSettings(host)
    try settings.check()
    return settings
  }

  private func definition(_ options: [String: String], driver: String = "json-file") throws -> ContainerDefinition {
    var config = ContainerConfig()
    config.labels = ["team": "red", "tier": "web", "x": "y"]
    config.env = ["STAGE=test", "PATH=/bin", "EMPTY="]
    config.cmd = ["httpd", "-f"]
    var host = HostConfig()
    host.logConfig = .init(type: driver, config: options)
    let id = String(repeating: "0123456789abcdef", count: 4)
    return ContainerDefinition(
      id: id, created: Timestamp(nanoseconds: 0), image: "busybox", imageID: "sha256:" + id, parent: nil,
      config: config,
      hostConfig: host, mounts: [], files: ContainerFiles(folder: "/f", id: id), oneShot: false)
  }

  private func made(_ options: [String: String], driver: String = "json-file") throws -> LogOptions? {
    let definition = try definition(options, driver: driver)
    return try LogSettings(definition.hostConfig).taskOptions(definition, name: "web")
  }

  @Test func eachDriverHasItsDefaults() throws {
    let json = try settings(nil)
    #expect(json.driver == .jsonFile && json.maxSize == 10 << 20 && json.maxFiles == 3 && !json.compress)
    let local = try settings("local")
    #expect(local.maxSize == 20 << 20 && local.maxFiles == 5 && local.compress)
    #expect(try settings("none").disabled)
    let cached = try settings("syslog", ["cache-max-size": "1m", "mode": "non-blocking", "max-buffer-size": "2m"])
    #expect(cached.readable && cached.maxSize == 1 << 20 && cached.nonBlocking)
    #expect(cached.maxBuffer == 2 << 20)
    #expect(try settings("syslog", ["cache-max-size": "100k"]).maxBuffer == 200 << 10, "what waits fits in the parts")
    #expect(try !settings("syslog", ["cache-disabled": "true"]).readable)
    let fluentd = try settings("fluentd", ["fluentd-async": "true", "fluentd-buffer-limit": "3m"])
    #expect(fluentd.nonBlocking && fluentd.maxBuffer == 3 << 20)
  }

  @Test(arguments: [
    ("nope", [:], "no log driver named 'nope'"), ("local", ["tag": "x"], "unknown log opt 'tag' for local"),
    ("json-file", ["max-size": "x"], "max-size \"x\" is no size"), ("json-file", ["max-file": "0"], "max-file \"0\""),
    ("json-file", ["compress": "maybe"], "neither true nor false"),
    ("json-file", ["compress": "true", "max-file": "1"], "compress cannot be true"),
    ("json-file", ["mode": "x"], "logging mode not supported: x"),
    ("syslog", ["syslog-address": "http://x"], "give unix://…"),
    ("syslog", ["syslog-facility": "x"], "syslog-facility"),
    ("gelf", ["gelf-address": "udp://x", "gelf-tcp-max-reconnect": "3"], "needs a gelf-address of tcp://"),
    ("gelf", ["gelf-address": "tcp://x", "gelf-compression-type": "gzip"], "needs a gelf-address of udp://"),
    ("fluentd", ["fluentd-retry-wait": "x"], "is no length of time"),
    ("fluentd", ["fluentd-async": "true", "fluentd-async-connect": "true"], "give one"),
    ("splunk", ["splunk-url": "http://x"], "splunk-token is expected"), ("awslogs", [:], "awslogs-group is a required"),
    ("awslogs", ["awslogs-group": "g", "awslogs-multiline-pattern": "x"], "each line as an event"),
  ])
  func refusals(driver: String, options: [String: String], words: String) throws {
    let fault = #expect(throws: Fault.self) { try settings(driver, options) }
    #expect(fault?.message.contains(words) == true, "\(fault?.message ?? "")")
  }

  @Test func labelsVariablesAndTagAreChosen() throws {
    #expect(try made([:])?.labels == nil)
    let chosen = try made(["labels": "team,missing", "labels-regex": "^ti", "env": "EMPTY", "env-regex": "AGE$"])
    #expect(chosen?.labels == ["team": "red", "tier": "web", "EMPTY": "", "STAGE": "test"])
    #expect(try made(["tag": "{{.Name}}/{{ .ID }}-{{.ImageName}}"])?.labels == ["tag": "web/0123456789ab-busybox"])
    #expect(try made([:])?.path.hasSuffix("-json.log") == true)
    #expect(try made([:], driver: "local")?.path.hasSuffix("-local.log") == true)
    #expect(try made([:], driver: "none") == nil)
  }

  @Test func deliveriesSayWhatTheDriverNeeds() throws {
    let options = try #require(try made(["tag": "{{.DaemonName}}/{{.FullID}}", "labels": "team"], driver: "syslog"))
    let delivery = try #require(options.delivery)
    #expect(options.format == "local" && options.compress == true && options.path.hasSuffix("-cached.log"))
    #expect(options.labels == ["team": "red"])
    #expect(delivery.driver == "syslog" && delivery.blocking && delivery.tag.hasPrefix("gantry/0123456789abcdef0123"))
    #expect(delivery.source.command == "httpd -f" && delivery.source.name == "web")
  }

  @Test(arguments: [("500ms", 500), ("1h2m3.5s", 3_723_500), ("7", 7), ("x", nil), ("1x", nil), ("", nil)])
  func lengthsOfTime(text: String, milliseconds: Int?) { #expect(LogDuration.milliseconds(text) == milliseconds) }
}
