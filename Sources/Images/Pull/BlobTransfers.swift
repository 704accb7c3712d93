internal import ContentStore
internal import Faults
internal import Linux
internal import OCI
internal import Synchronization

/// The transfers that run, each blob once however many pulls want it.
///
/// A transfer that nobody waits for any more ends; what it has fetched stays for the next one.
actor BlobTransfers {
  /// One blob on its way, shared by all pulls that want it.
  final class Shared: Sendable {
    private typealias Waiter = CheckedContinuation<Result<StagedBlob, Fault>, Never>

    private struct State {
      var assembly: BlobAssembly?
      var result: Result<StagedBlob, Fault>?
      var waiters: [Int: Waiter] = [:]
      var next = 0
    }

    let digest: Digest
    private let state = Mutex(State())

    init(digest: Digest) { self.digest = digest }

    func note(_ assembly: BlobAssembly) { state.withLock { $0.assembly = assembly } }

    /// The bytes that are there.
    var received: Int64 { state.withLock { $0.assembly?.received.load(ordering: .relaxed) } ?? 0 }

    /// Whether it has ended without the blob.
    var isFailed: Bool {
      state.withLock { if case .failure = $0.result { true } else { false } }
    }

    /// Waits for the whole blob; a waiting task that is cancelled returns at once.
    func blob() async throws(Fault) -> StagedBlob {
      let number = state.withLock { state in
        state.next += 1
        return state.next
      }
      let result = await withTaskCancellationHandler {
        await withCheckedContinuation { (waiter: Waiter) in
          let known = state.withLock { state -> Result<StagedBlob, Fault>? in
            if let result = state.result { return result }
            if Task.isCancelled { return .failure(BlobTransfers.takenBack) }
            state.waiters[number] = waiter
            return nil
          }
          if let known { waiter.resume(returning: known) }
        }
      } onCancel: {
        state.withLock { $0.waiters.removeValue(forKey: number) }?
          .resume(returning: .failure(BlobTransfers.takenBack))
      }
      return try result.get()
    }

    func end(_ result: Result<StagedBlob, Fault>) {
      let waiters = state.withLock { state in
        state.result = result
        defer { state.waiters = [:] }
        return state.waiters.values
      }
      for waiter in waiters { waiter.resume(returning: result) }
    }
  }

  private struct Entry {
    var shared: Shared
    var task: Task<Void, Never>
    var users = 1
  }

  static let takenBack = Fault(.cancelled, "the pull was taken back; what came is kept for the next one")

  private let content: ContentStore
  private let settings: TransferSettings
  private let memory: TransferMemory
  private var entries: [Digest: Entry] = [:]
  private var running = 0
  private var queue: [CheckedContinuation<Void, Never>] = []

  init(content: ContentStore, settings: TransferSettings) {
    self.content = content
    self.settings = settings
    memory = TransferMemory(common: settings.commonMegabytes)
  }

  /// The transfer of a blob, begun when there is none; `isNew` says whether it was. `leave` must follow.
  func join(_ descriptor: Descriptor, from source: BlobSource) -> (shared: Shared, isNew: Bool) {
    if var entry = entries[descriptor.digest], !entry.shared.isFailed {
      entry.users += 1
      entries[descriptor.digest] = entry
      return (entry.shared, false)
    }
    let shared = Shared(digest: descriptor.digest)
    let (content, settings, memory) = (content, settings, memory)
    let task = Task {
      await self.enter()
      do throws(Fault) {
        if Task.isCancelled { throw Self.takenBack }
        let transfer = BlobTransfer(
          descriptor: descriptor, source: source, content: content, settings: settings, memory: memory,
          began: { shared.note($0) })
        shared.end(.success(try await transfer.run()))
      } catch {
        shared.end(.failure(error))
      }
      self.exit()
    }
    entries[descriptor.digest] = Entry(shared: shared, task: task)
    return (shared, true)
  }

  /// The caller does not need the transfer any more, whatever became of it.
  func leave(_ shared: Shared) {
    guard var entry = entries[shared.digest], entry.shared === shared else { return }
    entry.users -= 1
    if entry.users > 0 {
      entries[shared.digest] = entry
      return
    }
    entries[shared.digest] = nil
    entry.task.cancel()
  }

  // MARK: Places

  private func enter() async {
    if running < settings.parallelBlobs {
      running += 1
      return
    }
    await withCheckedContinuation { queue.append($0) }
  }

  private func exit() {
    if queue.isEmpty {
      running -= 1
      if running == 0 { HeapMemory.giveBack() }
    } else {
      queue.removeFirst().resume()
    }
  }
}
