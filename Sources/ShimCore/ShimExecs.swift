internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import Protocol
internal import Runtime

/// More processes in the container: each in a cgroup of its own below the container's (`ExecCgroup`), so that it can be
/// ended with everything that it started.
///
/// ```
/// exec          cgroup → process → a promised stream, when asked for
/// client gone   an exec that ends with its client is killed, children too; `detach` takes that back
/// exit          told → what it left running is given to the container → its cgroup is removed
/// ```
extension Shim {
  /// Runs one more process in the container.
  func exec(_ params: ShimAPI.ExecParams) throws(Fault) -> ShimAPI.ExecResult {
    switch phase {
    case .running: break
    case .paused:
      throw Fault(.conflict, "container \(options.id) is paused: unpause it before running a command in it")
    case .created, .stopped: throw Fault(.conflict, "container \(options.id) is not running")
    }
    guard execs[params.exec] == nil else {
      throw Fault(.alreadyExists, "container \(options.id) has an exec \(params.exec) already")
    }
    if params.attach != nil { try streams.requireRoom() }
    let terminal = params.process.terminal ?? false
    let ends = try StdioEnds(terminal: terminal, stdin: params.stdin)
    let place = try cgroup.makeExec(&execNumber)
    let ours: (stdin: Int32?, stdout: Int32?, stderr: Int32?)
    let pid: Int32
    do throws(Fault) {
      var request = ExecRequest(
        process: params.process, containerPID: process.pid, namespaces: spec.linux?.namespaces ?? [],
        seccompFilter: filter, seccompFlags: options.filterFlags, cgroup: cgroup, execCgroup: place, io: ends.io)
      if request.seccompFlags != 0 {
        request.container = (spec, ContainerIdentity(id: options.id, bundle: folder.path.string))
      }
      var child = try started(request)
      pid = child.pid
      ours = try ends.ours(console: child.takeConsole())
    } catch {
      try? place.killAll()
      removeCgroup(of: place, wait: 1)
      throw error
    }
    let attach = params.attach
    let io = ProcessStdio(
      stdin: ours.stdin, stdout: ours.stdout, stderr: ours.stderr, terminal: terminal, log: nil,
      held: params.hold == true || attach != nil, loop: loop, scratch: scratch)
    let id = params.exec
    let tied = attach != nil && params.endsWithClient == true
    execs[id] = Exec(pid: pid, io: io, cgroup: place, endsWithClient: tied)
    if tied { io.onPrimaryGone = { [unowned self] in clientGone(of: id) } }
    io.begin()
    io.releaseHold(afterMilliseconds: Self.holdMilliseconds)
    let stream: StreamAddress? =
      if let attach {
        address(of: try promise(attach, io: io, primary: true) { [unowned self] in clientGone(of: id) })
      } else { nil }
    return ShimAPI.ExecResult(pid: Int64(pid), stream: stream)
  }

  /// Starts an exec. When it fails because the container is ending, that is what is said.
  func started(_ request: ExecRequest) throws(Fault) -> ContainerProcess {
    do throws(Fault) {
      return try Container.exec(request)
    } catch {
      // An init that is ending waits for the exec's own end first: give it a moment to be seen.
      var events: UInt32 = 0
      let ended = try? Polling.wait(
        process.pidFD.descriptor.rawValue, for: .readable, milliseconds: error.code == .internal ? 20 : 0,
        events: &events)
      guard ended == true else { throw error }
      throw Fault(.conflict, "container \(options.id) has just ended", cause: [error.message] + error.cause)
    }
  }

  /// Lets an exec go on when its client goes away.
  func detach(_ params: ShimAPI.DetachParams) throws(Fault) -> ShimAPI.DetachResult {
    _ = try runningExec(params.exec)
    execs[params.exec]?.endsWithClient = false
    return ShimAPI.DetachResult()
  }

  /// The client of an exec is gone, or did not come.
  private func clientGone(of id: String) {
    guard let exec = execs[id], exec.endsWithClient, exec.exit == nil else { return }
    do throws(Fault) {
      try exec.cgroup?.killAll()
    } catch {
      Diagnostics.say("container \(options.id): exec \(id) cannot be ended with its children: \(error)")
      kill(exec.pid, SIGKILL)
    }
  }

  /// Takes the exit of an exec's process.
  func execEnded(_ id: String, _ exec: Exec, _ exit: ProcessExit) {
    let signal: Int64? = if case .signalled(let number, _) = exit { Int64(number) } else { nil }
    let taskExit = ExitStatus(
      code: Int64(exit.shellCode), signal: signal, oomKilled: false, finishedAt: LogTime.now().text)
    exec.io?.processExited()
    execs[id]?.exit = taskExit
    execs[id]?.cgroup = nil
    peers.tell(.execExit, id: options.id, exec: id, pid: exec.pid, exit: taskExit)
    exec.io?.exitWasRecorded()
    if let place = exec.cgroup { removeCgroup(of: place, wait: 1) }
    drainingExecs.append(id)
    endedExecs.append(id)
    if endedExecs.count > Self.mostEndedExecs, let index = endedExecs.firstIndex(where: { execs[$0]?.io == nil }) {
      execs[endedExecs.remove(at: index)] = nil
    }
    if case .stopped(let exit) = phase { recordOutcome(exit) }
  }

  /// Removes an ended exec's cgroup. It is busy for a moment while a killed process in it is dying; what outlives the
  /// patience, as a process that hangs in the kernel, goes with the container's cgroup.
  private func removeCgroup(of place: ExecCgroup, wait milliseconds: Int) {
    guard !isStopped, !place.close(besideProcess: process.pid), milliseconds < 5000 else { return }
    loop.after(milliseconds: milliseconds) { [unowned self] in removeCgroup(of: place, wait: milliseconds * 2) }
  }

  /// The running exec of that name; fails with `notFound`, or `conflict` when it has ended.
  func runningExec(_ id: String) throws(Fault) -> Exec {
    guard let exec = execs[id] else { throw Fault(.notFound, "container \(options.id) has no exec \(id)") }
    guard exec.exit == nil else { throw Fault(.conflict, "exec \(id) of container \(options.id) has ended") }
    return exec
  }
}
