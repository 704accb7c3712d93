public import Faults
public import JSONRPC
public import Protocol

/// What containers use, and their processes.
extension Engine {
  /// What a container uses, in Docker's shape.
  public func containerStats(
    _ params: GatewayAPI.ContainerStatsParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerStatsResult {
    try await faulted {
      .init(stats: try await stats(directory.resolve(params.container), oneShot: params.oneShot ?? false))
    }
  }

  /// Sends samples to the caller's connection until it ends.
  public func statsSubscribe(
    _ params: GatewayAPI.StatsSubscribeParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.StatsSubscribeResult {
    try await faulted {
      let interval = params.intervalMs ?? 1000
      guard interval >= StatsRounds.shortestInterval else {
        throw Fault(.invalidArgument, "intervalMs: \(interval): give \(StatsRounds.shortestInterval) or more")
      }
      let chosen = try (params.containers ?? []).map { try directory.resolve($0).id }
      guard let connection = context.connection else {
        throw Fault(.unsupported, "samples need a connection to be sent on")
      }
      var rounds = StatsRounds(self, chosen: chosen, all: params.all ?? false)
      let clock = ContinuousClock()
      let task = Task { [log] in
        var due = clock.now
        while !Task.isCancelled {
          do {
            guard connection.notify(GatewayAPI.Notification.statsSamples, try await rounds.next()) else { return }
          } catch {
            // The task service is being restarted: the next round finds it again.
            log.debug("a round of samples is left out", metadata: ["cause": "\(error)"])
          }
          due = max(due + .milliseconds(interval), clock.now)
          guard (try? await clock.sleep(until: due)) != nil else { return }
        }
      }
      connection.onClose { task.cancel() }
      return .init()
    }
  }

  /// Counters of every running container.
  public func systemMetrics(
    _ params: GatewayAPI.SystemMetricsParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.SystemMetricsResult {
    try await faulted { .init(time: Timestamp.now().text(), containers: try await counters()) }
  }

  /// A container's processes.
  public func containerTop(
    _ params: GatewayAPI.ContainerTopParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.ContainerTopResult {
    try await faulted {
      let table = try await top(directory.resolve(params.container), arguments: params.arguments ?? [])
      return .init(titles: table.titles, processes: table.rows)
    }
  }
}
