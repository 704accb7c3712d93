import Faults
import Protocol

/// Restart policies and the health of containers: what the gateway does by itself.
///
/// Shims run the checks, and only changes of their verdict come here. Everything that waits is `pending`, and can be lost at
/// any moment: the rows say which containers wait for their next start, and the task service which are unhealthy, so
/// `load` and `tasksReturned` find it again.
extension Engine {
  /// The names of pending work.
  static func restarting(_ id: String) -> String { "restart \(id)" }
  static func unhealthy(_ id: String) -> String { "unhealthy \(id)" }

  // MARK: Restart

  /// Starts a container that is `restarting` after so many milliseconds; nil: when its time has come.
  func scheduleRestart(_ container: Container, after delay: Int? = nil) {
    guard case .restarting(let waiting) = container.state else { return }
    let left: Duration
    if let delay {
      left = .milliseconds(delay)
    } else {
      // A clock that was set back must not make it wait for hours.
      let rest = Duration.nanoseconds(waiting.due.nanoseconds - Timestamp.now().nanoseconds)
      left = min(max(.zero, rest), .milliseconds(max(container.restarts.backoff, 1000)))
    }
    pending.run(Self.restarting(container.id)) { [weak self, clock] in
      guard (try? await clock.sleep(for: left)) != nil else { return }
      // From here on it is work that a shutdown waits for.
      self?.background.run { [weak self] in await self?.restartNow(container) }
    }
  }

  private func restartNow(_ container: Container) async {
    await restartLane.run {
      if background.isClosing { return }
      do {
        _ = try await start(container, attach: nil) { container.beginRestart() }
      } catch {
        log.error(
          "a container cannot be started again", metadata: ["container": "\(container.id)", "error": "\(error)"])
      }
    }
  }

  /// Ends the wait for the next start on a person's wish; false when the container does not wait.
  func cancelRestart(_ container: Container) async -> Bool {
    guard container.cancelRestart({ _ in }) else { return false }
    pending.cancel(Self.restarting(container.id))
    do {
      try await store.update(
        id: container.id, state: container.state, restarts: container.restarts, durable: container.definition.durable)
    } catch {
      log.error("cannot write that a container stays ended", metadata: ["container": "\(container.id)"])
    }
    return true
  }

  /// A person ends a container: written down before it ends, so that it stays ended whatever happens to this process.
  func noteStopByHand(_ container: Container) async {
    guard container.noteStopByHand() else { return }
    await writeRestarts(container)
  }

  private func writeRestarts(_ container: Container) async {
    do {
      try await store.update(id: container.id, restarts: container.restarts, durable: false)
    } catch {
      log.error(
        "cannot write what a person wants of a container",
        metadata: ["container": "\(container.id)", "error": "\(error)"])
    }
  }

  /// Gives a container another restart policy (`update --restart`). What waits for its next start goes on waiting.
  func setRestartPolicy(_ container: Container, _ wire: GatewayAPI.RestartPolicy) async throws {
    let policy = try RestartPolicy(wire)
    if policy != .never, container.definition.autoRemove {
      throw Fault(
        .invalidArgument, "Restart policy cannot be updated because AutoRemove is enabled for the container")
    }
    var restarts = container.restarts
    restarts.policy = policy
    try await store.update(id: container.id, restarts: restarts, durable: container.definition.durable)
    container.setPolicy(policy)
  }

  /// Starts what should run when the engine does: after `load` has brought rows and tasks together.
  func startWithEngine(afterReboot: Bool) {
    for container in directory.all {
      switch container.state {
      case .restarting: scheduleRestart(container)
      case .exited(let last) where last.startedAt != nil:
        guard container.restarts.startsWithEngine(afterReboot: afterReboot) else { continue }
        container.awaitStart(due: .now())
        scheduleRestart(container)
      default: break
      }
    }
  }

  // MARK: Health

  /// Takes in what a health check says, and does what the container asked for when it is unhealthy.
  func healthChanged(_ container: Container, _ health: HealthState) {
    container.noteHealth(health) { name in
      publish("health_status: \(health.status.rawValue)", container.definition, name: name)
    }
    if health.status == .unhealthy { actOnUnhealthy(container) }
  }

  /// The verdict that the task service has after something was missed.
  func healthRestored(_ container: Container, _ status: HealthStatus?, tell: Bool) {
    guard let status else { return }
    if tell, (container.published.health ?? .starting) != status {
      publish("health_status: \(status.rawValue)", container)
    }
    container.restoreHealth(status)
    if status == .unhealthy { actOnUnhealthy(container) }
  }

  private func actOnUnhealthy(_ container: Container) {
    let action = container.definition.config.healthcheck?.onUnhealthy ?? GatewayAPI.UnhealthyAction.none
    guard action != GatewayAPI.UnhealthyAction.none, container.state.running != nil else { return }
    pending.run(Self.unhealthy(container.id)) { [weak self] in
      guard let self else { return }
      log.notice(
        "a container is unhealthy", metadata: ["container": "\(container.id)", "action": "\(action.rawValue)"])
      do {
        switch action {
        case .stop: try await stop(container, signal: nil, timeout: nil)
        case .kill:
          publish("kill", container, ["signal": "9"])
          _ = try await tasks.signal(.init(id: container.id, exec: nil, signal: 9, all: nil))
        default:
          container.noteRestart()
          await writeRestarts(container)
          try await end(container, signal: nil, timeout: nil)
        }
      } catch {
        let fault = Fault(describing: error)
        guard ![.cancelled, .notModified, .conflict, .notFound].contains(fault.code) else { return }
        log.error(
          "cannot end an unhealthy container", metadata: ["container": "\(container.id)", "error": "\(fault)"])
      }
    }
  }
}
