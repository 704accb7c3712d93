internal import Cgroups
public import Faults
internal import Glibc
public import JSONRPC
internal import Linux
internal import OCI
public import Protocol
internal import ShimCore
internal import SystemPackage

extension TaskManager {
  /// Writes the processes of a container into a folder with CRIU.
  public func checkpoint(
    _ params: TaskAPI.CheckpointParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.CheckpointResult {
    let task = try task(params.id)
    let snapshot = task.snapshot
    guard case .live(let live) = snapshot.stage, live.status == .running else {
      throw Fault(.conflict, "container \(params.id) does not run: only a running one can be written down")
    }
    if let exec = snapshot.execs.first(where: { $0.value.exit == nil }) {
      throw Fault(
        .conflict,
        "container \(params.id) has the exec \(exec.key.prefix(12)) running, which no checkpoint can hold: end it")
    }
    guard let spec = try task.folder.read(.config, as: RuntimeSpec.self) else {
      throw Fault(.corrupt, "\(task.folder.path(.config)) is missing")
    }
    let criu = try criuProgram()
    let notes = CheckpointNotes(
      streams: try await streams(of: task),
      externalMounts: try CheckpointNotes.externalMounts(spec, try Cgroup.open(path: task.cgroup)))
    var arguments = [
      "criu", "dump", "--tree", String(live.pid), "--images-dir", params.folder, "--log-file", "dump.log", "-v2",
      "--manage-cgroups=ignore", "--file-locks",
    ]
    if params.leaveRunning == true { arguments.append("--leave-running") }
    for (number, place) in notes.externalMounts.enumerated() {
      arguments += ["--external", "mnt[\(place)]:m\(number)"]
    }
    if let input = notes.streams[0], input.hasPrefix("file") { arguments += ["--external", input] }
    if CheckpointNotes.ownsNetwork(spec) {
      let inode = (try? Files.readLink("/proc/\(live.pid)/ns/net"))?.filter(\.isNumber) ?? ""
      arguments += ["--external", "net[\(inode)]:\(CheckpointNotes.network)"]
    }
    let request = SpawnRequest(
      .path(criu), arguments: arguments,
      environment: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], newSession: true)
    // Its end is this call's to take, and not the reaper's.
    ownChildren.withLock { $0 += 1 }
    let dumped = await Thread.run { Result { () throws(Fault) in try Self.dump(request, folder: params.folder) } }
    ownChildren.withLock { $0 -= 1 }
    reapNow()
    try dumped.get()
    try CheckpointFile.write(FilePath(params.folder).appending(CheckpointNotes.file), notes)
    return TaskAPI.CheckpointResult()
  }

  /// Runs CRIU to its end. Blocks.
  private static func dump(_ request: SpawnRequest, folder: String) throws(Fault) {
    let run: CapturedRun
    do throws(Errno) {
      run = try request.capture(limit: 1 << 20, milliseconds: nil)
    } catch {
      throw Fault(.internal, "CRIU cannot be run, or how it ended is not known", cause: [error.description])
    }
    guard !run.succeeded else { return }
    let log = (try? Files.readText("\(folder)/dump.log", limit: 64 << 20)) ?? ""
    let words = log.isEmpty ? String(decoding: run.errors, as: UTF8.self) : log
    throw CheckpointNotes.fault("CRIU cannot write the container down", log: words)
  }

  /// What CRIU calls descriptors 0, 1 and 2.
  private func streams(of task: ManagedTask) async throws(Fault) -> [String?] {
    let pipes = try await task.shim().call(ShimAPI.Method.streams, .init())
    if let input = pipes.stdin { return [input, pipes.stdout, pipes.stderr] }
    let null: OwnedDescriptor
    do {
      null = try openat2(nil, "/dev/null", .readOnly)
    } catch {
      throw Fault(.internal, "/dev/null cannot be opened", cause: ["\(error)"])
    }
    return [try CheckpointNotes.name(ofFile: null.rawValue), pipes.stdout, pipes.stderr]
  }

  /// The executable of CRIU; fails with `unsupported` where there is none.
  func criuProgram() throws(Fault) -> FilePath {
    if let criu {
      if access(criu.string, X_OK) == 0 { return criu }
      throw Fault(.unsupported, "CRIU is not at \(criu): name the executable with gantry-taskd --criu")
    }
    let path = getenv("PATH").map { String(cString: $0) } ?? ""
    for folder in path.split(separator: ":").map(String.init) + ["/usr/local/sbin", "/usr/sbin", "/sbin"]
    where folder.hasPrefix("/") && access(folder + "/criu", X_OK) == 0 { return FilePath(folder + "/criu") }
    throw Fault(
      .unsupported,
      "checkpoints need CRIU, which is not installed: install it (Debian: apt-get install criu), or name it with "
        + "gantry-taskd --criu")
  }
}

/// Small files of a checkpoint.
enum CheckpointFile {
  static func write(_ path: FilePath, _ notes: CheckpointNotes) throws(Fault) {
    do {
      try DurableFile.write(path, [UInt8](RPCCoding.encode(notes)))
    } catch {
      throw Fault(describing: error)
    }
  }
}
