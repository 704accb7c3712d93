import Faults
import Protocol
import Synchronization

/// The transfers into containers that are under way or have just ended, by their names at the snapshot service. Those out of
/// containers need none: they hold nothing up.
final class CopyDirectory: Sendable {
  private let ends = Mutex<[String: Task<Int64, any Error>]>([:])

  func insert(_ name: String, _ end: Task<Int64, any Error>) { ends.withLock { $0[name] = end } }

  /// The end of the transfer, given once.
  func take(_ name: String) -> Task<Int64, any Error>? { ends.withLock { $0.removeValue(forKey: name) } }
}

/// A transfer that a client may connect to.
struct OpenedCopy: Sendable {
  var copy: String
  var stream: StreamAddress
}

extension Engine {
  /// Places of the runtime's own mounts: what it made there for them is not the container's work.
  static let ownMountPoints = [
    "/proc", "/sys", "/sys/fs/cgroup", "/dev", "/dev/console", "/dev/pts", "/dev/shm", "/dev/mqueue",
    "/etc/resolv.conf", "/etc/hostname", "/etc/hosts",
  ]

  /// A container's files: its snapshot with its volumes and binds; of a running container as it sees them itself.
  func tree(_ container: Container, mounts: Bool = true) -> SnapshotAPI.SnapshotTree {
    let definition = container.definition
    var all: [SnapshotAPI.TreeMount] = []
    if mounts {
      let own = Set(definition.mounts.map(\.destination))
      let files = definition.files
      for (destination, source) in [
        ("/etc/resolv.conf", files.resolvConf), ("/etc/hostname", files.hostname), ("/etc/hosts", files.hosts),
      ] where !own.contains(destination) {
        all.append(.init(source: source, destination: destination))
      }
      for mount in definition.mounts {
        guard let folder = folder(of: mount) else { continue }
        all.append(
          .init(source: folder, destination: mount.destination, readOnly: mount.readOnly, recursive: mount.recursive))
      }
    }
    // The disk has the ids of the container; the mounts of one with a user namespace have those of the host.
    let process = definition.userNamespace == nil ? container.state.running.map { Int64($0.pid) } : nil
    return .init(
      key: definition.id, process: process, mounts: all,
      readOnly: definition.hostConfig.readonlyRootfs, name: "container \(container.name)")
  }

  /// The folder of this machine that has a mount's files; nil when they are in none that can be mounted a second time.
  private func folder(of mount: PlannedMount) -> String? {
    guard mount.subpath == nil else { return nil }
    switch mount.kind {
    case .bind: return mount.source
    case .volume: return volumes.backing(of: mount.volume ?? "").folder(or: mount.source)
    case .tmpfs, .image: return nil
    }
  }

  /// Refuses a path on a mount that only the container's own processes reach: what is below the mount would be taken for
  /// what is on it.
  func checkReachable(_ container: Container, _ path: String) throws {
    let clean = ContainerPath.clean("/" + path)
    let holders = container.definition.mounts.filter { mount in
      clean == mount.destination || clean.hasPrefix(mount.destination + "/")
    }
    guard let mount = holders.max(by: { $0.destination.utf8.count < $1.destination.utf8.count }),
      folder(of: mount) == nil
    else { return }
    throw Fault(
      .unsupported,
      "\(path) is on the mount \(mount.destination) of container \(container.name) (\(mount.kind.rawValue)), which only its "
        + "own processes reach: use `gantry exec` and a pipe")
  }

  /// Calls with the container's files. Between the end of a container and the moment when that is known here its process is
  /// gone: then it is tried again.
  func withTree<Result>(
    _ container: Container, mounts: Bool = true, _ body: (SnapshotAPI.SnapshotTree) async throws -> Result
  ) async throws -> Result {
    for _ in 0..<40 {
      switch container.state {
      case .removing, .dead:
        throw Fault(.conflict, "container \(container.name) is marked for removal: its files are not copied any more")
      default: break
      }
      let tree = tree(container, mounts: mounts)
      do {
        return try await body(tree)
      } catch let fault as Fault where fault.code == .conflict && tree.process != nil {
        try await Task.sleep(for: .milliseconds(50))
        if tree.process == container.state.running.map({ Int64($0.pid) }) { continue }
      }
    }
    return try await body(tree(container, mounts: mounts))
  }

  /// Offers a stream into a folder of the container. While the container does not run it stays so until the transfer has
  /// ended: its files are mounted then, and a start would mount them a second time.
  func extract(_ container: Container, _ params: GatewayAPI.ContainerExtractParams) async throws -> OpenedCopy {
    try checkReachable(container, params.path)
    let user = container.definition.config.user ?? ""
    let owner = (params.copyUIDGID ?? false) && !user.isEmpty ? user : nil
    let opened = try await withCheckedThrowingContinuation { continuation in
      Task { [self] in
        let once = Once(continuation)
        await container.writes.run {
          while container.state.running == nil {
            let isDone = await container.lane.run {
              if container.state.running != nil { return false }
              await transfer(container, params, owner, once)
              return true
            }
            if isDone { return }
          }
          if container.definition.userNamespace != nil {
            return once.resume(
              .failure(
                Fault(
                  .unsupported,
                  "container \(container.name) runs with ids of its own (--userns): stop it before files are copied into it"
                )))
          }
          await transfer(container, params, owner, once)
        }
      }
    }
    publish("extract-to-dir", container, ["path": params.path])
    return opened
  }

  /// Begins the transfer, tells `opened` of it, and stays until it has ended.
  private func transfer(
    _ container: Container, _ params: GatewayAPI.ContainerExtractParams, _ owner: String?, _ opened: Once
  ) async {
    do {
      let made = try await withTree(container) { tree in
        try await snapshots.extract(
          .init(tree: tree, path: params.path, noOverwriteDirNonDir: params.noOverwriteDirNonDir, user: owner))
      }
      let end = Task { [snapshots] in try await snapshots.finishCopy(.init(copy: made.copy)).bytes }
      copies.insert(made.copy, end)
      opened.resume(.success(.init(copy: made.copy, stream: made.stream)))
      // Whoever began it asks for this end; it is kept a while for that.
      _ = await end.result
      Task { [copies] in
        try? await Task.sleep(for: .seconds(60))
        _ = copies.take(made.copy)
      }
    } catch {
      opened.resume(.failure(error))
    }
  }

  /// Waits for the end of a transfer.
  func finishCopy(_ name: String) async throws -> Int64 {
    if let end = copies.take(name) { return try await end.value }
    return try await snapshots.finishCopy(.init(copy: name)).bytes
  }
}

/// A continuation for one answer.
private struct Once: Sendable {
  private let continuation: CheckedContinuation<OpenedCopy, any Error>
  init(_ continuation: CheckedContinuation<OpenedCopy, any Error>) { self.continuation = continuation }
  func resume(_ result: Result<OpenedCopy, any Error>) { continuation.resume(with: result) }
}
