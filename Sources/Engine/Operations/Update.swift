import Faults
import Foundation
import OCI
import Protocol

extension Engine {
  /// Gives a container other limits: at once when it runs, and for every later start.
  ///
  /// Everything is checked as at create, with what the container has already. Then the kernel is asked, and when it agrees
  /// the row is written: a refusal leaves all as it was.
  ///
  /// - Returns: warnings for the caller.
  func update(_ container: Container, _ change: GatewayAPI.ContainerUpdate) async throws -> [String] {
    try await container.lane.run {
      switch container.state {
      case .removing, .dead:
        throw Fault(
          .conflict, "Cannot update container \(container.name): it is marked for removal and cannot be \"update\"")
      case .created, .starting, .running, .paused, .restarting, .exited: break
      }
      let definition = container.definition
      let host = try LimitChange(change).applied(to: definition.hostConfig)
      try check.check(definition.config, host)
      if container.state.running != nil, let resources = try builder.changed(from: definition.hostConfig, to: host) {
        try await allowing(.notFound) {
          try await tasks.update(.init(id: container.id, resources: resources))
        }
      }
      try await store.update(id: container.id, hostConfig: JSONEncoder().encode(host))
      if let policy = change.restartPolicy { try await setRestartPolicy(container, policy) }
      let updated = definition.with(host)
      container.redefine(updated) { publish("update", updated, name: $0) }
      return RequestCheck.warnings(host)
    }
  }
}

/// What `update` changes, by Docker's rules: what is absent or zero stays as it is.
struct LimitChange {
  let change: GatewayAPI.ContainerUpdate

  init(_ change: GatewayAPI.ContainerUpdate) { self.change = change }

  /// `old` with the change; throws where the two contradict each other.
  func applied(to old: HostConfig) throws -> HostConfig {
    var host = old
    try applyMemory(old, &host)
    try applyProcessor(old, &host)
    func set<Value>(_ path: WritableKeyPath<HostConfig, Value?>, _ value: Value?, unless empty: (Value) -> Bool) {
      if let value, !empty(value) { host[keyPath: path] = value }
    }
    set(\.blkioWeight, change.blkioWeight) { $0 == 0 }
    set(\.blkioWeightDevice, change.blkioWeightDevice, unless: \.isEmpty)
    set(\.blkioDeviceReadBps, change.blkioDeviceReadBps, unless: \.isEmpty)
    set(\.blkioDeviceWriteBps, change.blkioDeviceWriteBps, unless: \.isEmpty)
    set(\.blkioDeviceReadIOps, change.blkioDeviceReadIOps, unless: \.isEmpty)
    set(\.blkioDeviceWriteIOps, change.blkioDeviceWriteIOps, unless: \.isEmpty)
    set(\.cpusetCpus, change.cpusetCpus, unless: \.isEmpty)
    set(\.cpusetMems, change.cpusetMems, unless: \.isEmpty)
    set(\.pidsLimit, change.pidsLimit) { _ in false }
    // The policy itself is kept with what has happened so far (`Restarts`).
    if try RestartPolicy(change.restartPolicy) != .never, old.autoRemove ?? false {
      throw Fault(
        .conflict, "Restart policy cannot be updated because AutoRemove is enabled for the container (--rm)")
    }
    return host
  }

  private func applyMemory(_ old: HostConfig, _ host: inout HostConfig) throws {
    if let memory = change.memory, memory != 0 {
      let swap = old.memorySwap ?? 0
      if (change.memorySwap ?? 0) == 0, swap > 0, memory > swap {
        throw Fault(
          .conflict,
          "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time "
            + "(--memory-swap)")
      }
      host.memory = memory
    }
    if let swap = change.memorySwap, swap != 0 { host.memorySwap = swap }
    if let reservation = change.memoryReservation, reservation != 0 { host.memoryReservation = reservation }
    if let swappiness = change.memorySwappiness { host.memorySwappiness = swappiness }
  }

  private func applyProcessor(_ old: HostConfig, _ host: inout HostConfig) throws {
    func given(_ value: Int64?) -> Bool { (value ?? 0) != 0 }
    func conflict(_ new: String, _ set: String) -> Fault {
      Fault(.conflict, "Conflicting options: \(new) cannot be updated as \(set) has already been set.")
    }
    if given(change.nanoCpus) {
      if given(old.cpuPeriod) { throw conflict("Nano CPUs", "CPU Period") }
      if given(old.cpuQuota) { throw conflict("Nano CPUs", "CPU Quota") }
      host.nanoCpus = change.nanoCpus
    }
    if given(change.cpuPeriod) {
      if given(old.nanoCpus) { throw conflict("CPU Period", "NanoCPUs") }
      host.cpuPeriod = change.cpuPeriod
    }
    if given(change.cpuQuota) {
      if given(old.nanoCpus) { throw conflict("CPU Quota", "NanoCPUs") }
      host.cpuQuota = change.cpuQuota
    }
    if given(change.cpuShares) { host.cpuShares = change.cpuShares }
    if given(change.cpuRealtimePeriod) { host.cpuRealtimePeriod = change.cpuRealtimePeriod }
    if given(change.cpuRealtimeRuntime) { host.cpuRealtimeRuntime = change.cpuRealtimeRuntime }
  }
}

extension SpecBuilder {
  /// What the kernel has to be told when limits change from `old` to `new`; nil when nothing of the kernel's changes.
  ///
  /// Memory and swap go together, because each bounds the other; so do quota and period.
  func changed(from old: HostConfig, to new: HostConfig) throws -> RuntimeSpec.Resources? {
    let before = try resources(old, devices: nil)
    let after = try resources(new, devices: nil)
    var resources = RuntimeSpec.Resources()
    if after.memory != before.memory { resources.memory = after.memory }
    if after.cpu != before.cpu {
      resources.cpu = after.cpu
      // The kernel refuses to change a cpuset under processes that are bound to it: only one that changes is written.
      if after.cpu?.cpus == before.cpu?.cpus { resources.cpu?.cpus = nil }
      if after.cpu?.mems == before.cpu?.mems { resources.cpu?.mems = nil }
    }
    if after.blockIO != before.blockIO { resources.blockIO = after.blockIO }
    if new.pidsLimit != old.pidsLimit { resources.pids = .init(limit: max(-1, new.pidsLimit ?? -1)) }
    return resources == RuntimeSpec.Resources() ? nil : resources
  }
}
