public import Faults
public import JSONRPC
public import Protocol

extension Engine {
  /// Sends events to the caller's connection, those of the past first, until it ends or `until` has passed.
  public func eventSubscribe(
    _ params: GatewayAPI.EventSubscribeParams, _ context: CallContext
  ) async throws(Fault) -> GatewayAPI.EventSubscribeResult {
    try await faulted {
      let filter = try EventFilter(Filters(params.filters ?? [:]))
      let since = try moment("since", params.since)
      let until = try moment("until", params.until)
      guard let connection = context.connection else {
        throw Fault(.unsupported, "events need a connection to be sent on")
      }
      let (past, future) = events.subscribe(since: since, until: until)
      let task = Task {
        for event in past where filter.matches(event) {
          guard connection.notify(GatewayAPI.Notification.eventEvent, event.wire) else { return }
        }
        await Self.deliver(future, until: until) { event in
          !filter.matches(event) || connection.notify(GatewayAPI.Notification.eventEvent, event.wire)
        }
        connection.notify(GatewayAPI.Notification.eventEnd, .init())
      }
      connection.onClose { task.cancel() }
      return .init()
    }
  }

  /// Hands on events until `until`, the end of the stream (the subscriber lags behind), or `send` says no.
  private static func deliver(
    _ stream: AsyncStream<Event>, until: Timestamp?, _ send: @escaping @Sendable (Event) -> Bool
  ) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await event in stream {
          if let until, event.time > until { return }
          guard send(event) else { return }
        }
      }
      if let until {
        group.addTask {
          let left = until.nanoseconds - Timestamp.now().nanoseconds
          if left > 0 { try? await Task.sleep(for: .nanoseconds(left)) }
        }
      }
      _ = await group.next()
      group.cancelAll()
    }
  }

  /// Takes in one event of the task service. Call it for all of them, in their order.
  public func taskEvent(_ event: TaskAPI.TaskEvent) {
    guard let container = directory.container(id: event.id) else { return }
    switch event.type {
    case .exit:
      guard let exit = event.exit else { return }
      background.run { [self] in
        await exited(container, pid: event.pid.map { Int($0) }, ContainerState.Exited(exit))
      }
    case .execExit:
      guard let exec = event.exec, let exit = event.exit else { return }
      execEnded(exec, in: container.id, code: Int(exit.code))
    case .oom: if !container.noteOOM() { publish("oom", container) }
    case .start: startedUnasked(container)
    default: break  // pause and resume are told by those who asked for them
    }
  }
}

extension Event {
  /// The event in Docker's shape.
  var wire: GatewayAPI.Event {
    GatewayAPI.Event(
      type: type, action: action, actor: .init(id: actor, attributes: attributes), scope: "local", time: time.seconds,
      timeNano: time.nanoseconds)
  }
}
