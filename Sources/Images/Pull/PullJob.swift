internal import ContentStore
internal import Faults
internal import FoundationEssentials
internal import OCI
internal import Registry

/// One image on its way from a registry.
struct PullJob: Sendable {
  let puller: ImagePuller
  let reference: Reference
  /// What the caller asked for; nil is this machine's.
  let platform: Platform?
  let request: PullRequest
  let tell: @Sendable (PullEvent) -> Void

  private var store: ImageStore { puller.store }

  /// A document that was checked against its digest.
  private struct Document {
    var descriptor: Descriptor
    var data: Data
  }

  func run() async throws(Fault) -> PulledImage {
    if let known = try await known() { return known }
    let top = try await document(reference.digest?.rawValue ?? reference.tag ?? Reference.defaultTag, reference.digest)
    let manifest = try await imageManifest(top, depth: 0)
    try await judge(top.descriptor.digest, manifest.descriptor.digest)
    return try await fetch(manifest, top: top.descriptor.digest)
  }

  // MARK: What is there

  private var platformKey: String { platform.map { "\($0)" } ?? "" }

  /// The image, when the store has what the registry means now: one request, or none for a digest.
  private func known() async throws(Fault) -> PulledImage? {
    let key = reference.digest?.rawValue ?? reference.tag ?? Reference.defaultTag
    let (store, name, platform) = (store, reference.name, platformKey)
    let row = try store.database.read { database -> PulledRow? in
      guard let row = try PulledQueries.row(database, repository: name, reference: key, platform: platform) else {
        return nil
      }
      if reference.digest != nil { return row }
      let current = try ImageQueries.name(database, repository: name, tag: key)?.manifest
      return current == row.manifest ? row : nil
    }
    guard let row else { return nil }
    if reference.digest == nil {
      let head = try await headOrNil()
      guard head?.digest == row.digest else { return nil }
    }
    // Content that was lost on disk is fetched again.
    guard let image = try store.database.read({ try ImageQueries.image($0, manifest: row.manifest) }),
      try store.isWhole(row.manifest)
    else { return nil }
    try await judge(row.digest, row.manifest)
    guard let summary = try store.list().first(where: { $0.id == image.id }) else { return nil }
    return PulledImage(name: reference.familiar, digest: row.digest, isNew: false, summary: summary)
  }

  /// What the tag leads to; nil when the registry does not answer HEAD as it should, and GET must tell.
  private func headOrNil() async throws(Fault) -> ManifestHead? {
    do throws(Fault) {
      return try await puller.client.manifestHead(
        reference.tag ?? Reference.defaultTag, of: reference.path, registry: reference.domain,
        credentials: request.credentials)
    } catch  where error.code == .invalidArgument || error.code == .corrupt {
      return nil
    }
  }

  // MARK: Documents

  /// Fetches a manifest or index and checks it: its digest, what the registry said of it, and its type.
  private func document(_ name: String, _ digest: Digest?) async throws(Fault) -> Document {
    let fetched: FetchedManifest
    do throws(Fault) {
      fetched = try await puller.client.manifest(
        name, of: reference.path, registry: reference.domain, credentials: request.credentials)
    } catch  where error.code == .notFound {
      throw Fault(.notFound, "manifest for \(reference.familiar) not found", cause: error.cause)
    }
    let found = Digest.of(fetched.data, digest?.algorithm ?? fetched.claimed?.algorithm ?? .sha256)
    for named in [digest, fetched.claimed].compactMap({ $0 }) where named.algorithm == found.algorithm {
      guard named == found else {
        throw Fault(.corrupt, "the manifest of \(reference.familiar) that should be \(named) is \(found)")
      }
    }
    guard let mediaType = fetched.mediaType else {
      throw Fault(.corrupt, "\(reference.domain) does not say what type the manifest of \(reference.familiar) has")
    }
    if mediaType.hasPrefix("application/vnd.docker.distribution.manifest.v1") {
      throw Fault(
        .unsupported,
        "\(reference.familiar) is an image of schema 1, which was given up in 2017: its content cannot be verified; ask its owner to push it with a current tool"
      )
    }
    guard MediaType.isManifest(mediaType) || MediaType.isIndex(mediaType) else {
      throw Fault(
        .corrupt,
        "\(reference.domain) sends a \(mediaType.prefix(120)) for \(reference.familiar), which is no manifest: is it a registry?"
      )
    }
    return Document(
      descriptor: Descriptor(mediaType: mediaType, digest: found, size: Int64(fetched.data.count)), data: fetched.data)
  }

  /// The manifest for the wanted platform.
  private func imageManifest(_ document: Document, depth: Int) async throws(Fault) -> Document {
    guard MediaType.isIndex(document.descriptor.mediaType) else { return document }
    guard depth < LayoutReader.depthLimit else {
      throw Fault(.corrupt, "the indexes of \(reference.familiar) refer to one another without end")
    }
    let index = try ImageDocument.index(
      document.data, mediaType: document.descriptor.mediaType, digest: document.descriptor.digest)
    let candidates = index.manifests.filter { !PlatformChoice.isCompanion($0) }
    // An index of one that does not say its platform: its configuration does.
    let chosen =
      candidates.count == 1 && candidates[0].platform == nil
      ? candidates[0]
      : try PlatformChoice.best(candidates, for: platform ?? Platform.host, in: reference.familiar)
    guard chosen.size <= ImageDocument.sizeLimit else {
      throw Fault(.limitExceeded, "the manifest \(chosen.digest) has \(chosen.size) bytes; at most 4 MiB are read")
    }
    let next = try await self.document(chosen.digest.rawValue, chosen.digest)
    guard next.descriptor.mediaType == chosen.mediaType, next.descriptor.size == chosen.size else {
      throw Fault(
        .corrupt,
        "the manifest \(chosen.digest) is not of the type or size that the index of \(reference.familiar) says")
    }
    return try await imageManifest(next, depth: depth + 1)
  }

  private func judge(_ digest: Digest, _ manifest: Digest) async throws(Fault) {
    guard let policy = puller.policy else { return }
    let subject = PullSubject(reference: reference, digest: digest, manifest: manifest)
    try await policy.judge(subject) { lookup throws(Fault) in
      switch lookup {
      case .manifest(let name): return try await document(name, try? Digest(parsing: name)).data
      case .blob(let digest): return try await smallBlob(digest)
      }
    }
  }

  private func smallBlob(_ digest: Digest) async throws(Fault) -> Data {
    let request = RegistryRequest(
      "GET", .path("/\(reference.path)/blobs/\(digest)"), what: "the blob \(digest)",
      scopes: [.pull(reference.path)], answerLimit: ImageDocument.sizeLimit)
    let answer = try await puller.client.send(
      request, registry: reference.domain, needing: .pull, credentials: self.request.credentials
    ).answer
    guard Digest.of(answer.body, digest.algorithm) == digest else {
      throw Fault(.corrupt, "the blob that should be \(digest) has another digest")
    }
    return answer.body
  }

  // MARK: Blobs

  private func fetch(_ document: Document, top: Digest) async throws(Fault) -> PulledImage {
    let manifest = try ImageDocument.manifest(
      document.data, mediaType: document.descriptor.mediaType, digest: document.descriptor.digest)
    guard manifest.layers.count <= store.limits.layers else {
      throw Fault(
        .limitExceeded,
        "\(reference.familiar) has \(manifest.layers.count) layers; at most \(store.limits.layers) are accepted")
    }
    guard manifest.config.size <= ImageDocument.sizeLimit else {
      throw Fault(.limitExceeded, "the configuration of \(reference.familiar) is larger than 4 MiB")
    }
    for layer in manifest.layers where layer.size < 0 {
      throw Fault(.corrupt, "the layer \(layer.digest) of \(reference.familiar) has a size of \(layer.size)")
    }
    let needed = ([document.descriptor.digest, manifest.config.digest] + manifest.layers.map(\.digest)).map(\.rawValue)
    store.holds.hold(needed)
    defer { store.holds.release(needed) }
    let configuration = try await configuration(manifest.config)
    let config = try ImageDocument.decode(
      ImageConfig.self, from: configuration, named: "the configuration \(manifest.config.digest)")
    let record = try ImageRecord(manifest: document.descriptor, document: manifest, config: config)
    if let platform, config.platform.distance(from: platform) == nil {
      throw Fault(
        .notFound, "\(reference.familiar) is for \(config.platform), not for \(platform.normalized)")
    }
    var plan = ImportPlan(
      record: record, names: reference.digest == nil ? [reference] : [],
      blobs: [document.descriptor.digest: .data(document.data), manifest.config.digest: .data(configuration)])
    let set = try await LayerSet(self, record: record, manifest: manifest)
    do throws(Fault) {
      for (digest, blob) in try await set.wait() { plan.blobs[digest] = blob }
      if request.waitsForUnpacking { puller.expectConfirmation(set.name) }
      tell(.stage(PullStage(stage: "fetched", id: "", current: 0)))
      if request.waitsForUnpacking { try await puller.waitForConfirmation(set.name) }
    } catch {
      await set.leave()
      throw error
    }
    let image = try await commit(plan, top: top)
    await set.leave()
    return image
  }

  private func configuration(_ descriptor: Descriptor) async throws(Fault) -> Data {
    if store.content.size(of: descriptor.digest) == descriptor.size,
      let data = try? store.content.read(descriptor.digest)
    {
      return data
    }
    let data = try await smallBlob(descriptor.digest)
    guard data.count == descriptor.size else {
      throw Fault(
        .corrupt, "the configuration \(descriptor.digest) has \(data.count) bytes instead of \(descriptor.size)")
    }
    return data
  }

  /// Makes the image visible: blobs, rows and index, in this order.
  private func commit(_ plan: ImportPlan, top: Digest) async throws(Fault) -> PulledImage {
    let (store, reference) = (store, reference)
    let key = reference.digest?.rawValue ?? reference.tag ?? Reference.defaultTag
    let row = PulledRow(
      repository: reference.name, reference: key, platform: platformKey, digest: top,
      manifest: plan.record.manifest.digest)
    do {
      return try await puller.disk.run {
        let (isNew, summary) = try store.publish(plan, row)
        return PulledImage(name: reference.familiar, digest: top, isNew: isNew, summary: summary)
      }
    } catch {
      throw Fault(describing: error)
    }
  }
}

extension ImageStore {
  /// Whether every blob of an image is there in its size.
  func isWhole(_ manifest: Digest) throws(Fault) -> Bool {
    let (image, layers) = try database.read { database in
      (try ImageQueries.image(database, manifest: manifest), try ImageQueries.layers(database, manifest: manifest))
    }
    guard let image else { return false }
    return ([image.manifest, image.config] + layers.map(\.descriptor)).allSatisfy {
      content.size(of: $0.digest) == $0.size
    }
  }

  /// Makes a pulled image visible. Returns whether its name did not mean it before, and the image as it is now: another call
  /// may remove it at once.
  func publish(_ plan: ImportPlan, _ pulled: PulledRow) throws(Fault) -> (isNew: Bool, summary: ImageSummary) {
    var plan = plan
    var staged: [StagedBlob] = []
    var present: [Digest] = []
    for (digest, source) in plan.blobs {
      switch source {
      case .staged(let blob): staged.append(blob)
      case .data(let data): staged.append(try content.stage(data, expected: digest))
      case .stored: present.append(digest)
      }
    }
    plan.noteExpandedSizes(content)
    let (record, names) = (plan.record, plan.names)
    return try change { database in
      for digest in present where content.size(of: digest) == nil {
        throw Fault(.conflict, "the blob \(digest) was removed during the pull; pull the image again")
      }
      try content.publish(staged)
      let now = Date().timeIntervalSince1970
      var isNew = try ImageQueries.image(database, manifest: record.manifest.digest) == nil
      try ImageQueries.insert(database, record, added: now)
      for name in names {
        let old = try ImageQueries.name(database, repository: name.name, tag: name.tag ?? Reference.defaultTag)
        isNew = isNew || old?.manifest != record.manifest.digest
        try ImageQueries.setName(database, name, manifest: record.manifest.digest, at: now)
      }
      try PulledQueries.set(database, pulled)
      guard let summary = try Self.list(database).first(where: { $0.id == record.id }) else {
        throw Self.noSuchImage(record.id.rawValue)
      }
      return (isNew, summary)
    }
  }
}
