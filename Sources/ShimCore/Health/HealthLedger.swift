internal import Protocol

/// What one probe found.
struct ProbeResult {
  /// Bytes of output that are kept.
  static let mostOutput = 4096

  var start: LogTime
  var end: LogTime
  /// 0 is healthy; -1: it took too long or could not be run.
  var exitCode: Int32
  var output: [UInt8]
}

/// The verdict over a container, drawn from its probes by Docker's rules:
///
///     starting ──success──▶ healthy ◀──success── unhealthy
///        │                     │                    ▲
///        └────── `retries` failures in a row ───────┘   a failure in the start period does not count while starting
///
/// Times are milliseconds. It does nothing itself: the monitor runs the probes.
struct HealthLedger {
  /// Results that are kept.
  static let mostResults = 5

  private let check: HealthCheck
  private(set) var status = HealthStatus.starting
  private(set) var failingStreak = 0
  private(set) var results: [ProbeResult] = []

  init(_ check: HealthCheck) { self.check = check }

  /// Takes a result of a probe that began `age` after the container's start; whether the verdict has changed.
  mutating func note(_ result: ProbeResult, age: Int) -> Bool {
    if results.count == Self.mostResults { results.removeFirst() }
    results.append(result)
    let before = status
    if result.exitCode == 0 {
      failingStreak = 0
      status = .healthy
    } else if status != .starting || age >= Int(check.startPeriod) {
      failingStreak += 1
      if failingStreak >= Int(check.retries) { status = .unhealthy }
    }
    return status != before
  }

  /// How long to wait for the next probe, when the container is `age` old.
  func delay(age: Int) -> Int {
    Int(status == .starting && age < Int(check.startPeriod) ? check.startInterval : check.interval)
  }

  /// How long to wait for the first probe: between half of the delay and all of it, by `chance` (0 to 1), so that
  /// containers that were started together are not probed together.
  func firstDelay(chance: Double) -> Int {
    let delay = delay(age: 0)
    return delay / 2 + Int(Double(delay - delay / 2) * min(max(chance, 0), 1))
  }

  /// All of it, as the protocol has it.
  var state: HealthState {
    HealthState(
      status: status, failingStreak: Int64(failingStreak),
      log: results.map {
        HealthResult(
          start: $0.start.text, end: $0.end.text, exitCode: Int64($0.exitCode),
          output: String(decoding: $0.output, as: UTF8.self))
      })
  }
}
