import Engine
import Faults
import JSONRPC
import Logging
import Protocol
import RPCService
import Synchronization

/// Hears of every event of the task service, over all its restarts: subscribe, compare, listen; when the connection ends,
/// again from the start. Because it subscribes before it compares, no end of a container falls between the two.
final class TaskWatch: Sendable {
  private let engine: Engine
  private let client: RPCClient
  private let log: Logger
  private let listening = Mutex<Task<Void, Never>?>(nil)

  init(engine: Engine, client: RPCClient, log: Logger) {
    self.engine = engine
    self.client = client
    self.log = log
  }

  /// Waits for the services, loads the containers, and listens from then on.
  func begin(patience: Duration) async throws(Fault) {
    let deadline = ContinuousClock.now + patience
    var waiting = false
    while true {
      do {
        let events = try await subscribe()
        try await engine.load()
        let task = Task { await listen(events) }
        listening.withLock { $0 = task }
        return
      } catch {
        let fault = Fault(describing: error)
        guard fault.code == .unavailable || fault.code == .deadlineExceeded, ContinuousClock.now < deadline else {
          throw fault.wrapped("containers cannot be compared with what runs: are all services started?")
        }
        if !waiting { log.notice("waiting for the task and snapshot services", metadata: ["cause": "\(fault)"]) }
        waiting = true
        try? await Task.sleep(for: .milliseconds(50))
      }
    }
  }

  func end() { listening.withLock { $0 }?.cancel() }

  private func subscribe() async throws(Fault) -> AsyncStream<TaskAPI.TaskEvent> {
    let events = client.notifications(TaskAPI.Notification.event)
    _ = try await TaskClient(client).subscribe(.init(), CallContext(deadline: .after(seconds: 10)))
    return events
  }

  private func listen(_ first: AsyncStream<TaskAPI.TaskEvent>) async {
    var events = first
    while !Task.isCancelled {
      for await event in events { engine.taskEvent(event) }
      if Task.isCancelled { return }
      log.notice("the task service went away")
      while !Task.isCancelled {
        if let again = try? await subscribe() {
          events = again
          await engine.tasksReturned()
          log.notice("the task service is back")
          break
        }
        try? await Task.sleep(for: .milliseconds(50))
      }
    }
  }
}
