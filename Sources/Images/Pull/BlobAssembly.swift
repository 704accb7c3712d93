internal import ContentStore
internal import Dispatch
internal import Faults
internal import OCI
internal import Registry
internal import Synchronization

/// Puts a blob together that comes in segments, several at once, and writes it strictly from its beginning on.
///
///     transport ─ segment 0 (head) ─ buffers ─┐
///               ─ segment 1 ──────── buffers ─┼─► queue: sha256, write ─► partial file
///               ─ segment 2 ──────── buffers ─┘
///
/// The head's full buffers go to the queue at once; those of later segments wait in memory until their turn comes. A
/// transfer that finds no buffer pauses. The first segment is the whole rest of the blob; `split` makes it end earlier, and
/// the others then share what follows.
final class BlobAssembly: Sendable {
  /// A run of bytes that one request fetches.
  final class Segment: Sendable {
    let start: Int64
    init(start: Int64) { self.start = start }
  }

  private struct Chunk {
    var buffer: TransferMemory.Buffer
    var isOwn: Bool
    var count = 0
  }

  /// What is known of a segment.
  private struct Part {
    var segment: Segment
    var end: Int64
    /// Where its next byte belongs.
    var position: Int64
    var full: [Chunk] = []
    var current: Chunk?
    /// Lets its paused transfer go on.
    var paused: (@Sendable () -> Void)?

    var isComplete: Bool { position == end }
  }

  private struct State {
    /// In the order of the blob; the first is the head.
    var parts: [Part] = []
    /// Where the next segment begins.
    var unclaimed: Int64
    var own: [TransferMemory.Buffer]
    var failure: Fault?
  }

  let digest: Digest
  let size: Int64
  /// The bytes that came or were there, for progress.
  let received = Atomic<Int64>(0)
  private let segmentSize: Int64
  private let memory: TransferMemory
  private let queue = DispatchQueue(label: "gantry.pull.write", qos: .userInitiated)
  private let state: Mutex<State>
  private let file: File

  /// Unchecked: only blocks on `queue` touch it.
  private final class File: @unchecked Sendable {
    let partial: PartialBlob
    init(_ partial: PartialBlob) { self.partial = partial }
  }

  /// - Parameter partial: resumed; the assembly's alone from now on.
  init(_ partial: sending PartialBlob, segmentSize: Int64, memory: TransferMemory) {
    digest = partial.digest
    size = partial.size
    self.segmentSize = segmentSize
    self.memory = memory
    received.store(partial.count, ordering: .relaxed)
    state = Mutex(
      State(unclaimed: partial.count, own: (0..<TransferMemory.own).map { _ in TransferMemory.make() }))
    file = File(partial)
  }

  deinit { close() }

  // MARK: Segments

  /// The next run of bytes to fetch: the first is all that is missing. Nil when there is none left.
  func claim() -> Segment? {
    state.withLock { state in
      guard state.unclaimed < size, state.failure == nil else { return nil }
      let end = state.parts.isEmpty ? size : min(size, state.unclaimed + segmentSize)
      let segment = Segment(start: state.unclaimed)
      state.parts.append(Part(segment: segment, end: end, position: state.unclaimed))
      state.unclaimed = end
      return segment
    }
  }

  /// Makes the only segment end soon, so that others can fetch what follows. False when that is not worth while.
  func split() -> Bool {
    state.withLock { state in
      guard state.parts.count == 1, state.unclaimed == size, state.parts[0].end == size else { return false }
      let end = state.parts[0].position + segmentSize
      // Whole disk blocks, counted from the blob's beginning.
      let boundary = end - end % Int64(TransferMemory.alignment)
      guard size - boundary > segmentSize else { return false }
      state.parts[0].end = boundary
      state.unclaimed = boundary
      return true
    }
  }

  /// The bytes of a segment that are still to be fetched; nil when it is whole.
  func missing(_ segment: Segment) -> Range<Int64>? {
    state.withLock { state in
      guard let part = state.parts.first(where: { $0.segment === segment }), !part.isComplete else { return nil }
      return part.position..<part.end
    }
  }

  /// Why nothing more can be taken.
  var failure: Fault? { state.withLock { $0.failure } }

  // MARK: Bytes

  /// Takes bytes of a segment, in order. More than the segment has are an error, unless it was cut short by `split`.
  func receive(_ bytes: UnsafeRawBufferPointer, _ segment: Segment, resume: @escaping @Sendable () -> Void)
    -> SinkVerdict
  {
    state.withLock { state in
      guard state.failure == nil, let index = state.parts.firstIndex(where: { $0.segment === segment }) else {
        return .stop
      }
      let room = Int(clamping: state.parts[index].end - state.parts[index].position)
      if bytes.count > room, state.parts[index].end == size {
        state.failure = Fault(.corrupt, "the registry sends more than the \(size) bytes of the blob \(digest)")
        return .stop
      }
      let piece = UnsafeRawBufferPointer(rebasing: bytes.prefix(room))
      guard store(piece, index, &state) else {
        state.parts[index].paused = resume
        return .pause
      }
      received.add(Int64(piece.count), ordering: .relaxed)
      if index == 0 { writeHead(&state) }
      return piece.count < bytes.count ? .stop : .taken
    }
  }

  /// Copies a piece, which is smaller than a buffer; false when there is no memory for it.
  private func store(_ piece: UnsafeRawBufferPointer, _ index: Int, _ state: inout State) -> Bool {
    if piece.isEmpty { return true }
    let room = state.parts[index].current.map { TransferMemory.bufferSize - $0.count } ?? 0
    var next: Chunk?
    if piece.count > room {
      guard let chunk = takeBuffer(index, &state) else { return false }
      next = chunk
    }
    let first = min(room, piece.count)
    if var current = state.parts[index].current {
      copy(UnsafeRawBufferPointer(rebasing: piece[..<first]), &current)
      state.parts[index].current = current
      if current.count == TransferMemory.bufferSize {
        state.parts[index].full.append(current)
        state.parts[index].current = nil
      }
    }
    if var next {
      copy(UnsafeRawBufferPointer(rebasing: piece[first...]), &next)
      state.parts[index].current = next
    }
    state.parts[index].position += Int64(piece.count)
    return true
  }

  private func copy(_ bytes: UnsafeRawBufferPointer, _ chunk: inout Chunk) {
    UnsafeMutableRawBufferPointer(rebasing: chunk.buffer.bytes[chunk.count...]).copyMemory(from: bytes)
    chunk.count += bytes.count
  }

  private func takeBuffer(_ index: Int, _ state: inout State) -> Chunk? {
    if index == 0, let buffer = state.own.popLast() { return Chunk(buffer: buffer, isOwn: true) }
    return memory.take { [weak self] in self?.resumeAll() }.map { Chunk(buffer: $0, isOwn: false) }
  }

  private func resumeAll() {
    let paused = state.withLock { state in
      var paused: [@Sendable () -> Void] = []
      for index in state.parts.indices {
        if let resume = state.parts[index].paused { paused.append(resume) }
        state.parts[index].paused = nil
      }
      return paused
    }
    for resume in paused { resume() }
  }

  // MARK: Writing

  /// Hands what the head has to the queue; when the head is whole, the next one becomes it.
  private func writeHead(_ state: inout State) {
    while !state.parts.isEmpty {
      for chunk in state.parts[0].full { enqueue(chunk) }
      state.parts[0].full = []
      guard state.parts[0].isComplete else { return }
      if let last = state.parts[0].current { enqueue(last) }
      state.parts.removeFirst()
    }
  }

  private func enqueue(_ chunk: Chunk) {
    let work = UncheckedChunk(chunk: chunk)
    queue.async { [self] in
      let chunk = work.chunk
      if failure == nil {
        do throws(Fault) {
          try file.partial.append(UnsafeRawBufferPointer(rebasing: chunk.buffer.bytes[..<chunk.count]))
        } catch {
          state.withLock { $0.failure = $0.failure ?? error }
        }
      }
      if chunk.isOwn {
        state.withLock { $0.own.append(chunk.buffer) }
        resumeAll()
      } else {
        memory.giveBack(chunk.buffer)
      }
    }
  }

  /// Unchecked: its memory is the queue's until it was written.
  private struct UncheckedChunk: @unchecked Sendable {
    let chunk: Chunk
  }

  /// Gives all memory back. No request may be running, and the queue must be drained.
  func close() {
    let chunks = state.withLock { state in
      state.failure = state.failure ?? Fault(.cancelled, "the transfer has ended")
      for buffer in state.own { buffer.bytes.deallocate() }
      state.own = []
      defer { state.parts = [] }
      return state.parts.flatMap { $0.full + ($0.current.map { [$0] } ?? []) }
    }
    for chunk in chunks {
      if chunk.isOwn { chunk.buffer.bytes.deallocate() } else { memory.giveBack(chunk.buffer) }
    }
  }

  /// Ends it: waits for the queue, then checks and stores the blob.
  func finish() async throws(Fault) -> StagedBlob {
    if let failure { throw failure }
    return try await onQueue { file throws(Fault) in
      if let failure = self.failure { throw failure }
      return try file.finish()
    }
  }

  /// Waits until what was handed to the queue is written.
  func drain() async { _ = try? await onQueue { _ throws(Fault) in } }

  private func onQueue<Value: Sendable>(
    _ body: @escaping @Sendable (PartialBlob) throws(Fault) -> Value
  ) async throws(Fault) -> Value {
    let result: Result<Value, Fault> = await withCheckedContinuation { continuation in
      queue.async { [file] in
        do throws(Fault) {
          continuation.resume(returning: .success(try body(file.partial)))
        } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    }
    return try result.get()
  }
}
