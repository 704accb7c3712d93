internal import Faults
internal import Glibc
internal import Linux
internal import Protocol

/// A probe that is under way. It calls `done` once, unless it is cancelled first; `done` may come from within its making.
protocol RunningProbe: AnyObject {
  typealias Done = (_ exitCode: Int32, _ output: [UInt8]) -> Void

  /// Gives it up; `done` is not called any more.
  func cancel()

  /// The child that does its work, if one does.
  var pid: Int32? { get }

  /// What it has written so far, for the result of a probe that took too long.
  var output: [UInt8] { get }

  /// Takes the end of a child; false when the child is not its own.
  func childEnded(_ pid: Int32, _ exit: ProcessExit) -> Bool
}

extension RunningProbe {
  var pid: Int32? { nil }
  var output: [UInt8] { [] }
  func childEnded(_ pid: Int32, _ exit: ProcessExit) -> Bool { false }
}

/// Runs a container's health check in the shim's loop: one timer, one probe at a time, and a word to the peers only when the
/// verdict changes.
///
/// The shim owns one only when the container has a check, from the start of its program to its end.
final class HealthMonitor {
  private enum Work {
    /// The timer for the next probe.
    case waiting(timer: Int)
    case probing(any RunningProbe, timeout: Int, began: LogTime, age: Int)
    /// The container is frozen.
    case paused
    case ended
  }

  private let check: HealthCheck
  private unowned let loop: EventLoop
  private let started: Int
  private var ledger: HealthLedger
  private var work = Work.paused
  /// A killed child of an earlier probe that has not ended: one that hangs in the kernel is not joined by a second.
  private var lingering: Int32?

  private let begin: Begin

  /// Begins a probe; throws when it cannot be begun at all, and returns nil when it is done already.
  typealias Begin = (@escaping RunningProbe.Done) throws(Fault) -> (any RunningProbe)?

  /// The verdict has changed.
  var onChange: () -> Void = {}

  init(_ check: HealthCheck, loop: EventLoop, begin: @escaping Begin) {
    self.check = check
    self.loop = loop
    self.begin = begin
    started = EventLoop.now()
    ledger = HealthLedger(check)
  }

  var status: HealthStatus { ledger.status }
  var state: HealthState { ledger.state }

  /// Sets the timer for the first probe.
  func start() { wait(ledger.firstDelay(chance: Double.random(in: 0..<1))) }

  /// The container is frozen: what is under way says nothing about it.
  func pause() { stop(.paused) }

  /// It goes on.
  func resume() { if case .paused = work { wait(ledger.delay(age: age)) } }

  /// It has ended.
  func end() { stop(.ended) }

  /// Takes the end of a child; false when it is none of a probe.
  func childEnded(_ pid: Int32, _ exit: ProcessExit) -> Bool {
    if pid == lingering {
      lingering = nil
      return true
    }
    if case .probing(let probe, _, _, _) = work { return probe.childEnded(pid, exit) }
    return false
  }

  private var age: Int { EventLoop.now() - started }

  private func stop(_ next: Work) {
    switch work {
    case .waiting(let timer): loop.cancel(timer)
    case .probing(let probe, let timeout, _, _):
      loop.cancel(timeout)
      giveUp(probe)
    case .paused, .ended: break
    }
    work = next
  }

  private func giveUp(_ probe: any RunningProbe) {
    lingering = probe.pid
    probe.cancel()
  }

  private func wait(_ milliseconds: Int) {
    work = .waiting(timer: loop.after(milliseconds: milliseconds) { [unowned self] in probe() })
  }

  private func probe() {
    let began = LogTime.now()
    let age = age
    guard lingering == nil else {
      return take(-1, Array("an earlier health check still hangs in the kernel".utf8), began, age)
    }
    // A probe may be done before it is even returned: then it is never kept.
    var early: (code: Int32, output: [UInt8])?
    var isKept = false
    do throws(Fault) {
      let probe = try begin { [unowned self] code, output in
        if isKept { finished(code, output) } else { early = (code, output) }
      }
      if let early { return take(early.code, early.output, began, age) }
      guard let probe else { return take(-1, Array("the probe said nothing".utf8), began, age) }
      isKept = true
      let timeout = loop.after(milliseconds: Int(check.timeout)) { [unowned self] in tookTooLong() }
      work = .probing(probe, timeout: timeout, began: began, age: age)
    } catch {
      take(-1, Array(error.description.utf8), began, age)
    }
  }

  private func finished(_ code: Int32, _ output: [UInt8]) {
    guard case .probing(_, let timeout, let began, let age) = work else { return }
    loop.cancel(timeout)
    take(code, output, began, age)
  }

  private func tookTooLong() {
    guard case .probing(let probe, _, let began, let age) = work else { return }
    giveUp(probe)
    let seconds = Double(check.timeout) / 1000
    let length = check.timeout % 1000 == 0 ? "\(check.timeout / 1000)s" : "\(seconds)s"
    var text = Array("Health check exceeded timeout (\(length))".utf8)
    if !probe.output.isEmpty { text += Array(": ".utf8) + probe.output }
    take(-1, text, began, age)
  }

  private func take(_ code: Int32, _ output: [UInt8], _ began: LogTime, _ age: Int) {
    let result = ProbeResult(
      start: began, end: .now(), exitCode: code, output: Array(output.prefix(ProbeResult.mostOutput)))
    let changed = ledger.note(result, age: age)
    wait(ledger.delay(age: self.age))
    if changed { onChange() }
  }
}
