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
      let (past, future) = events.subscribe(filter, since: since, until: until)
      let host = machine.hostname
      let task = Task {
        for event in past {
          guard connection.notify(GatewayAPI.Notification.eventEvent, event.wire) else { break }
          await connection.drained()
        }
        await Self.deliver(future, until: until) { item in
          let event =
            switch item {
            case .event(let event): event
            case .lost(let count, let time): Event.lost(count, host: host, time: time)
            }
          // The next one is taken when this one has gone: what comes meanwhile waits in the subscription, whose length is
          // bounded.
          guard connection.notify(GatewayAPI.Notification.eventEvent, event.wire) else { return false }
          await connection.drained()
          return true
        }
        future.end()
        connection.notify(GatewayAPI.Notification.eventEnd, .init())
      }
      connection.onClose { task.cancel() }
      return .init()
    }
  }

  /// Hands on events until `until`, the end of the connection, or until `send` says no.
  private static func deliver(
    _ subscription: EventSubscription, until: Timestamp?,
    _ send: @escaping @Sendable (EventSubscription.Item) async -> Bool
  ) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        while let item = await subscription.next() {
          if let until, case .event(let event) = item, event.time > until { return }
          guard await send(item) else { return }
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
      guard let exit = event.exit,
        let state = noteExit(container, pid: event.pid.map { Int($0) }, ContainerState.Exited(exit))
      else { return }
      background.run { [self] in await settle(container, state) }
    case .execExit:
      guard let exec = event.exec, let exit = event.exit else { return }
      execEnded(exec, in: container.id, code: Int(exit.code))
    case .oom: container.noteOOM { publish("oom", container.definition, name: $0) }
    case .health: if let health = event.health { healthChanged(container, health) }
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
