import Faults
import Foundation
import JSONRPC
import OCI
import Protocol
import Synchronization

#if canImport(Glibc)
  import Glibc
#endif

/// What a new image of a container is asked to be.
struct CommitWishes: Sendable {
  var reference: String?
  var author: String?
  var comment: String?
  var pauses = true
  var changes: [String] = []
  /// Begins with this instead of the container's own configuration.
  var config: ContainerConfig?
}

extension Engine {
  /// Makes an image of a container: the copy of what it changed becomes a layer on its image's.
  ///
  ///     freeze → copy what was written, its digest in the same pass → thaw → layer synced and shown → image
  ///
  /// Nothing is seen of it before the image is, and what a kill leaves is a layer that no image has, which goes.
  func commit(_ container: Container, _ wishes: CommitWishes, _ context: CallContext) async throws -> String {
    let definition = container.definition
    switch container.state {
    case .removing, .dead:
      throw Fault(.conflict, "You cannot commit container \(container.name) which is being removed")
    default: break
    }
    let execution = try ImageChanges.apply(wishes.changes, to: Self.execution(wishes.config, definition.config))
    if let name = wishes.reference {
      guard try Reference(parsing: name).digest == nil else {
        throw Fault(.invalidArgument, "an image cannot be named with a digest: \(name)")
      }
    }
    let parent = try await parentImage(of: definition)
    return try await withLease("commit") { lease in
      let captured = try await capture(container, pauses: wishes.pauses, lease, context)
      return try await makeImage(container, wishes, execution, on: parent, of: captured)
    }
  }

  private func makeImage(
    _ container: Container, _ wishes: CommitWishes, _ execution: ImageConfig.Execution, on parent: String,
    of captured: SnapshotAPI.CaptureResult
  ) async throws -> String {
    let layer = captured.diffID.map { ImageAPI.NewLayer(diffID: $0, size: captured.size) }
    let request = ImageAPI.CommitParams(
      parent: parent, layer: layer, config: execution, created: Timestamp.now().text(), author: wishes.author.nonEmpty,
      comment: wishes.comment.nonEmpty, createdBy: (container.definition.config.cmd ?? []).joined(separator: " "),
      names: wishes.reference.map { [$0] })
    let image = try await images.commit(request).image
    publish(
      "commit", container,
      ["comment": wishes.comment ?? "", "imageID": image.id, "imageRef": wishes.reference ?? ""])
    return image.id
  }

  private func parentImage(of definition: ContainerDefinition) async throws -> String {
    let resolved = try await allowing(.notFound) {
      try await images.resolve(.init(reference: definition.imageID)).image
    }
    guard let resolved else {
      throw Fault(
        .notFound,
        "the image of the container was removed, and the new one is made on it: load or pull \(definition.image) again")
    }
    return resolved.id
  }

  /// Copies what the container changed. A running container is frozen until the copy is taken.
  private func capture(
    _ container: Container, pauses: Bool, _ lease: String, _ context: CallContext
  ) async throws -> SnapshotAPI.CaptureResult {
    let mark = container.definition.files.commitMark
    var isFrozen = false
    if pauses, case .running = container.state {
      // Should this process end before the container goes on, the next one sees the mark.
      try SmallFile.write("", to: mark)
      do {
        try await pause(container)
        isFrozen = true
      } catch {
        unlink(mark)
        // It ended meanwhile: then nothing changes its files.
        guard container.state.running == nil else { throw error }
      }
    }
    guard isFrozen else { return try await snapshots.capture(params(container, lease), context.passedOn) }
    let thawing = Once()
    let thaw: @Sendable () async -> Void = { [self] in
      guard thawing.claim() else { return }
      await goOn(container)
    }
    var watched = context.passedOn
    watched.progressHandler = { [background] _ in background.run { await thaw() } }
    let result: Result<SnapshotAPI.CaptureResult, any Error>
    do { result = .success(try await snapshots.capture(params(container, lease), watched)) } catch {
      result = .failure(error)
    }
    await thaw()
    return try result.get()
  }

  private func params(_ container: Container, _ lease: String) -> SnapshotAPI.CaptureParams {
    .init(key: container.id, mountPoints: Self.ownMountPoints, lease: lease)
  }

  /// Lets a container go on that was frozen for a commit, unless somebody else did.
  func goOn(_ container: Container) async {
    do {
      if case .paused = container.state { try await unpause(container) }
      unlink(container.definition.files.commitMark)
    } catch {
      if case .paused = container.state {
        log.error(
          "a container stays frozen after a commit: unpause it",
          metadata: ["container": "\(container.id)", "error": "\(error)"])
      } else {
        unlink(container.definition.files.commitMark)
      }
    }
  }

  /// Containers that a killed engine froze for a commit go on.
  func goOnAfterCommits() async {
    for container in directory.all where access(container.definition.files.commitMark, F_OK) == 0 {
      await goOn(container)
    }
  }

  /// The portable part of a container's configuration: what an image keeps of it.
  static func execution(_ given: ContainerConfig?, _ own: ContainerConfig) -> ImageConfig.Execution {
    var execution = execution(own)
    guard let given else { return execution }
    let merged = ImageMerge.merge(given, image: execution)
    execution = Self.execution(merged)
    return execution
  }

  private static func execution(_ config: ContainerConfig) -> ImageConfig.Execution {
    func set(_ values: [String: GatewayAPI.Empty]?) -> [String: ImageConfig.EmptyObject]? {
      values.flatMap { $0.isEmpty ? nil : $0.mapValues { _ in .init() } }
    }
    return ImageConfig.Execution(
      user: config.user.nonEmpty, exposedPorts: set(config.exposedPorts), env: config.env,
      entrypoint: config.entrypoint.nonEmpty, cmd: config.cmd.nonEmpty, volumes: set(config.volumes),
      workingDir: config.workingDir.nonEmpty, labels: config.labels.flatMap { $0.isEmpty ? nil : $0 },
      stopSignal: config.stopSignal.nonEmpty, healthcheck: config.healthcheck.map(healthcheck),
      onBuild: config.onBuild.nonEmpty, shell: config.shell.nonEmpty,
      stopTimeout: config.stopTimeout.map { Int($0) })
  }

  private static func healthcheck(_ health: GatewayAPI.HealthConfig) -> ImageConfig.Healthcheck {
    .init(
      test: health.test, interval: health.interval, timeout: health.timeout, startPeriod: health.startPeriod,
      startInterval: health.startInterval, retries: health.retries.map { Int($0) })
  }
}

/// Something that is done once, by whoever comes first.
private final class Once: Sendable {
  private let isFree = Mutex(true)

  func claim() -> Bool {
    isFree.withLock { free in
      defer { free = false }
      return free
    }
  }
}

extension Optional where Wrapped: Collection {
  /// Nil when there is nothing in it.
  fileprivate var nonEmpty: Wrapped? { flatMap { $0.isEmpty ? nil : $0 } }
}
