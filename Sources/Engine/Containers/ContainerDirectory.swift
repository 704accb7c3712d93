import Faults
import Synchronization

/// All containers of this engine, found by id, by a unique beginning of it, or by name.
///
/// The lock is held for look-ups alone. A name is reserved before its container exists, so that two requests for the same
/// name cannot both go on.
final class ContainerDirectory: Sendable {
  private struct State {
    var containers: [String: Container] = [:]
    var names: [String: String] = [:]
  }
  private let state = Mutex(State())

  /// Takes `name` for the container `id`, or says who has it.
  func reserve(name: String, for id: String) throws {
    try state.withLock { state in
      if let holder = state.names[name], holder != id {
        throw Fault(
          .alreadyExists,
          "Conflict. The container name \"/\(name)\" is already in use by container \"\(holder)\". You have to remove (or "
            + "rename) that container to be able to reuse that name.")
      }
      state.names[name] = id
    }
  }

  /// Takes a generated name that is free.
  func reserveGeneratedName(for id: String) -> String {
    state.withLock { state in
      var attempt = 0
      while true {
        let name = Names.generate(attempt: attempt)
        if state.names[name] == nil {
          state.names[name] = id
          return name
        }
        attempt += 1
      }
    }
  }

  /// Gives `name` back, when it still belongs to `id`.
  func release(name: String, of id: String) {
    state.withLock { if $0.names[name] == id { $0.names[name] = nil } }
  }

  /// Makes a container visible.
  func insert(_ container: Container) {
    state.withLock { $0.containers[container.id] = container }
  }

  /// Takes a container and its name out.
  func remove(id: String, name: String) {
    state.withLock { state in
      state.containers[id] = nil
      if state.names[name] == id { state.names[name] = nil }
    }
  }

  /// The container with that whole id.
  func container(id: String) -> Container? { state.withLock { $0.containers[id] } }

  /// Every container, in no order.
  var all: [Container] { state.withLock { Array($0.containers.values) } }

  /// The container a person means: whole id, name (also with a slash), or the beginning of one id alone.
  func resolve(_ reference: String) throws -> Container {
    try state.withLock { state in
      if let exact = state.containers[reference] { return exact }
      let name = reference.hasPrefix("/") ? String(reference.dropFirst()) : reference
      if let id = state.names[name], let named = state.containers[id] { return named }
      if !reference.isEmpty, reference.utf8.count < 64, Identifier.isHex(reference) {
        var found: Container?
        for (id, container) in state.containers where id.hasPrefix(reference) {
          if found != nil {
            throw Fault(.invalidArgument, "multiple containers begin with \(reference): give more of the id")
          }
          found = container
        }
        if let found { return found }
      }
      throw Fault(.notFound, "No such container: \(reference)")
    }
  }
}
