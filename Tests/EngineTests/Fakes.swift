import Faults
import Foundation
import JSONRPC
import Logging
import OCI
import Protocol
import Synchronization

@testable import Engine

/// Images that exist in memory.
final class FakeImages: ImageService, Sendable {
  let all = Mutex<[String: ImageAPI.ResolvedImage]>([:])
  let removed = Mutex<[ImageAPI.RemoveParams]>([])

  init() {
    var execution = ImageConfig.Execution()
    execution.cmd = ["sh"]
    execution.env = ["PATH=/bin", "A=image"]
    add("busybox", execution)
  }

  static func digest(_ text: String) -> String {
    "sha256:" + String(repeating: text.utf8.reduce("") { $0 + String($1, radix: 16) }, count: 64).prefix(64)
  }

  func add(_ name: String, _ execution: ImageConfig.Execution) {
    let id = Self.digest(name)
    let layer = Self.digest(name + "layer")
    let config = ImageConfig(
      architecture: "amd64", os: "linux", config: execution, rootfs: .init(type: "layers", diffIDs: []))
    guard let digest = try? Digest(parsing: id) else { return }
    let descriptor = Descriptor(mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digest, size: 1)
    all.withLock {
      $0[name] = ImageAPI.ResolvedImage(
        id: id, name: name, reference: name, manifest: descriptor, config: config,
        layers: [LayerSource(descriptor: descriptor, diffID: layer, chainID: layer, path: "/none")])
    }
  }

  func find(_ reference: String) throws(Fault) -> ImageAPI.ResolvedImage {
    let found = all.withLock { images in
      images[reference] ?? images[String(reference.prefix { $0 != ":" })] ?? images.values.first { $0.id == reference }
    }
    guard let found else { throw Fault(.notFound, "no image \(reference)") }
    return found
  }

  func resolve(_ params: ImageAPI.ResolveParams, _ context: CallContext) async throws(Fault) -> ImageAPI.ResolveResult {
    .init(image: try find(params.reference))
  }
  func list(_ params: ImageAPI.ListParams, _ context: CallContext) async throws(Fault) -> ImageAPI.ListResult {
    .init(
      images: all.withLock { images in
        images.values.map {
          ImageSummary(
            id: $0.id, repoTags: [($0.name ?? "") + ":latest"], repoDigests: [], created: "2026-01-01T00:00:00Z",
            size: 10,
            labels: $0.config.config?.labels ?? [:], architecture: "amd64", os: "linux", manifest: "", dangling: false)
        }
      })
  }
  func remove(_ params: ImageAPI.RemoveParams, _ context: CallContext) async throws(Fault) -> ImageAPI.RemoveResult {
    let image = try find(params.reference)
    removed.withLock { $0.append(params) }
    all.withLock { _ = $0.removeValue(forKey: image.name ?? "") }
    return .init(untagged: [(image.name ?? "") + ":latest"], deleted: [image.id])
  }
  func tag(_ params: ImageAPI.TagParams, _ context: CallContext) async throws(Fault) -> ImageAPI.TagResult { .init() }
  func pull(_ params: ImageAPI.PullParams, _ context: CallContext) async throws(Fault) -> ImageAPI.PullResult {
    throw Fault(.notFound, "manifest for \(params.reference) not found")
  }
  func confirmPull(
    _ params: ImageAPI.ConfirmPullParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.ConfirmPullResult { .init() }
  func openImport(
    _ params: ImageAPI.OpenImportParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.OpenImportResult { throw Fault(.unsupported, "not here") }
  func finishImport(
    _ params: ImageAPI.FinishImportParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.FinishImportResult { throw Fault(.unsupported, "not here") }
  func cancelImport(
    _ params: ImageAPI.CancelImportParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.CancelImportResult { .init() }
  func importPath(
    _ params: ImageAPI.ImportPathParams, _ context: CallContext
  ) async throws(Fault) -> ImageAPI.ImportPathResult { throw Fault(.unsupported, "not here") }
  func inspect(_ params: ImageAPI.InspectParams, _ context: CallContext) async throws(Fault) -> ImageAPI.InspectResult {
    .init(image: ["Id": .string(try find(params.reference).id)])
  }
  func history(_ params: ImageAPI.HistoryParams, _ context: CallContext) async throws(Fault) -> ImageAPI.HistoryResult {
    .init(entries: [])
  }
  func usage(_ params: ImageAPI.UsageParams, _ context: CallContext) async throws(Fault) -> ImageAPI.UsageResult {
    .init(blobs: 0, bytes: 0)
  }

  /// Leases that are open.
  let open = Mutex<Set<String>>([])
  /// Images that were used, in the order of telling.
  let used = Mutex<[String]>([])
  /// Pinned ids.
  let pinned = Mutex<Set<String>>([])
  /// When images were last used.
  let times = Mutex<[String: Int64]>([:])

  func lease(_ params: ImageAPI.LeaseParams, _ context: CallContext) async throws(Fault) -> ImageAPI.LeaseResult {
    open.withLock { _ = $0.insert(params.lease) }
    return .init()
  }
  func release(_ params: ImageAPI.ReleaseParams, _ context: CallContext) async throws(Fault) -> ImageAPI.ReleaseResult {
    open.withLock { _ = $0.remove(params.lease) }
    return .init()
  }
  func leases(_ params: ImageAPI.LeasesParams, _ context: CallContext) async throws(Fault) -> ImageAPI.LeasesResult {
    .init(leases: open.withLock { $0.sorted().map { Lease(name: $0, secondsLeft: 1, holds: []) } })
  }
  func collect(_ params: ImageAPI.CollectParams, _ context: CallContext) async throws(Fault) -> ImageAPI.CollectResult {
    .init(blobs: 0, bytes: 0)
  }
  /// What the next check finds.
  let damage = Mutex<[ImageAPI.ContentDamage]>([])
  func verify(_ params: ImageAPI.VerifyParams, _ context: CallContext) async throws(Fault) -> ImageAPI.VerifyResult {
    .init(blobs: 1, bytes: 1, damage: damage.withLock { $0 })
  }
  func graph(_ params: ImageAPI.GraphParams, _ context: CallContext) async throws(Fault) -> ImageAPI.GraphResult {
    let images = all.withLock { $0.sorted { $0.key < $1.key }.map(\.value) }
    let (pinned, times) = (pinned.withLock { $0 }, times.withLock { $0 })
    return .init(
      images: images.enumerated().map { index, image in
        .init(
          id: image.id, manifest: image.id, names: [image.name ?? ""], pinned: pinned.contains(image.id),
          used: times[image.id] ?? 0, layers: [Int64(index)])
      },
      layers: images.map {
        .init(chainID: $0.layers[0].chainID, digest: "blob " + $0.layers[0].diffID, size: 100, stored: 100)
      }, bytes: Int64(images.count * 100))
  }
  func pin(_ params: ImageAPI.PinParams, _ context: CallContext) async throws(Fault) -> ImageAPI.PinResult {
    let id = try find(params.reference).id
    pinned.withLock { set in _ = params.pinned ? set.insert(id).inserted : set.remove(id) != nil }
    return .init(id: id)
  }
  func noteUse(_ params: ImageAPI.NoteUseParams, _ context: CallContext) async throws(Fault) -> ImageAPI.NoteUseResult {
    used.withLock { $0 += params.ids }
    return .init()
  }
}

/// Snapshots that are names.
final class FakeSnapshots: SnapshotService, Sendable {
  let active = Mutex<[String: String?]>([:])
  let layers = Mutex<Set<String>>([])
  let pruned = Mutex<[[String]]>([])
  let failRemoval = Mutex(false)
  /// Fillings that were asked for, and how the next ones end.
  let filled = Mutex<[SnapshotAPI.FillParams]>([])
  let failFilling = Mutex(false)

  private func mounts(_ key: String) -> [MountSpec] {
    [MountSpec(type: "overlay", source: "overlay", options: ["lowerdir+=/l", "upperdir=/u/\(key)", "workdir=/w"])]
  }
  func unpack(
    _ params: SnapshotAPI.UnpackParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.UnpackResult {
    layers.withLock { set in for layer in params.layers { set.insert(layer.chainID) } }
    return .init(chainID: params.layers.last?.chainID ?? "", unpacked: params.layers.map(\.chainID), bytes: 1)
  }
  func prepare(
    _ params: SnapshotAPI.PrepareParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.PrepareResult {
    if let parent = params.parent, !layers.withLock({ $0.contains(parent) }) { throw Fault(.notFound, "no layer") }
    active.withLock { $0[params.key] = params.parent }
    return .init(mounts: mounts(params.key))
  }
  func view(_ params: SnapshotAPI.ViewParams, _ context: CallContext) async throws(Fault) -> SnapshotAPI.ViewResult {
    active.withLock { $0[params.key] = params.parent }
    return .init(mounts: [MountSpec(type: "bind", source: "/view/\(params.key)", options: ["rbind", "ro"])])
  }
  func fill(_ params: SnapshotAPI.FillParams, _ context: CallContext) async throws(Fault) -> SnapshotAPI.FillResult {
    filled.withLock { $0.append(params) }
    if failFilling.withLock({ $0 }) { throw Fault(.unavailable, "the service went away") }
    return .init(files: 1, bytes: 1)
  }
  func mounts(
    _ params: SnapshotAPI.MountsParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.MountsResult {
    guard active.withLock({ $0[params.key] != nil }) else { throw Fault(.notFound, "no snapshot") }
    return .init(mounts: mounts(params.key))
  }
  func commit(
    _ params: SnapshotAPI.CommitParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.CommitResult { throw Fault(.unsupported, "not here") }
  func remove(
    _ params: SnapshotAPI.RemoveParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.RemoveResult {
    if failRemoval.withLock({ $0 }) { throw Fault(.noSpace, "the disk is full") }
    active.withLock { for key in params.keys { $0[key] = nil } }
    return .init()
  }
  func list(_ params: SnapshotAPI.ListParams, _ context: CallContext) async throws(Fault) -> SnapshotAPI.ListResult {
    .init(
      snapshots: active.withLock { active in
        active.keys.map {
          .init(key: $0, kind: .active, created: "2026-01-01T00:00:00Z", labels: ["gantry.container": $0], path: "/")
        }
      })
  }
  func stat(_ params: SnapshotAPI.StatParams, _ context: CallContext) async throws(Fault) -> SnapshotAPI.StatResult {
    throw Fault(.unsupported, "not here")
  }
  func usage(_ params: SnapshotAPI.UsageParams, _ context: CallContext) async throws(Fault) -> SnapshotAPI.UsageResult {
    .init(bytes: 5, inodes: 1)
  }
  func layerPrune(
    _ params: SnapshotAPI.LayerPruneParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.LayerPruneResult {
    pruned.withLock { $0.append(params.keep) }
    return .init(removed: [], bytes: 0)
  }

  /// Leases that are open.
  let open = Mutex<Set<String>>([])
  func lease(_ params: SnapshotAPI.LeaseParams, _ context: CallContext) async throws(Fault) -> SnapshotAPI.LeaseResult {
    open.withLock { _ = $0.insert(params.lease) }
    return .init()
  }
  func release(
    _ params: SnapshotAPI.ReleaseParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.ReleaseResult {
    open.withLock { _ = $0.remove(params.lease) }
    return .init()
  }
  func leases(
    _ params: SnapshotAPI.LeasesParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.LeasesResult { .init(leases: []) }
  /// What the next check finds.
  let damage = Mutex<[SnapshotAPI.LayerDamage]>([])
  func verify(
    _ params: SnapshotAPI.VerifyParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.VerifyResult {
    .init(layers: Int64(params.layers.count), files: 1, damage: damage.withLock { $0 })
  }
  func mark(_ params: SnapshotAPI.MarkParams, _ context: CallContext) async throws(Fault) -> SnapshotAPI.MarkResult {
    .init(mark: "1-1")
  }

  /// The trees that were asked for, in order.
  let trees = Mutex<[SnapshotAPI.SnapshotTree]>([])
  /// What the next calls about a tree do instead of working.
  let treeFaults = Mutex<[Fault]>([])
  /// The ends of transfers, by name.
  let ends = Mutex<[String: AsyncStream<Void>.Continuation]>([:])
  private let waiting = Mutex<[String: AsyncStream<Void>]>([:])

  private func note(_ tree: SnapshotAPI.SnapshotTree) throws(Fault) -> String {
    let number = trees.withLock { trees in
      trees.append(tree)
      return trees.count
    }
    if let fault = treeFaults.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { throw fault }
    let (stream, end) = AsyncStream.makeStream(of: Void.self)
    waiting.withLock { $0["copy\(number)"] = stream }
    ends.withLock { $0["copy\(number)"] = end }
    return "copy\(number)"
  }
  private static let stat = PathStat(name: "f", size: 1, mode: 0o644, mtime: "2026-01-01T00:00:00Z", linkTarget: "")
  private static let stream = StreamAddress(socket: "/s", token: "t")

  func fileStat(
    _ params: SnapshotAPI.FileStatParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.FileStatResult {
    _ = try note(params.tree)
    return .init(stat: Self.stat)
  }
  func archive(
    _ params: SnapshotAPI.ArchiveParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.ArchiveResult {
    .init(copy: try note(params.tree), stat: Self.stat, stream: Self.stream)
  }
  func extract(
    _ params: SnapshotAPI.ExtractParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.ExtractResult { .init(copy: try note(params.tree), stream: Self.stream) }
  func changes(
    _ params: SnapshotAPI.ChangesParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.ChangesResult { .init(copy: try note(params.tree), stream: Self.stream) }
  func finishCopy(
    _ params: SnapshotAPI.FinishCopyParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.FinishCopyResult {
    guard let stream = waiting.withLock({ $0.removeValue(forKey: params.copy) }) else {
      throw Fault(.notFound, "no transfer")
    }
    for await _ in stream {}
    return .init(bytes: 512)
  }
  func cancelCopy(
    _ params: SnapshotAPI.CancelCopyParams, _ context: CallContext
  ) async throws(Fault) -> SnapshotAPI.CancelCopyResult { .init() }
}

/// Tasks that do as the test says.
final class FakeTasks: TaskService, Sendable {
  struct State {
    var tasks: [String: TaskState] = [:]
    var health: [String: HealthState] = [:]
    var created: [TaskAPI.CreateParams] = []
    var signals: [(id: String, signal: Int64)] = []
    var updates: [TaskAPI.UpdateParams] = []
    var nextPid: Int64 = 1000
    /// What the next create does instead of starting.
    var failure: Fault?
    /// Ends at once, before create answers.
    var endsAtOnce: Int64?
    /// The signals that end a task.
    var deadly: Set<Int64> = [9, 15]
    /// What `sample` answers for the tasks that are asked for.
    var samples: [TaskSample] = []
    /// What `processes` answers.
    var pids: [Int64] = []
    var execs: [TaskAPI.ExecParams] = []
    /// Execs that go on without their clients.
    var detached: [String] = []
  }
  let state = Mutex(State())
  let onEvent = Mutex<(@Sendable (TaskAPI.TaskEvent) -> Void)?>(nil)

  static func exit(_ code: Int64) -> ExitStatus {
    ExitStatus(code: code, oomKilled: false, finishedAt: Timestamp.now().text())
  }

  /// Ends a task after a run that lasted `seconds`.
  func end(_ id: String, _ code: Int64, after seconds: Int64 = 0) {
    var exit = Self.exit(code)
    exit.finishedAt = Timestamp(nanoseconds: Timestamp.now().nanoseconds + seconds * 1_000_000_000).text()
    let pid = state.withLock { state -> Int64? in
      guard state.tasks[id] != nil else { return nil }
      state.tasks[id]?.status = .stopped
      state.tasks[id]?.exit = exit
      return state.tasks[id]?.pid
    }
    guard let pid else { return }
    onEvent.withLock { $0 }?(
      .init(sequence: 1, time: exit.finishedAt, type: .exit, id: id, pid: pid, exit: exit))
  }

  /// The health check says something.
  func tell(_ id: String, _ status: HealthStatus) {
    let health = HealthState(status: status, failingStreak: status == .healthy ? 0 : 3, log: [])
    state.withLock {
      $0.tasks[id]?.health = status
      $0.health[id] = health
    }
    onEvent.withLock { $0 }?(
      .init(sequence: 1, time: Timestamp.now().text(), type: .health, id: id, health: health))
  }

  /// The machine was started anew: nothing runs.
  func reboot() {
    state.withLock {
      $0.tasks = [:]
      $0.health = [:]
    }
  }

  func health(_ params: TaskAPI.HealthParams, _ context: CallContext) async throws(Fault) -> TaskAPI.HealthResult {
    .init(health: state.withLock { $0.health[params.id] })
  }

  func create(_ params: TaskAPI.CreateParams, _ context: CallContext) async throws(Fault) -> TaskAPI.CreateResult {
    let (pid, failure, ends) = state.withLock { state -> (Int64, Fault?, Int64?) in
      state.created.append(params)
      if let failure = state.failure {
        state.failure = nil
        return (0, failure, nil)
      }
      state.nextPid += 1
      state.tasks[params.id] = TaskState(
        id: params.id, pid: state.nextPid, status: .running, startedAt: Timestamp.now().text(), execs: [], shimPid: 1)
      return (state.nextPid, nil, state.endsAtOnce)
    }
    if let failure { throw failure }
    if let ends {
      end(params.id, ends)
      await Task.yield()
    }
    return .init(pid: pid, stream: params.attach == nil ? nil : StreamAddress(socket: "/s", token: "t"))
  }
  func start(_ params: TaskAPI.StartParams, _ context: CallContext) async throws(Fault) -> TaskAPI.StartResult {
    .init(pid: 1)
  }
  func list(_ params: TaskAPI.ListParams, _ context: CallContext) async throws(Fault) -> TaskAPI.ListResult {
    .init(tasks: state.withLock { Array($0.tasks.values) })
  }
  func get(_ params: TaskAPI.GetParams, _ context: CallContext) async throws(Fault) -> TaskAPI.GetResult {
    guard let task = state.withLock({ $0.tasks[params.id] }) else { throw Fault(.notFound, "no task") }
    return .init(task: task)
  }
  func signal(_ params: TaskAPI.SignalParams, _ context: CallContext) async throws(Fault) -> TaskAPI.SignalResult {
    let deadly = state.withLock { state in
      state.signals.append((params.id, params.signal))
      return state.deadly.contains(params.signal)
    }
    if deadly { end(params.id, 128 + params.signal) }
    return .init()
  }
  func pause(_ params: TaskAPI.PauseParams, _ context: CallContext) async throws(Fault) -> TaskAPI.PauseResult {
    .init()
  }
  func resume(
    _ params: TaskAPI.ResumeParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.ResumeResult { .init() }
  func wait(_ params: TaskAPI.WaitParams, _ context: CallContext) async throws(Fault) -> TaskAPI.WaitResult {
    throw Fault(.unsupported, "not here")
  }
  func delete(_ params: TaskAPI.DeleteParams, _ context: CallContext) async throws(Fault) -> TaskAPI.DeleteResult {
    guard let task = state.withLock({ $0.tasks[params.id] }) else { throw Fault(.notFound, "no task") }
    if task.status != .stopped { end(params.id, 137) }
    let exit = state.withLock { $0.tasks.removeValue(forKey: params.id)?.exit }
    return .init(exit: exit)
  }
  func exec(_ params: TaskAPI.ExecParams, _ context: CallContext) async throws(Fault) -> TaskAPI.ExecResult {
    if let failure = state.withLock({ state in
      defer { state.failure = nil }
      return state.failure
    }) {
      throw failure
    }
    state.withLock { $0.execs.append(params) }
    return .init(pid: 7)
  }
  func attach(_ params: TaskAPI.AttachParams, _ context: CallContext) async throws(Fault) -> TaskAPI.AttachResult {
    .init(stream: StreamAddress(socket: "/s", token: "t"))
  }
  func resize(_ params: TaskAPI.ResizeParams, _ context: CallContext) async throws(Fault) -> TaskAPI.ResizeResult {
    .init()
  }
  func closeInput(
    _ params: TaskAPI.CloseInputParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.CloseInputResult { .init() }
  func update(_ params: TaskAPI.UpdateParams, _ context: CallContext) async throws(Fault) -> TaskAPI.UpdateResult {
    let failure = state.withLock { state -> Fault? in
      defer { state.failure = nil }
      if state.failure == nil { state.updates.append(params) }
      return state.failure
    }
    if let failure { throw failure }
    return .init()
  }
  func stats(_ params: TaskAPI.StatsParams, _ context: CallContext) async throws(Fault) -> TaskAPI.StatsResult {
    throw Fault(.unsupported, "not here")
  }
  func sample(_ params: TaskAPI.SampleParams, _ context: CallContext) async throws(Fault) -> TaskAPI.SampleResult {
    .init(tasks: state.withLock { state in params.ids.compactMap { id in state.samples.first { $0.id == id } } })
  }
  func checkpoint(
    _ params: TaskAPI.CheckpointParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.CheckpointResult {
    if let failure = state.withLock({ state in
      defer { state.failure = nil }
      return state.failure
    }) {
      throw failure
    }
    try? Data("pages".utf8).write(to: URL(filePath: params.folder + "/pages-1.img"))
    if params.leaveRunning != true { end(params.id, 137) }
    return .init()
  }
  func detach(_ params: TaskAPI.DetachParams, _ context: CallContext) async throws(Fault) -> TaskAPI.DetachResult {
    state.withLock { $0.detached.append(params.exec) }
    return .init()
  }
  func processes(
    _ params: TaskAPI.ProcessesParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.ProcessesResult { .init(pids: state.withLock { $0.pids }) }
  func subscribe(
    _ params: TaskAPI.SubscribeParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.SubscribeResult { .init() }
}

/// An engine over fakes, in a folder of its own that goes with it.
final class TestEngine: Sendable {
  let images = FakeImages()
  let snapshots: FakeSnapshots
  let tasks: FakeTasks
  let engine: Engine
  let folder: String
  let clock = TestClock()
  private let ownsFolder: Bool

  /// - Parameters:
  ///   - earlier: an engine whose folder and services this one takes over.
  ///   - boot: which start of the machine it is.
  ///   - remap: the setting of the common user namespace.
  init(after earlier: TestEngine? = nil, boot: String = "first", remap: String? = nil) throws {
    folder = earlier?.folder ?? "/tmp/gantry-engine-\(Identifier.random(digits: 10))"
    ownsFolder = earlier == nil
    snapshots = earlier?.snapshots ?? FakeSnapshots()
    tasks = earlier?.tasks ?? FakeTasks()
    try FileManager.default.createDirectory(atPath: folder + "/run", withIntermediateDirectories: true)
    try Data("gantry:500000:65536\n1000:700000:65536\n".utf8).write(to: URL(filePath: folder + "/subuid"))
    try Data("gantry:600000:65536\n1000:800000:65536\n".utf8).write(to: URL(filePath: folder + "/subgid"))
    engine = try Engine(
      images: images, snapshots: snapshots, tasks: tasks,
      settings: EngineSettings(
        folder: folder + "/gateway", state: folder + "/run", group: nil, userRemap: remap, accounts: folder),
      machine: Machine(
        capabilities: Capabilities(bounding: (1 << 41) - 1), cpuCount: 4, cgroupVersion: 2, hostname: "host",
        boot: boot),
      log: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, clock: clock)
    let engine = self.engine
    tasks.onEvent.withLock { $0 = { [weak engine] event in engine?.taskEvent(event) } }
  }

  deinit { if ownsFolder { try? FileManager.default.removeItem(atPath: folder) } }

  func run(
    name: String? = nil, autoRemove: Bool = false, config change: (inout ContainerConfig) -> Void = { _ in },
    host changeHost: (inout HostConfig) -> Void = { _ in }
  ) async throws -> String {
    var config = ContainerConfig()
    config.image = "busybox"
    change(&config)
    var host = HostConfig()
    host.autoRemove = autoRemove
    changeHost(&host)
    return try await engine.containerRun(.init(name: name, config: config, hostConfig: host)).id
  }

  func create(name: String? = nil) async throws -> String {
    try await engine.containerCreate(.init(name: name, config: .init(image: "busybox"), hostConfig: .init())).id
  }

  /// The database as another engine would find it.
  func rows() async throws -> [String: ContainerRow] {
    let list = try await engine.store.containers()
    return Dictionary(uniqueKeysWithValues: list.map { ($0.id, $0) })
  }
}
