internal import Glibc
internal import Linux
internal import SystemPackage

/// Keeps the services running where systemd does not: starts each, restarts one that dies (after a pause that doubles from
/// 0.1 to 10 seconds and is forgotten once the service stood for one), bounds the log files, hands SIGHUP on, and stops all
/// on SIGTERM.
///
/// It never touches shims or containers: these are nobody's children, and go on whatever happens here. The services get
/// SIGTERM when the supervisor dies, so that no half of an engine is left without somebody who restarts it.
final class Supervisor {
  private static let shortestPause: Int64 = 100
  private static let longestPause: Int64 = 10_000
  /// A service that stood for this long was not ended by what ends it at its start.
  private static let standing: Int64 = 1_000
  private static let stopTimeout: Int64 = 15_000
  private static let logCheckInterval: Int64 = 5_000

  /// How to start the services.
  struct Settings: Sendable {
    var places: EnginePlaces
    var programs: FilePath
    var group: String?
    var logLevel: String?
    /// For gantryd alone.
    var userRemap: String?
    /// For the services that read it.
    var configuration: String?
  }

  private enum Condition {
    case running(pid: Int32, pidfd: Int32, since: Int64)
    /// Waits for `at` (milliseconds of the monotonic clock).
    case paused(until: Int64)
    case ended
  }

  private struct Entry {
    let service: EngineService
    var condition: Condition = .ended
    var pause = Supervisor.shortestPause
  }

  private let settings: Settings
  private let lock: OwnedDescriptor
  private let signals: SignalFD
  private var entries: [Entry]

  /// Takes the supervisor's lock.
  static func holdingLock(_ settings: Settings) throws -> Supervisor {
    let places = settings.places
    try makeFolder(places.root)
    try makeFolder(places.logs)
    try makeFolder(places.state)
    if let group = settings.group.flatMap(Groups.number) {
      // Members reach the socket by its name; the folder's list stays closed to them.
      chown(places.state.string, UInt32.max, group)
      chmod(places.state.string, 0o710)
    }
    let lock = try openat2(nil, places.supervisorPid.string, [.readWrite, .create, .noFollow], mode: 0o600)
    guard flock(lock.rawValue, LOCK_EX | LOCK_NB) == 0 else {
      throw CommandFailure("another supervisor runs for \(places.state)")
    }
    ftruncate(lock.rawValue, 0)
    let pid = "\(getpid())\n"
    _ = pid.withCString { Glibc.write(lock.rawValue, $0, pid.utf8.count) }
    let signals = try SignalFD([SIGTERM, SIGINT, SIGHUP])
    return Supervisor(settings: settings, lock: lock, signals: signals)
  }

  private init(settings: Settings, lock: consuming OwnedDescriptor, signals: consuming SignalFD) {
    self.settings = settings
    self.lock = lock
    self.signals = signals
    entries = EngineService.all.map { Entry(service: $0) }
  }

  private static func makeFolder(_ path: FilePath) throws {
    do {
      try Files.makeDirectories(path)
    } catch {
      throw CommandFailure("cannot make the folder \(path) (\(error)): are you root, and is its disk writable?")
    }
  }

  /// Works until SIGTERM or SIGINT, then stops the services and returns.
  func run() {
    note("starting the services of \(settings.programs) for \(settings.places.root) and \(settings.places.state)")
    for index in entries.indices { start(index) }
    var nextLogCheck = Self.now + Self.logCheckInterval
    while true {
      var fds = [pollfd(fd: signals.descriptor.rawValue, events: Int16(POLLIN), revents: 0)]
      var wake = nextLogCheck
      for entry in entries {
        switch entry.condition {
        case .running(_, let pidfd, _): fds.append(pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0))
        case .paused(let until): wake = min(wake, until)
        case .ended: break
        }
      }
      poll(&fds, nfds_t(fds.count), Int32(max(wake - Self.now, 0)))
      while let (signal, sender) = try? signals.next() {
        guard signal != SIGHUP else {
          reload()
          continue
        }
        note("process \(sender) sent signal \(signal)")
        return stop()
      }
      for index in entries.indices { check(index) }
      if Self.now >= nextLogCheck {
        nextLogCheck = Self.now + Self.logCheckInterval
        for entry in entries { LogFile.bound(settings.places.log(entry.service.program)) }
      }
    }
  }

  private func start(_ index: Int) {
    let service = entries[index].service
    var arguments = [service.program, "--root", settings.places.root.string, "--state", settings.places.state.string]
    if let group = settings.group { arguments += ["--group", group] }
    if let level = settings.logLevel { arguments += ["--log-level", level] }
    if let remap = settings.userRemap, service.name == "gateway" { arguments += ["--userns-remap", remap] }
    if let file = settings.configuration, service.readsConfiguration { arguments += ["--config", file] }
    do {
      let log = try openat2(
        nil, settings.places.log(service.program).string, [.writeOnly, .create, .append, .noFollow], mode: 0o600)
      let request = SpawnRequest(
        .path(settings.programs.appending(EngineService.executable)), arguments: arguments,
        environment: ServiceEnvironment.variables,
        descriptors: [nil, log.rawValue, log.rawValue], newSession: true, deathSignal: SIGTERM)
      let process = try request.spawn()
      let pid = process.pid
      let pidFD = process.takePidFD()
      entries[index].condition = .running(pid: pid, pidfd: try pidFD.descriptor.duplicate().take(), since: Self.now)
      note("\(service.program) started, process \(pid)")
    } catch {
      note("\(service.program) cannot be started: \(error)")
      pause(index)
    }
  }

  private func pause(_ index: Int) {
    entries[index].condition = .paused(until: Self.now + entries[index].pause)
    entries[index].pause = min(entries[index].pause * 2, Self.longestPause)
  }

  /// Notices that a service died, or that its pause is over.
  private func check(_ index: Int) {
    switch entries[index].condition {
    case .ended: break
    case .paused(let until):
      if Self.now >= until { start(index) }
    case .running(let pid, let pidfd, let since):
      guard let (_, exit) = try? Children.wait(pid: pid, noHang: true) else { return }
      Descriptors.close(pidfd)
      if Self.now - since >= Self.standing { entries[index].pause = Self.shortestPause }
      pause(index)
      note("\(entries[index].service.program) (process \(pid)) \(Self.words(exit)); it starts again")
    }
  }

  /// Lets the services read their configuration again.
  private func reload() {
    for entry in entries where entry.service.readsConfiguration {
      if case .running(let pid, _, _) = entry.condition { kill(pid, SIGHUP) }
    }
  }

  /// Gateway first, so that nobody asks the others any more.
  private func stop() {
    note("stopping the services; containers go on")
    for index in entries.indices.reversed() {
      guard case .running(let pid, let pidfd, _) = entries[index].condition else { continue }
      kill(pid, SIGTERM)
      var fd = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
      if poll(&fd, 1, Int32(Self.stopTimeout)) == 0 {
        note("\(entries[index].service.program) did not stop within \(Self.stopTimeout / 1000) s: killing it")
        kill(pid, SIGKILL)
      }
      if let (_, exit) = try? Children.wait(pid: pid) {
        note("\(entries[index].service.program) (process \(pid)) \(Self.words(exit))")
      }
      Descriptors.close(pidfd)
      entries[index].condition = .ended
    }
    try? Files.unlink(settings.places.supervisorPid.string)
  }

  private static func words(_ exit: ProcessExit) -> String {
    switch exit {
    case .exited(let code): "ended with code \(code)"
    case .signalled(let signal, _): "was ended by signal \(signal)"
    }
  }

  private func note(_ text: String) {
    Output.note("\(Human.preciseDate(.now)) \(text)\n")
    LogFile.bound(settings.places.log("supervisor"))
  }

  /// Milliseconds of the monotonic clock.
  private static var now: Int64 { Clock.milliseconds }
}

/// The monotonic clock.
enum Clock {
  /// Milliseconds since the machine started.
  static var milliseconds: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
  }
}

/// Log files that processes append to while their size is kept in bounds.
enum LogFile {
  /// The size above which a file is cut.
  static let limit: UInt64 = 8 << 20

  /// Moves what is in a file that has become too large to `FILE.1` and empties it in place: the writer, which appends, goes
  /// on at the start.
  static func bound(_ path: FilePath, limit: UInt64 = limit) {
    guard let status = try? FileStatus(path.string), status.kind == .regular, status.size > limit,
      let bytes = try? Files.read(path.string, limit: Int(status.size))
    else { return }
    _ = try? DurableFile.write(FilePath(path.string + ".1"), bytes, durable: false)
    truncate(path.string, 0)
  }

  /// The last `lines` lines of a file; all when `lines` is nil.
  static func tail(_ path: FilePath, lines: Int?) -> [Substring] {
    let text = (try? Files.readText(path.string, limit: Int(limit) * 4)) ?? ""
    var all = text.split(separator: "\n", omittingEmptySubsequences: false)
    if all.last?.isEmpty == true { all.removeLast() }
    return lines.map { Array(all.suffix($0)) } ?? all
  }
}
