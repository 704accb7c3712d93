import Faults
import JSONRPC
import Protocol

extension Engine {
  /// What a container uses, in Docker's shape: two samples a second apart, or one.
  func stats(_ container: Container, oneShot: Bool) async throws -> JSONValue {
    guard container.state.running != nil, var moment = try await moment(container) else {
      return DockerStats.json(stopped: container.id, name: container.name)
    }
    var earlier: StatsMoment?
    if !oneShot {
      try await Task.sleep(for: .seconds(1))
      if let next = try await self.moment(container) { (earlier, moment) = (moment, next) }
    }
    return DockerStats.json(
      id: container.id, name: container.name, moment, earlier: earlier, machineMemory: HostFacts.memoryTotal())
  }

  private func moment(_ container: Container) async throws -> StatsMoment? {
    guard let task = try await tasks.sample(.init(ids: [container.id], detail: true)).tasks.first,
      let machine = ProcessorTime.now()
    else { return nil }
    return StatsMoment(read: .now(), task: task, machine: machine)
  }

  /// The counters of every running container, by id.
  func counters() async throws -> [GatewayAPI.ContainerCounters] {
    let running = directory.all.filter { $0.state.running != nil }.sorted { $0.id < $1.id }
    let samples = try await tasks.sample(.init(ids: running.map(\.id))).tasks
    let known = Dictionary(uniqueKeysWithValues: running.map { ($0.id, $0) })
    return samples.compactMap { sample in
      guard let container = known[sample.id], let started = container.state.running?.startedAt else { return nil }
      return .init(sample, container, startedAt: started)
    }
  }
}

/// The rounds of one `stats.subscribe`: one call of the task service for all its containers each time.
struct StatsRounds {
  /// Milliseconds between two rounds, at least.
  static let shortestInterval: Int64 = 100

  let engine: Engine
  /// Ids of the containers that were named; empty for all.
  let chosen: [String]
  /// Whether those that do not run are shown too.
  let all: Bool
  private var earlier: [String: ProcessorUse] = [:]
  private let machineMemory = HostFacts.memoryTotal()

  init(_ engine: Engine, chosen: [String], all: Bool) {
    self.engine = engine
    self.chosen = chosen
    self.all = all
  }

  /// The next round. Containers that were named and are gone are left out.
  mutating func next() async throws -> GatewayAPI.StatsSamples {
    let containers =
      chosen.isEmpty
      ? try await engine.chosen(all: all, limit: 0, filters: Filters([:])).map(\.container)
      : chosen.compactMap { engine.directory.container(id: $0) }
    let running = containers.filter { $0.state.running != nil }.map(\.id)
    let tasks = running.isEmpty ? [] : try await engine.tasks.sample(.init(ids: running)).tasks
    let machine = ProcessorTime.now()
    let found = Dictionary(uniqueKeysWithValues: tasks.map { ($0.id, $0) })
    var uses: [String: ProcessorUse] = [:]
    var samples: [GatewayAPI.StatsSample] = []
    for container in containers {
      guard let task = found[container.id] else {
        if all || !chosen.isEmpty { samples.append(.init(stopped: container.id, name: container.name)) }
        continue
      }
      let use = machine.map { ProcessorUse(used: task.stats.cpu.usage, machine: $0) }
      uses[task.id] = use
      samples.append(
        .init(task, name: container.name, use: use, earlier: earlier[task.id], machineMemory: machineMemory))
    }
    earlier = uses
    return .init(time: Timestamp.now().text(), samples: samples)
  }
}
