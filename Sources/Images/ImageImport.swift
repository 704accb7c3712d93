internal import Archive
internal import ContentStore
public import Faults
internal import FoundationEssentials
internal import GarbageCollection
internal import Linux
internal import OCI
public import SystemPackage
internal import Tar

/// What an import is asked to do.
public struct ImportRequest: Sendable {
  /// The names to give, instead of those that the archive gives; only for one image.
  public var names: [String]
  /// The platform to take from an index; nil is this machine's, and a single image of any.
  public var platform: String?
  /// The lease that keeps the images' content beside the images themselves.
  public var lease: String?

  /// Makes a request.
  public init(names: [String] = [], platform: String? = nil, lease: String? = nil) {
    self.names = names
    self.platform = platform
    self.lease = lease
  }
}

/// How far an import is.
public struct ImportProgress: Sendable, Equatable {
  /// `read` the archive, `write` what was read.
  public var stage: String
  /// The bytes so far.
  public var current: Int64
  /// All bytes, when that is known.
  public var total: Int64?
}

/// How an import tells its caller where it is, and learns that it should stop.
public struct ImportObserver: Sendable {
  /// Called every few megabytes.
  public var progress: @Sendable (ImportProgress) -> Void
  /// Asked every few hundred kilobytes.
  public var isCancelled: @Sendable () -> Bool

  /// Makes an observer; by default nobody listens.
  public init(
    progress: @escaping @Sendable (ImportProgress) -> Void = { _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) {
    self.progress = progress
    self.isCancelled = isCancelled
  }
}

/// The way in: archive or folder → staged content → plans, verified as a whole → published → rows → `index.json`.
/// Whatever fails before the rows leaves nothing that anyone can see.
extension ImageStore {
  /// Imports an archive (docker-archive of either shape, OCI layout; plain or compressed) from an open file, pipe or
  /// socket, which it reads to the end. The descriptor stays the caller's.
  ///
  /// - Returns: the images, in the archive's order.
  /// - Throws: `corrupt`, `limitExceeded`, `unsupported`, `notFound` (no image for the platform), `noSpace`, `cancelled`.
  public func importArchive(
    descriptor: Int32, _ request: ImportRequest = ImportRequest(), observer: ImportObserver = ImportObserver()
  ) throws(Fault) -> [ImageSummary] {
    let wishes = try Wishes(request)
    let job = ImportJob(store: self, observer: observer)
    if let status = try? FileStatus(of: descriptor), status.kind == .regular { job.total = Int64(status.size) }
    do {
      let source = DescriptorSource(descriptor, name: "the archive")
      let archive = ArchiveLimits(expandedBytes: limits.expandedBytes, entries: limits.members)
      let members = try job.collect(ArchiveReader(source: source, limits: archive))
      try drain(source, job)
      return try commit(try plans(members, wishes), wishes, job)
    } catch {
      throw Fault(describing: error)
    }
  }

  /// Imports the archive in the file, or the OCI image layout in the folder, at `path`; else as `importArchive`.
  public func importPath(
    _ path: FilePath, _ request: ImportRequest = ImportRequest(), observer: ImportObserver = ImportObserver()
  ) throws(Fault) -> [ImageSummary] {
    let file = try Self.open(path)
    let kind = try? FileStatus(of: file.rawValue).kind
    guard kind == .directory else {
      return try importArchive(descriptor: file.rawValue, request, observer: observer)
    }
    let wishes = try Wishes(request)
    let job = ImportJob(store: self, observer: observer)
    let folder = LayoutFolder(
      file, name: path.string, content: content, pin: job.pin,
      progress: { count throws(Fault) in try job.advance(count) })
    let name = path.lastComponent?.string.lowercased()
    let reader = LayoutReader(
      source: folder, limits: limits, platform: wishes.platform,
      fallbackRepository: name.flatMap { try? Reference(parsing: $0) } == nil ? nil : name)
    return try commit(try reader.plans(), wishes, job)
  }

  private static func open(_ path: FilePath) throws(Fault) -> OwnedDescriptor {
    do throws(Errno) {
      return try openat2(nil, path.string, [.readOnly, .noControllingTerminal])
    } catch .noSuchFileOrDirectory {
      throw Fault(.notFound, "\(path) does not exist")
    } catch {
      throw Fault(.permissionDenied, "\(path) cannot be opened by the image service", cause: ["\(error)"])
    }
  }

  /// What follows the archive's end is read too: the sender of a stream must not see its pipe break.
  private func drain(_ source: DescriptorSource, _ job: ImportJob) throws {
    while true {
      let chunk = try source.next()
      if chunk.isEmpty { return }
      try job.advance(chunk.count)
    }
  }

  /// A request whose words are understood.
  struct Wishes {
    var names: [Reference] = []
    var platform: Platform?
    var lease: String?

    init(_ request: ImportRequest) throws(Fault) {
      lease = request.lease
      for name in request.names {
        let reference = try Reference(parsing: name).withDefaultTag
        guard reference.digest == nil else {
          throw Fault(.invalidArgument, "an imported image cannot be named with a digest: \(reference.familiar)")
        }
        names.append(reference)
      }
      if let platform = request.platform { self.platform = try Platform(parsing: platform) }
    }
  }

  /// The images in an archive, whichever shape it has.
  private func plans(_ members: ImportMembers, _ wishes: Wishes) throws(Fault) -> [ImportPlan] {
    let docker = DockerArchive(members: members, content: content, limits: limits)
    var plans: [ImportPlan]
    if members.has("index.json"), members.has("oci-layout") {
      let reader = LayoutReader(
        source: ArchiveLayout(members: members), limits: limits, platform: wishes.platform, fallbackRepository: nil)
      plans = try reader.plans()
      if members.has("manifest.json") {
        // Docker 25 and later write both; what one of them does not name, the other may.
        let names = try docker.names()
        for position in plans.indices {
          for name in names[plans[position].record.id] ?? [] where !plans[position].names.contains(name) {
            plans[position].names.append(name)
          }
        }
      }
    } else if members.has("manifest.json") {
      plans = try docker.plans()
    } else if members.has("repositories") {
      plans = try LegacyDockerArchive(members: members, content: content, limits: limits).plans()
    } else {
      throw Fault(
        .invalidArgument,
        "this is not an image archive: it has neither manifest.json (docker save) nor index.json (OCI layout); was it made by docker export?"
      )
    }
    if let platform = wishes.platform {
      for plan in plans {
        let own = Platform(os: plan.record.os, architecture: plan.record.architecture, variant: plan.record.variant)
        guard own.distance(from: platform) != nil else {
          throw Fault(.notFound, "the image \(plan.record.id.short) is for \(own), not for \(platform.normalized)")
        }
      }
    }
    return plans
  }

  /// Makes the images visible: blobs, rows and index, in this order, all of them or none.
  private func commit(_ plans: [ImportPlan], _ wishes: Wishes, _ job: ImportJob) throws(Fault) -> [ImageSummary] {
    guard !plans.isEmpty else { throw Fault(.invalidArgument, "the archive has no image") }
    guard wishes.names.isEmpty || plans.count == 1 else {
      throw Fault(
        .invalidArgument, "the archive has \(plans.count) images; a name can be given only to an archive with one")
    }
    try job.checkCancelled()
    var staged: [Digest: StagedBlob] = [:]
    var stored: Set<Digest> = []
    for plan in plans {
      for (digest, source) in plan.blobs where staged[digest] == nil {
        switch source {
        case .staged(let blob): staged[digest] = blob
        case .data(let data): staged[digest] = try content.stage(data, expected: digest)
        case .stored: stored.insert(digest)
        }
      }
    }
    let plans = plans.map { plan in
      var plan = plan
      plan.noteExpandedSizes(content)
      return plan
    }
    job.report("write")
    let blobs = Array(staged.values)
    let present = stored
    return try change { database in
      for digest in present where content.size(of: digest) == nil {
        throw Fault(.conflict, "the blob \(digest) was removed during the import; import the image again")
      }
      try content.publish(blobs)
      let now = Date().timeIntervalSince1970
      for plan in plans {
        try ImageQueries.insert(database, plan.record, added: now)
        for name in wishes.names.isEmpty ? plan.names : wishes.names {
          try ImageQueries.setName(database, name, manifest: plan.record.manifest.digest, at: now)
        }
        if let lease = wishes.lease { try LeaseRows.hold(database, lease, plan.blobs.keys.map(\.rawValue)) }
      }
      // Told as they are now: another call may remove them at once.
      let summaries = try Self.list(database)
      return plans.compactMap { plan in summaries.first { $0.id == plan.record.id } }
    }
  }
}
