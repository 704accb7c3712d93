import Faults
import OCI
import Protocol

/// A container's health check with Docker's defaults filled in, as the shim is to run it.
struct HealthPlan: Sendable, Equatable {
  enum Test: Sendable, Equatable {
    case process([String])
    case shell(String)
    case probe(HealthProbe)
  }

  let test: Test
  /// Nanoseconds.
  let interval: Int64
  let timeout: Int64
  let startPeriod: Int64
  let startInterval: Int64
  let retries: Int64

  private static let second: Int64 = 1_000_000_000
  /// Docker's least length of anything but 0, which means the default: 1 ms.
  private static let least: Int64 = 1_000_000

  /// Reads a configuration that was merged with its image's; nil without a health check. Refusals are Docker's where it has
  /// them.
  init?(_ config: ContainerConfig) throws {
    guard let health = config.healthcheck else { return nil }
    func length(_ name: String, _ value: Int64?, _ standard: Int64) throws -> Int64 {
      guard let value, value != 0 else { return standard }
      guard value >= Self.least else { throw Fault(.invalidArgument, "\(name) in Healthcheck cannot be less than 1ms") }
      return value
    }
    interval = try length("Interval", health.interval, 30 * Self.second)
    timeout = try length("Timeout", health.timeout, 30 * Self.second)
    startPeriod = try length("StartPeriod", health.startPeriod, 0)
    startInterval = try length("StartInterval", health.startInterval, 5 * Self.second)
    let retries = health.retries ?? 0
    guard retries >= 0 else { throw Fault(.invalidArgument, "Retries in Healthcheck cannot be negative") }
    guard retries <= Int64(Int32.max) else {
      throw Fault(.invalidArgument, "Retries in Healthcheck is \(retries): it is at most \(Int32.max)")
    }
    self.retries = retries == 0 ? 3 : retries
    if let action = health.onUnhealthy, !["none", "restart", "stop", "kill", ""].contains(action.rawValue) {
      throw Fault(
        .invalidArgument, "OnUnhealthy in Healthcheck is \"\(action.rawValue)\": it is none, restart, stop or kill")
    }
    guard let kind = health.test?.first, kind != "NONE" else { return nil }
    if let reason = Self.unknownTest(health) { throw Fault(.invalidArgument, "Healthcheck: \(reason)") }
    let rest = Array((health.test ?? []).dropFirst())
    for text in rest where text.utf8.contains(0) {
      throw Fault(.invalidArgument, "Healthcheck: the test holds a NUL byte")
    }
    let first = rest.first ?? ""
    switch kind {
    case "CMD":
      guard !first.isEmpty else { throw Fault(.invalidArgument, "Healthcheck: CMD names no program") }
      test = .process(rest)
    case "CMD-SHELL":
      let text = rest.joined(separator: " ")
      if let probe = try Self.probe(text) { test = .probe(probe) } else { test = .shell(text) }
    case "TCP": test = .probe(try HealthProbe(first.hasPrefix("tcp://") ? first : "tcp://" + first))
    case "HTTP": test = .probe(try HealthProbe(first.contains("://") ? first : "http://" + first))
    default: test = .probe(try HealthProbe(first.hasPrefix("file://") ? first : "file://" + first))
    }
  }

  /// A shell's command that is nothing but the address of a probe: no program has such a name.
  private static func probe(_ text: String) throws -> HealthProbe? {
    guard (HealthProbe.schemes + ["https://"]).contains(where: text.hasPrefix), !text.contains(where: \.isWhitespace) else {
      return nil
    }
    return try HealthProbe(text)
  }

  /// Why a test is of no known kind; nil when it is.
  static func unknownTest(_ health: GatewayAPI.HealthConfig?) -> String? {
    guard let kind = health?.test?.first else { return nil }
    let known = ["NONE", "CMD", "CMD-SHELL", "TCP", "HTTP", "FILE"]
    if known.contains(kind) { return nil }
    return "the test begins with \"\(kind)\": it is one of \(known.joined(separator: ", "))"
  }

  /// What the shim is told: lengths in milliseconds, and for a program the process of the container with other arguments.
  func check(spec: RuntimeSpec, config: ContainerConfig) -> HealthCheck {
    func milliseconds(_ length: Int64) -> Int64 { min(max(1, length / 1_000_000), 3_155_760_000_000) }
    var check = HealthCheck(
      interval: milliseconds(interval), timeout: milliseconds(timeout), retries: retries,
      startPeriod: startPeriod == 0 ? 0 : milliseconds(startPeriod), startInterval: milliseconds(startInterval))
    let arguments: [String]
    switch test {
    case .probe(let probe):
      check.probe = probe.text
      return check
    case .process(let words): arguments = words
    case .shell(let text):
      let shell = config.shell ?? []
      arguments = (shell.isEmpty ? ["/bin/sh", "-c"] : shell) + [text]
    }
    var process = spec.process
    process?.args = arguments
    process?.terminal = false
    process?.consoleSize = nil
    check.process = process
    return check
  }
}
