internal import Cgroups
public import Faults
internal import Glibc
public import JSONRPC
internal import Linux
public import Protocol
internal import ShimCore

/// Counters of many containers at once. They are read here, by path: no shim is woken, and none needs memory for it.
extension TaskManager {
  /// What many containers use; those that do not run are left out.
  public func sample(
    _ params: TaskAPI.SampleParams, _ context: CallContext
  ) async throws(Fault) -> TaskAPI.SampleResult {
    let tasks = tasks.withLock { tasks in params.ids.compactMap { tasks[$0] } }
    let detail = params.detail ?? false
    return TaskAPI.SampleResult(
      tasks: await Thread.run {
        tasks.compactMap { task in
          guard case .live(let live) = task.snapshot.stage else { return nil }
          return Self.sample(task, live, detail: detail)
        }
      })
  }

  /// Nil when the container ends meanwhile.
  private static func sample(_ task: ManagedTask, _ live: ManagedTask.Live, detail: Bool) -> TaskSample? {
    guard let cgroup = try? Cgroup.open(path: task.cgroup) else { return nil }
    var stats = TaskStats(cgroup.statistics())
    let interfaces = (try? InterfaceCounters.ofContainer(pid: live.pid)) ?? nil
    if !detail {
      stats.memory.detail = stats.memory.detail.filter { inactiveFile.contains($0.key) }
      stats.cpu.perProcessor = nil
      stats.hugePages = []
      stats.blockIO.removeAll { !moved.contains($0.operation) || $0.operations == 0 && $0.bytes == 0 }
    }
    return TaskSample(id: task.id, stats: stats, networks: interfaces?.map(NetworkUsage.init))
  }

  /// What people mean by memory is all but this.
  private static let inactiveFile: Set<String> = ["total_inactive_file", "inactive_file"]
  private static let moved: Set<String> = ["read", "write"]
}

extension NetworkUsage {
  /// The counters as the protocol has them.
  init(_ from: InterfaceCounters) {
    func whole(_ value: UInt64) -> Int64 { Int64(clamping: value) }
    self.init(
      name: from.name, receivedBytes: whole(from.received.bytes), receivedPackets: whole(from.received.packets),
      receiveErrors: whole(from.received.errors), receiveDropped: whole(from.received.dropped),
      sentBytes: whole(from.sent.bytes), sentPackets: whole(from.sent.packets), sendErrors: whole(from.sent.errors),
      sendDropped: whole(from.sent.dropped))
  }
}
