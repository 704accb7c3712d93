import Faults
import Protocol

/// The processes of running containers whose namespaces another container joins (`--pid container:NAME`).
struct SharedNamespaces: Sendable, Equatable {
  var pid: Int?
  var ipc: Int?
}

extension Engine {
  private static let prefix = "container:"

  /// `hostConfig` with the ids of the containers that it names in place of their names, which may change.
  func resolvingContainers(_ hostConfig: HostConfig) throws -> HostConfig {
    var host = hostConfig
    for path in [\HostConfig.pidMode, \HostConfig.ipcMode] {
      guard let mode = host[keyPath: path], mode.hasPrefix(Self.prefix) else { continue }
      let target = try directory.resolve(String(mode.dropFirst(Self.prefix.count)))
      host[keyPath: path] = Self.prefix + target.id
    }
    return host
  }

  /// The processes behind the `container:` modes of `definition`; each container must run now.
  func sharedNamespaces(_ definition: ContainerDefinition) throws -> SharedNamespaces {
    SharedNamespaces(
      pid: try sharer(definition, definition.hostConfig.pidMode, "PID", "PidMode")?.pid,
      ipc: try sharer(definition, definition.hostConfig.ipcMode, "IPC", "IpcMode")?.pid)
  }

  private func sharer(
    _ definition: ContainerDefinition, _ mode: String?, _ name: String, _ field: String
  ) throws -> (pid: Int, container: Container)? {
    guard let mode, mode.hasPrefix(Self.prefix) else { return nil }
    let target = try directory.resolve(String(mode.dropFirst(Self.prefix.count)))
    guard target.id != definition.id else {
      throw Fault(.invalidArgument, "\(field): a container cannot join its own namespace")
    }
    guard let running = target.state.running, running.pid > 0 else {
      throw Fault(.conflict, "cannot join \(name) namespace of a non running container: \(target.name)")
    }
    guard target.definition.userNamespace == nil, definition.userNamespace == nil else {
      throw Fault(
        .unsupported,
        "\(field): cannot join the \(name) namespace of \(target.name): one of the two has a user namespace of its own: "
          + "use --userns=host for both")
    }
    if name == "IPC" {
      let donor = target.definition.hostConfig.ipcMode ?? ""
      guard donor == "shareable" || donor == "host" || donor.hasPrefix(Self.prefix) else {
        throw Fault(
          .conflict,
          "cannot join IPC namespace of container \(target.name): non-shareable IPC (hint: use IpcMode:shareable for the "
            + "donor container)")
      }
    }
    return (running.pid, target)
  }
}
