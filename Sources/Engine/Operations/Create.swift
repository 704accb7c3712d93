import Faults
import Foundation
import JSONRPC
import OCI
import Protocol

#if canImport(Glibc)
  import Glibc
#endif

/// Who asked for a container.
struct Caller: Sendable {
  var ids: (uid: UInt32, gid: UInt32)

  /// The peer of the call; in process it is this process.
  init(_ context: CallContext) { ids = context.peer.map { ($0.uid, $0.gid) } ?? (geteuid(), getegid()) }
}

/// A container that was decided on but exists nowhere yet, except for its name, which is reserved.
struct Draft: Sendable {
  let definition: ContainerDefinition
  let name: String
  let image: RunImage
  /// Volumes without a row yet.
  let newVolumes: [Volume]
  /// Built at once, so that what could not be started is refused now.
  let spec: RuntimeSpec
  let warnings: [String]

  var restarts: Restarts { Restarts((try? RestartPolicy(definition.hostConfig.restartPolicy)) ?? .never) }
}

extension Engine {
  /// Decides everything about a new container: the image's defaults, the checks, the mounts, the id, the name.
  func draft(
    name: String?, config: ContainerConfig, hostConfig: HostConfig, image: RunImage, oneShot: Bool, caller: Caller
  ) async throws -> Draft {
    let given = name.map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 } ?? ""
    if !given.isEmpty, !Names.isValid(given) {
      throw Fault(.invalidArgument, "Invalid container name (\(given)), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
    }
    var merged = ImageMerge.merge(config, image: image.execution)
    var warnings: [String] = []
    if config.healthcheck?.test?.isEmpty ?? true, let reason = HealthPlan.unknownTest(merged.healthcheck) {
      merged.healthcheck = nil
      warnings.append("The image's health check is not run: \(reason)")
    }
    try check.check(merged, hostConfig)
    let hostConfig = completed(try resolvingContainers(hostConfig))
    warnings += RequestCheck.warnings(hostConfig)
    let imageVolumes = image.execution?.volumes.map { Array($0.keys) } ?? []
    var plan = try await planMounts(merged, hostConfig, imageVolumes: imageVolumes)
    for mount in plan.mounts where mount.kind == .bind && !mount.createSource && !Folders.exists(mount.source) {
      throw Fault(
        .invalidArgument,
        "invalid mount config for type \"bind\": bind source path does not exist: \(mount.source)")
    }
    var id = Identifier.random()
    while UInt64(id.prefix(12)) != nil { id = Identifier.random() }  // a host name of digits alone looks like a number
    for index in plan.mounts.indices { plan.mounts[index].image?.key = "\(id).m\(index)" }
    let mode = hostConfig.usernsMode ?? ""
    let namespace = try userNamespaces.decide(UserNamespaceMode(mode), text: mode, container: id, caller: caller.ids)
    let definition = ContainerDefinition(
      id: id, created: .now(), image: config.image ?? "", imageID: image.id, parent: image.parent, config: merged,
      hostConfig: hostConfig, mounts: plan.mounts, files: files(id), userNamespace: namespace, oneShot: oneShot)
    let newVolumes: [Volume]
    let spec: RuntimeSpec
    let name: String
    do {
      newVolumes = try volumes.take(plan.volumes, for: id)
      // What is only created joins nobody yet.
      spec = try builder.build(
        specInput(definition, shared: oneShot ? sharedNamespaces(definition) : SharedNamespaces()))
      if given.isEmpty {
        name = directory.reserveGeneratedName(for: id)
      } else {
        try directory.reserve(name: given, for: id)
        name = given
      }
    } catch {
      userNamespaces.release(id)
      volumes.release(definition.volumeNames, of: id)
      throw error
    }
    return Draft(
      definition: definition, name: name, image: image, newVolumes: newVolumes, spec: spec, warnings: warnings)
  }

  /// - Parameter images: how the images of its mounts are mounted, by destination.
  func specInput(
    _ definition: ContainerDefinition, shared: SharedNamespaces, images: [String: MountSpec] = [:]
  ) -> SpecBuilder.Input {
    var input = SpecBuilder.Input(
      id: definition.id, config: definition.config, hostConfig: definition.hostConfig, mounts: definition.mounts,
      files: definition.files, userNamespace: definition.userNamespace, shared: shared)
    input.images = images
    for name in definition.volumeNames { input.volumes[name] = volumes.backing(of: name) }
    return input
  }

  var check: RequestCheck { RequestCheck(machine: machine, hasRemap: userNamespaces.remap != nil) }

  /// What Docker writes into a request that leaves it open.
  private func completed(_ hostConfig: HostConfig) -> HostConfig {
    var host = hostConfig
    if let memory = host.memory, memory > 0, (host.memorySwap ?? 0) == 0, machine.accountsSwap {
      host.memorySwap = memory * 2
    }
    if host.memorySwappiness == -1 { host.memorySwappiness = nil }
    return host
  }

  /// The name of the image that a container is to be made of.
  private func imageName(_ config: ContainerConfig) throws -> String {
    guard let reference = config.image, !reference.isEmpty else {
      throw Fault(.invalidArgument, "Image: no image was named for the container")
    }
    return reference
  }

  /// The image that `reference` means now.
  func runImage(_ reference: String, platform: String? = nil) async throws -> RunImage {
    let resolved = try await naming(reference) {
      try await images.resolve(.init(reference: reference, platform: platform)).image
    }
    return RunImage(id: resolved.id, execution: resolved.config.config, layers: resolved.layers)
  }

  /// The row of a new container.
  func row(_ draft: Draft, state: ContainerState) throws -> ContainerRow {
    let encoder = JSONEncoder()
    let definition = draft.definition
    return ContainerRow(
      id: definition.id, name: draft.name, created: definition.created.nanoseconds, image: definition.image,
      imageID: definition.imageID, parent: definition.parent, config: try encoder.encode(definition.config),
      hostConfig: try encoder.encode(definition.hostConfig), mounts: try encoder.encode(definition.mounts),
      userNamespace: try definition.userNamespace.map { try encoder.encode($0) }, oneShot: definition.oneShot,
      state: state)
  }

  /// A writable snapshot of the image for the container; unpacks layers that were never unpacked.
  func prepareSnapshot(_ definition: ContainerDefinition, _ image: RunImage?) async throws -> [MountSpec] {
    let params = SnapshotAPI.PrepareParams(
      key: definition.id, parent: definition.parent, volatile: definition.autoRemove ? true : nil,
      labels: ["gantry.container": definition.id], limit: StorageOptions(definition.hostConfig).size)
    if let mounts = try await allowing(.notFound, body: { try await snapshots.prepare(params).mounts }) {
      return mounts
    }
    // The layers are not there: imported behind our back, or set aside at a check.
    let layers: [LayerSource]
    if let image { layers = image.layers } else { layers = try await runImage(definition.imageID).layers }
    _ = try await snapshots.unpack(.init(layers: layers))
    return try await snapshots.prepare(params).mounts
  }

  /// The files and folders on the host that the container sees.
  func prepareHost(_ definition: ContainerDefinition) throws {
    let host = definition.hostConfig
    let hostname = SpecBuilder.hostname(
      id: definition.id, config: definition.config, hostConfig: host, machine: machine)
    try definition.files.create(
      hostname: hostname, domainname: definition.config.domainname ?? "", extraHosts: host.extraHosts ?? [],
      dns: Resolver(servers: host.dns ?? [], search: host.dnsSearch ?? [], options: host.dnsOptions ?? []),
      hostNetwork: host.networkMode == "host")
    try prepareSources(definition)
  }

  /// Makes a container that is not started.
  func create(
    name: String?, config: ContainerConfig, hostConfig: HostConfig, platform: String?, caller: Caller
  ) async throws -> (id: String, warnings: [String]) {
    let image = try await runImage(imageName(config), platform: platform)
    let draft = try await draft(
      name: name, config: config, hostConfig: hostConfig, image: image, oneShot: false, caller: caller)
    let definition = draft.definition
    do {
      _ = try await prepareSnapshot(definition, draft.image)
      try await insertVolumes(draft.newVolumes)
      try prepareHost(definition)
      if definition.hasImages { _ = try await prepareImages(definition) }
      if definition.copies { try await fillVolumes(definition) }
      // Last: with its row, the container exists, and with it its anonymous volumes.
      try await store.insert(row(draft, state: .created), volumes: draft.newVolumes, durable: definition.durable)
    } catch {
      directory.release(name: draft.name, of: definition.id)
      discard(definition, volumes.endUse(definition, removing: true))
      throw error
    }
    await introduce(Container(definition, name: draft.name, state: .created, restarts: draft.restarts))
    return (definition.id, draft.warnings)
  }

  /// Makes a container visible. In its lane, so that nobody starts it before its making was told.
  private func introduce(_ container: Container) async {
    imageUse.note(container.definition.imageID)
    await container.lane.run {
      directory.insert(container)
      publish("create", container)
    }
  }

  /// Takes away, beside the caller, what a container that never came to be left behind, and volumes that go with it.
  func discard(_ definition: ContainerDefinition, _ going: [String]) {
    userNamespaces.release(definition.id)
    background.run { [self] in
      await removeSnapshots(definition.snapshotKeys)
      await removeHostFiles(definition, volumes: going)
    }
  }

  /// Makes a container and starts it, in one go: the row is written while the snapshot and the task are made.
  ///
  /// What the image's name meant the last time is taken for what it means now while the image service is asked: nothing
  /// is started, or seen by anybody, before its answer agrees.
  func run(
    name: String?, config: ContainerConfig, hostConfig: HostConfig, platform: String?, attach: AttachStreams?,
    caller: Caller
  ) async throws -> (id: String, warnings: [String], stream: StreamAddress?) {
    let reference = try imageName(config)
    async let answer = runImage(reference, platform: platform)
    // Volumes with names are there to stay: none is made for a guess.
    let isAlone = !(hostConfig.binds ?? []).contains { !$0.hasPrefix("/") } && (hostConfig.mounts ?? []).isEmpty
    if isAlone, let guess = imageCache.meaning(of: reference, platform: platform) {
      let made: Made
      do {
        made = try await make(name: name, config: config, hostConfig: hostConfig, image: guess, caller: caller)
      } catch {
        // Only an error of the right image is one.
        guard try await answer.id != guess.id else { throw error }
        return try await run(
          name: name, config: config, hostConfig: hostConfig, image: answer, attach: attach, caller: caller)
      }
      let agrees: Bool
      do {
        agrees = try await answer.id == guess.id
      } catch {
        await undo(made.draft)
        throw error
      }
      if agrees { return try await begin(made, attach: attach) }
      await undo(made.draft)
    }
    let image = try await answer
    imageCache.note(image, for: reference, platform: platform)
    return try await run(
      name: name, config: config, hostConfig: hostConfig, image: image, attach: attach, caller: caller)
  }

  private func run(
    name: String?, config: ContainerConfig, hostConfig: HostConfig, image: RunImage, attach: AttachStreams?,
    caller: Caller
  ) async throws -> (id: String, warnings: [String], stream: StreamAddress?) {
    try await begin(
      make(name: name, config: config, hostConfig: hostConfig, image: image, caller: caller), attach: attach)
  }

  /// A container with its row, its snapshot and its files that nobody can see yet.
  private struct Made: Sendable {
    let draft: Draft
    let container: Container
    let mounts: [MountSpec]
  }

  /// Makes everything of a container of `run` but its task; on failure nothing is left.
  private func make(
    name: String?, config: ContainerConfig, hostConfig: HostConfig, image: RunImage, caller: Caller
  ) async throws -> Made {
    let draft = try await draft(
      name: name, config: config, hostConfig: hostConfig, image: image, oneShot: true, caller: caller)
    let definition = draft.definition
    do {
      let row = try row(draft, state: .starting(last: nil))
      // A named volume is there to stay, whatever becomes of the container.
      let durable = definition.durable || draft.newVolumes.contains { !$0.isAnonymous }
      async let inserted: Void = store.insert(row, volumes: draft.newVolumes, durable: durable)
      async let mounts = prepareSnapshot(definition, image)
      do {
        if !draft.newVolumes.isEmpty {
          try await inserted  // no folder of a volume without its row
          publishCreated(volumes.stored(draft.newVolumes))
        }
        try prepareHost(definition)
        let made = try await mounts
        try await inserted
        return Made(
          draft: draft, container: Container(definition, name: draft.name, state: .created, restarts: draft.restarts),
          mounts: made)
      } catch {
        // Both are waited for: what they did is undone below.
        _ = try? await mounts
        try? await inserted
        throw error
      }
    } catch {
      await undo(draft)
      throw error
    }
  }

  /// Shows a container that was made, and starts it.
  private func begin(
    _ made: Made, attach: AttachStreams?
  ) async throws -> (id: String, warnings: [String], stream: StreamAddress?) {
    let container = made.container
    let definition = container.definition
    var spec = made.draft.spec
    do {
      if definition.hasImages {
        let images = try await prepareImages(definition)
        spec = try builder.build(specInput(definition, shared: sharedNamespaces(definition), images: images))
      }
      if definition.copies { try await fillVolumes(definition) }
    } catch {
      await undo(made.draft)
      throw error
    }
    await introduce(container)
    let stream = try await start(container, made: (spec, made.mounts), attach: attach)
    return (container.id, made.draft.warnings, stream)
  }

  /// Takes back what `make` did for a container that nobody has seen.
  private func undo(_ draft: Draft) async {
    let definition = draft.definition
    directory.release(name: draft.name, of: definition.id)
    let going = volumes.endUse(definition, removing: true)
    try? await store.delete(id: definition.id, dooming: going, durable: false)
    discard(definition, going)
  }
}
