internal import ContentStore
internal import Faults
internal import Linux
internal import OCI
internal import Registry
internal import Synchronization

/// Where a blob can be fetched from.
struct BlobSource: Sendable {
  var client: RegistryClient
  /// The registry's name and the repository in it.
  var registry: String
  var repository: String
  var credentials: RegistryCredentials
  /// Where a foreign layer is besides (OCI descriptor, `urls`).
  var urls: [WebAddress] = []
}

/// Bounds on transfers.
public struct TransferSettings: Sendable {
  /// Blobs fetched at once by all pulls together.
  public var parallelBlobs = 4
  /// Requests for one large blob at once.
  public var parallelSegments = 3
  /// How much one of them fetches.
  public var segmentSize: Int64 = 8 << 20
  /// A blob is split when it is slower than this many bytes a second …
  public var slowRate: Int64 = 64 << 20
  /// … after so many milliseconds.
  public var soloMilliseconds = 700
  /// Megabytes that all transfers share beyond two of their own each.
  public var commonMegabytes = 14
  /// Failures in a row, without a byte in between, that end a transfer.
  public var failures = 5

  /// The defaults.
  public init() {}
}

/// Fetches one blob into its partial file, from where an earlier transfer stopped.
struct BlobTransfer: Sendable {
  let descriptor: Descriptor
  let source: BlobSource
  let content: ContentStore
  let settings: TransferSettings
  let memory: TransferMemory
  /// Told the assembly, whose progress others show.
  let began: @Sendable (BlobAssembly) -> Void

  /// Whom to ask: the registry's endpoints in order, then the addresses that a foreign layer names.
  private enum Place {
    case endpoint(RegistryEndpoint)
    case foreign(WebAddress)
  }

  /// Fetches, checks and stores the blob.
  func run() async throws(Fault) -> StagedBlob {
    let places =
      try source.client.endpoints(of: source.registry, needing: .pull).map { Place.endpoint($0) }
      + source.urls.map { Place.foreign($0) }
    var first: Fault?
    for place in places {
      do throws(Fault) {
        return try await fetch(place)
      } catch {
        if Self.isFinal(error) { throw error }
        first = Self.better(first, error)
      }
    }
    throw first ?? Fault(.unavailable, "no endpoint of the registry \(source.registry) is configured for pulls")
  }

  private static func isFinal(_ fault: Fault) -> Bool {
    [.cancelled, .noSpace, .readOnly, .internal].contains(fault.code)
  }

  /// What an endpoint said counts more than that another could not be reached.
  private static func better(_ old: Fault?, _ new: Fault) -> Fault {
    guard let old, old.code != .unavailable || new.code == .unavailable else { return new }
    return old
  }

  private func fetch(_ place: Place) async throws(Fault) -> StagedBlob {
    let opened = try await Self.open(content, descriptor, anew: false)
    do throws(Fault) {
      return try await assemble(opened, place)
    } catch  where error.code == .corrupt && opened.resumed > 0 {
      // What an earlier transfer left may be damaged, or of another registry: once more without it.
      return try await assemble(try await Self.open(content, descriptor, anew: true), place)
    }
  }

  /// One way through the whole blob.
  private func assemble(_ opened: Opened, _ place: Place) async throws(Fault) -> StagedBlob {
    let assembly = BlobAssembly(opened.partial, segmentSize: settings.segmentSize, memory: memory)
    began(assembly)
    defer { assembly.close() }
    do {
      try await withThrowingTaskGroup(of: Bool.self) { group in
        let ranges = RangeSupport()
        group.addTask {
          try await work(assembly, place, ranges)
          return false
        }
        group.addTask { try await isSlow(assembly, ranges) }
        while let splits = try await group.next() {
          // The watch is over, or a worker found nothing more to do.
          guard splits, assembly.split() else {
            if assembly.isFetched { group.cancelAll() }
            continue
          }
          for _ in 1..<max(settings.parallelSegments, 2) {
            group.addTask {
              try await work(assembly, place, ranges)
              return false
            }
          }
        }
      }
    } catch {
      await assembly.drain()
      if let failure = assembly.failure { throw failure }
      if error is CancellationError { throw Fault(.cancelled, "the pull was taken back; what came is kept") }
      throw Fault(describing: error)
    }
    return try await assembly.finish()
  }

  /// Unchecked: a value on its way to the assembly, which alone uses it.
  private struct Opened: @unchecked Sendable {
    let partial: PartialBlob
    let resumed: Int64
  }

  private static let opening = WorkPool(limit: 4)

  private static func open(
    _ content: ContentStore, _ descriptor: Descriptor, anew: Bool
  ) async throws(Fault) -> Opened {
    do {
      return try await opening.run {
        let partial = try content.partial(descriptor.digest, size: descriptor.size)
        if anew { try partial.restart() } else { try partial.resume() }
        return Opened(partial: partial, resumed: partial.resumed)
      }
    } catch {
      throw Fault(describing: error)
    }
  }

  // MARK: Requests

  /// Whether ranges are served, as far as the answers have said.
  private final class RangeSupport: Sendable {
    let isOffered = Atomic<Bool>(false)
  }

  /// Watches the only request; true once it is too slow and others could help.
  private func isSlow(_ assembly: BlobAssembly, _ ranges: RangeSupport) async throws -> Bool {
    guard settings.parallelSegments > 1, descriptor.size > settings.segmentSize * 3 else { return false }
    while !assembly.isFetched {
      let before = assembly.received.load(ordering: .relaxed)
      do { try await Task.sleep(for: .milliseconds(settings.soloMilliseconds)) } catch { return false }
      let count = assembly.received.load(ordering: .relaxed) - before
      if count > 0, count * 1000 / Int64(max(settings.soloMilliseconds, 1)) < settings.slowRate,
        ranges.isOffered.load(ordering: .relaxed)
      {
        return true
      }
    }
    return false
  }

  /// Fetches segments until there are none left.
  private func work(_ assembly: BlobAssembly, _ place: Place, _ ranges: RangeSupport) async throws {
    while let segment = assembly.claim() {
      var failures = 0
      while let missing = assembly.missing(segment) {
        let sink = SegmentSink(assembly, segment, missing) { ranges.isOffered.store(true, ordering: .relaxed) }
        do throws(Fault) {
          _ = try await request(place, missing, sink)
          if assembly.missing(segment)?.lowerBound == missing.lowerBound, sink.failure == nil {
            throw Fault(.unavailable, "\(source.registry) ended the blob \(descriptor.digest) too early")
          }
        } catch {
          if let failure = sink.failure ?? assembly.failure { throw failure }
          guard let rest = assembly.missing(segment) else { break }
          failures = rest.lowerBound > missing.lowerBound ? 1 : failures + 1
          guard !Task.isCancelled, Self.mayPass(error), failures <= settings.failures else { throw error }
          try await Task.sleep(for: .milliseconds(source.client.backOff(failures)))
        }
        if let failure = sink.failure { throw failure }
      }
    }
  }

  private static func mayPass(_ fault: Fault) -> Bool {
    switch fault.code {
    case .deadlineExceeded: true
    case .unavailable: !fault.message.contains("cannot be reached") && !fault.message.contains("rate limit")
    default: false
    }
  }

  private func request(_ place: Place, _ range: Range<Int64>, _ sink: SegmentSink) async throws(Fault) -> HTTPAnswer {
    var fields: [HTTPField] = []
    if range.lowerBound > 0 || range.upperBound < descriptor.size {
      fields.append(HTTPField("Range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)"))
    }
    let what = "the blob \(descriptor.digest) of \(source.repository)"
    switch place {
    case .endpoint(let endpoint):
      // Repeated by `work`, which asks for what is still missing.
      let request = RegistryRequest(
        "GET", .path("/\(source.repository)/blobs/\(descriptor.digest)"), what: what,
        scopes: [.pull(source.repository)], fields: fields, milliseconds: 0, isRepeatable: false)
      return try await source.client.send(request, to: endpoint, credentials: source.credentials, sink: sink)
    case .foreign(let address):
      return try await source.client.fetchForeign(address, what: what, fields: fields, sink: sink)
    }
  }
}

extension BlobAssembly {
  /// Whether all bytes have come.
  var isFetched: Bool { received.load(ordering: .relaxed) == size }
}

/// The body of one request for a segment.
private final class SegmentSink: BodySink {
  private let assembly: BlobAssembly
  private let segment: BlobAssembly.Segment
  private let range: Range<Int64>
  private let offersRanges: @Sendable () -> Void
  private let state = Mutex(State())

  private struct State {
    var failure: Fault?
    /// Bytes of a whole blob that came instead of a range and are there already.
    var skipped: Int64 = 0
    var resume: @Sendable () -> Void = {}
  }

  init(
    _ assembly: BlobAssembly, _ segment: BlobAssembly.Segment, _ range: Range<Int64>,
    offersRanges: @escaping @Sendable () -> Void
  ) {
    self.assembly = assembly
    self.segment = segment
    self.range = range
    self.offersRanges = offersRanges
  }

  /// What makes the blob impossible to fetch from here.
  var failure: Fault? { state.withLock { $0.failure } }

  func begin(_ head: HTTPHead, resume: @escaping @Sendable () -> Void) -> Bool {
    guard head.status == 200 || head.status == 206 else { return false }
    if head.status == 206 || head["Accept-Ranges"]?.lowercased() == "bytes" { offersRanges() }
    state.withLock { state in
      state.resume = resume
      if head.status == 206 {
        state.failure = Self.mismatch(head["Content-Range"], range, assembly.size)
      } else {
        state.skipped = range.lowerBound
        if let length = head.contentLength, length != assembly.size {
          state.failure = Fault(
            .corrupt,
            "the registry says that the blob \(assembly.digest) has \(length) bytes, but the manifest says \(assembly.size)"
          )
        }
      }
    }
    return true
  }

  func receive(_ bytes: UnsafeRawBufferPointer) -> SinkVerdict {
    let count = bytes.count
    let (skipped, resume) = state.withLock { state -> (Int?, @Sendable () -> Void) in
      guard state.failure == nil else { return (nil, state.resume) }
      let skipped = min(state.skipped, Int64(count))
      state.skipped -= skipped
      return (Int(skipped), state.resume)
    }
    guard let skipped else { return .stop }
    let piece = UnsafeRawBufferPointer(rebasing: bytes[skipped...])
    let verdict = assembly.receive(piece, segment, resume: resume)
    // The whole piece comes again, also what was skipped of it.
    if case .pause = verdict, piece.count < bytes.count {
      state.withLock { $0.skipped += Int64(bytes.count - piece.count) }
    }
    return verdict
  }

  /// Whether `bytes 0-9/100` is not the range that was asked for.
  private static func mismatch(_ field: String?, _ range: Range<Int64>, _ size: Int64) -> Fault? {
    let words = (field ?? "").split { $0 == " " || $0 == "-" || $0 == "/" }
    guard words.count == 4, words[0] == "bytes", Int64(words[1]) == range.lowerBound,
      words[3] == "*" || Int64(words[3]) == size
    else {
      return Fault(
        .corrupt, "the registry sent another range than bytes \(range.lowerBound) to \(range.upperBound - 1)")
    }
    return nil
  }
}
