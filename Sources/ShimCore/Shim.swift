internal import CLinux
internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import Protocol
internal import Runtime
internal import SystemPackage

/// One container: its init, execs, standard streams, log and exit status. One thread, one loop.
///
/// The life of a shim, which outlives taskd and answers whichever taskd is there:
///
/// ```
/// start    read config.json and task.json → cgroup → init, and meanwhile sockets → one line to taskd → state.json → loop
/// exit     init ended → read its output to the end → exit.json → tell peers → kill leftovers → remove the cgroup
/// end      every attached client has everything (or is gone), peers have been told → remove the sockets → exit
/// ```
///
/// If the shim is killed, taskd ends the container (`TaskManager.abandoned`), or the next taskd does.
final class Shim {
  /// Where the container is in its life.
  enum Phase {
    /// It exists; its program waits for `start`.
    case created
    case running
    case paused
    case stopped(ExitStatus)
  }

  /// One more process in the container; its exit is kept for those who ask later.
  struct Exec {
    var pid: Int32
    var io: ProcessStdio?
    /// Until it has ended.
    var cgroup: ExecCgroup?
    /// Killed when the client that it was started for goes away.
    var endsWithClient = false
    var exit: ExitStatus?
  }

  /// Ended execs whose exit is kept.
  static let mostEndedExecs = 256
  /// How long output waits for its first client.
  static let holdMilliseconds = 10_000

  let folder: TaskFolder
  let spec: RuntimeSpec
  let options: TaskOptions
  let filter: [UInt8]?
  let cgroup: Cgroup
  let loop = EventLoop()
  let scratch = ScratchBuffer()
  let streams: StreamListener
  let peers: PeerList
  private(set) var log: ContainerLog?

  var phase = Phase.created
  var process: ContainerProcess
  var io: ProcessStdio
  var execs: [String: Exec] = [:]
  /// Ended execs, the oldest first, and those of them whose output is still being handed out.
  var endedExecs: [String] = []
  var drainingExecs: [String] = []
  /// The number of the last exec's cgroup.
  var execNumber: UInt64 = 0
  private(set) var startedAt: String?
  private let signals: SignalFD
  private var oom: OOMHolder?
  /// Only for a container with a health check, while its program runs.
  var health: HealthMonitor?
  private var knownKills: UInt64 = 0
  private var cgroupGone = false
  private var outcomeWritten = false
  private var idleTimer: Int?
  /// Asked to end without waiting for attached clients.
  var ending = false

  /// Makes the sockets, the cgroup and the container; on failure nothing of them is left.
  init(folder: TaskFolder, control: Int32?) throws(Fault) {
    guard let spec = try folder.read(.config, as: RuntimeSpec.self),
      let options = try folder.read(.options, as: TaskOptions.self)
    else { throw Fault(.notFound, "\(folder.path) holds no task: config.json and task.json must be there") }
    self.folder = folder
    self.spec = spec
    self.options = options
    filter = try folder.bytes(.filter)
    do {
      signals = try SignalFD([SIGCHLD])
    } catch {
      throw Fault(.internal, "the shim cannot receive signals", cause: ["\(error)"])
    }
    peers = PeerList(path: folder.path(.control), inherited: control, loop: loop)
    streams = StreamListener(path: folder.path(.streams), group: options.group, loop: loop)
    cgroup = try Cgroup.create(path: options.cgroup, resources: spec.linux?.resources)
    let (peers, streams) = (peers, streams)
    log = options.log.map { ContainerLog($0) { peers.tell(.reopen, id: options.id) } }
    do throws(Fault) {
      let terminal = spec.process?.terminal ?? false
      let ends = try StdioEnds(terminal: terminal, stdin: options.stdin)
      var request = ContainerRequest(
        spec: spec, rootfs: options.rootfs.map { RootfsMount(type: $0.type, source: $0.source, options: $0.options) },
        seccompFilter: filter, seccompFlags: options.filterFlags, cgroup: cgroup, io: ends.io,
        useInit: options.useInit, waitForStart: !options.start)
      request.identity = ContainerIdentity(id: options.id, bundle: folder.path.string)
      let listen = { () throws(Fault) in
        try streams.listen()
        try peers.listen()
      }
      var child: ContainerProcess
      if let restore = options.restore {
        try listen()
        child = try Self.restored(restore, request, in: folder)
      } else {
        child = try Container.create(request, meanwhile: listen)
      }
      for warning in child.warnings { Diagnostics.say("container \(options.id): \(warning)") }
      let ours = try ends.ours(console: child.takeConsole())
      process = child
      io = ProcessStdio(
        stdin: ours.stdin, stdout: ours.stdout, stderr: ours.stderr, terminal: terminal, log: log,
        held: options.hold || options.attach != nil, loop: loop, scratch: scratch)
    } catch {
      try? cgroup.killAll()
      try? cgroup.remove()
      throw error
    }
  }

  /// Lets a created container run its program.
  func start() throws(Fault) {
    guard case .created = phase else {
      throw Fault(.conflict, "container \(options.id) has been started before: make a new task to run it again")
    }
    do throws(Fault) {
      try process.start()
    } catch {
      // The runtime has waited for the process: its end is told here.
      stopped(code: error.code == .commandNotFound ? 127 : 126, signal: nil, error: error.description)
      throw error
    }
    for warning in process.warnings { Diagnostics.say("container \(options.id): \(warning)") }
    phase = .running
    startedAt = LogTime.now().text
    writeProgress()
    beginHealth()
  }

  /// What taskd is told first. Nothing that it need not wait for comes before this.
  func ready() throws(Fault) -> ShimReady {
    if options.start {
      phase = .running
      startedAt = LogTime.now().text
    }
    let token: String? = if let attach = options.attach { try promise(attach, io: io, primary: true) } else { nil }
    return ShimReady(pid: process.pid, startedAt: startedAt, token: token)
  }

  /// Everything else after the container was made: state.json, output, watches.
  func settle() {
    writeProgress()
    if options.hold || options.attach != nil {
      loop.after(milliseconds: Self.holdMilliseconds) { [unowned self] in
        if !streams.expectsClients || options.attach == nil { io.releaseHold() }
      }
    }
    log?.begin(folder: folder, logger: options.logger, loop: loop) { [unowned self] in io.logMayHaveRoom() }
    peers.answer = { [unowned self] line in answer(line) }
    loop.watch(signals.descriptor.rawValue, .read) { [unowned self] _ in reap() }
    watchOOM()
    loop.onRoundEnd = { [unowned self] in endRound() }
    io.begin()
    if options.start { beginHealth() }
  }

  /// A token for one client of `io`; `absent` is called when it does not come.
  func promise(
    _ selection: AttachStreams, io: ProcessStdio, primary: Bool, absent: @escaping () -> Void = {}
  ) throws(Fault) -> String {
    try streams.promise(awaited: primary) { fd in
      io.attach(fd: fd, selection: selection, primary: primary)
    } expired: {
      if primary { io.releaseHold() }
      absent()
    }
  }

  /// A full /run does not end a container: without state.json only a killed shim's container is harder to explain.
  private func writeProgress() {
    do throws(Fault) {
      let progress = TaskProgress(shimPid: getpid(), pid: process.pid, startedAt: startedAt)
      try folder.write(.progress, bytes: Array(progress.json.utf8))
    } catch {
      Diagnostics.say("container \(options.id): \(error)")
    }
  }

  // MARK: The end of processes

  /// Takes the exit of every child that has ended: init, execs, and orphans that became ours.
  private func reap() {
    _ = try? signals.next()
    while let (pid, exit) = (try? Children.wait(noHang: true)) ?? nil {
      if pid == process.pid, !isStopped {
        initEnded(exit)
      } else if log?.childEnded(pid, code: exit.shellCode) == true {
        continue
      } else if let (id, exec) = execs.first(where: { $0.value.pid == pid && $0.value.exit == nil }) {
        execEnded(id, exec, exit)
      } else {
        _ = health?.childEnded(pid, exit)
      }
    }
  }

  var isStopped: Bool {
    if case .stopped = phase { return true }
    return false
  }

  private func initEnded(_ exit: ProcessExit) {
    let signal: Int64? = if case .signalled(let number, _) = exit { Int64(number) } else { nil }
    stopped(code: Int64(exit.shellCode), signal: signal, error: nil)
  }

  private func stopped(code: Int64, signal: Int64?, error: String?) {
    let kills = cgroup.oomKills
    if kills > knownKills { oomKilled(kills) }
    io.processExited()
    log?.flush()
    let exit = ExitStatus(
      code: code, signal: signal, oomKilled: kills > 0, finishedAt: LogTime.now().text, error: error)
    phase = .stopped(exit)
    health?.end()
    recordOutcome(exit)
    peers.tell(.exit, id: options.id, pid: process.pid, exit: exit)
    io.exitWasRecorded()
    // Who was told goes first: what follows takes a millisecond, and nobody waits for it.
    sched_yield()
    if let oom { loop.forget(oom.watch.descriptor) }
    oom = nil
    try? cgroup.killAll()
    removeCgroup(wait: 1)
    for warning in Hooks.stopped(spec, ContainerIdentity(id: options.id, bundle: folder.path.string)) {
      Diagnostics.say("container \(options.id): \(warning)")
    }
  }

  /// exit.json on a full /run: an exit that cannot be written is told all the same, and tried again before the end.
  func recordOutcome(_ exit: ExitStatus) {
    let outcome = TaskOutcome(
      pid: process.pid, startedAt: startedAt, exit: exit, execs: execs.compactMapValues(\.exit))
    do throws(Fault) {
      try folder.write(.outcome, bytes: Array(outcome.json.utf8))
      outcomeWritten = true
    } catch {
      guard access(folder.path.string, F_OK) == 0 else {
        outcomeWritten = true  // the folder was taken away: nobody will ever look for the exit
        return
      }
      Diagnostics.say("container \(options.id): \(error)")
      loop.after(milliseconds: 200) { [unowned self] in recordOutcome(exit) }
    }
  }

  /// Execs that share nothing with the container's pid namespace may outlive it by a moment: the cgroup is busy until then.
  private func removeCgroup(wait milliseconds: Int) {
    if cgroup.removeOnce() {
      cgroupGone = true
    } else if milliseconds < 5000 {
      loop.after(milliseconds: milliseconds) { [unowned self] in
        try? cgroup.killAll()
        removeCgroup(wait: milliseconds * 2)
      }
    } else {
      Diagnostics.say("container \(options.id): its cgroup \(options.cgroup) stays busy; left for task.delete")
      cgroupGone = true
    }
  }

  // MARK: Out of memory

  private func watchOOM() {
    guard let watch = try? cgroup.watchOOM() else { return }
    let descriptor = watch.descriptor
    let interest = EventLoop.Interest(rawValue: watch.epollEvents)
    oom = OOMHolder(watch)
    loop.watch(descriptor, interest) { [unowned self] _ in
      let kills = oom?.watch.kills() ?? 0
      if kills > knownKills { oomKilled(kills) }
    }
  }

  private func oomKilled(_ kills: UInt64) {
    knownKills = kills
    peers.tell(.oom, id: options.id)
  }

  // MARK: Between events

  private func endRound() {
    log?.flush()
    if scratch.isDirty && idleTimer == nil {
      idleTimer = loop.after(milliseconds: 1000) { [unowned self] in
        idleTimer = nil
        releaseIdleMemory()
      }
    }
    drainingExecs.removeAll { id in
      guard let io = execs[id]?.io, !io.isFinished || io.hasClients else {
        execs[id]?.io = nil
        return true
      }
      return false
    }
    if canEnd { loop.stop() }
  }

  /// Gives memory that start and bursts of output took back to the kernel.
  func releaseIdleMemory() {
    scratch.releaseIdleMemory()
    log?.releaseIdleMemory()
    _ = cl_malloc_trim()
    cl_stack_trim()
  }

  private var canEnd: Bool {
    guard isStopped, outcomeWritten || ending, cgroupGone, peers.areDrained else { return false }
    if ending { return true }
    if log?.isBusy ?? false { return false }
    return io.isFinished && !io.hasClients && !streams.expectsClients
      && execs.values.allSatisfy { $0.exit != nil && $0.io == nil }
  }

  /// Drops every client and lets the shim end at once; the container must have ended.
  func shutDown() {
    ending = true
    io.shutDown()
    for exec in execs.values { exec.io?.shutDown() }
    log?.flush()
  }

  /// Removes the sockets: after this nobody can reach the shim.
  func close() {
    streams.close()
    peers.close()
    unlink(folder.path(.streams).string)
    unlink(folder.path(.control).string)
  }
}

/// Owns the watch: a noncopyable value cannot be taken out of a class's property.
private final class OOMHolder {
  let watch: OOMWatch
  init(_ watch: consuming OOMWatch) { self.watch = watch }
}
