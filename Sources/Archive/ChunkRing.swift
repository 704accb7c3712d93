internal import Faults
internal import Glibc
internal import Tar

/// A ring of buffers between one producer and two readers, each on a thread of its own: the digest and the tar reader.
///
/// A buffer is filled again when both readers have passed it, so the memory is fixed and the slowest sets the pace.
///
/// Unchecked: `counters` are only touched with `mutex` held, and a slot's bytes only by the side whose turn it is.
final class ChunkRing: @unchecked Sendable {
  /// Who reads.
  enum Reader: Int {
    case digest
    case archive
  }

  private let slots: [UnsafeMutableRawBufferPointer]
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var lengths: [Int]
  private var produced = 0
  private var read = [0, 0]
  private var isEnded = false
  private var isCancelled = false
  private var error: (any Error)?

  init(slots: Int = 12, slotSize: Int = 256 << 10) {
    self.slots = (0..<slots).map { _ in .allocate(byteCount: slotSize, alignment: 4096) }
    lengths = Array(repeating: 0, count: slots)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    for slot in slots { slot.deallocate() }
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  private func locked<R>(_ body: () throws -> R) rethrows -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }

  /// Copies all of `source` into the ring; returns at its end, at an error (which the readers then get) or when cancelled.
  func fill(from source: any ByteSource) {
    do {
      while true {
        var rest = try source.next()
        if rest.isEmpty { break }
        while !rest.isEmpty {
          guard let slot = emptySlot() else { return }
          let count = min(rest.count, slots[slot].count)
          slots[slot].copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
          rest = UnsafeRawBufferPointer(rebasing: rest[count...])
          locked {
            lengths[slot] = count
            produced += 1
            pthread_cond_broadcast(condition)
          }
        }
      }
      end(nil)
    } catch {
      end(error)
    }
  }

  /// Waits for a slot that both readers have passed; nil when cancelled.
  private func emptySlot() -> Int? {
    locked {
      while !isCancelled, produced - min(read[0], read[1]) >= slots.count { pthread_cond_wait(condition, mutex) }
      return isCancelled ? nil : produced % slots.count
    }
  }

  private func end(_ error: (any Error)?) {
    locked {
      self.error = error
      isEnded = true
      pthread_cond_broadcast(condition)
    }
  }

  /// Makes the producer stop and every reader see `cancelled`.
  func cancel() {
    locked {
      isCancelled = true
      pthread_cond_broadcast(condition)
    }
  }

  /// The next filled buffer; empty at the end. It is valid until the reader calls `advance`.
  func current(_ reader: Reader) throws -> UnsafeRawBufferPointer {
    try locked {
      while !isCancelled, !isEnded, produced == read[reader.rawValue] { pthread_cond_wait(condition, mutex) }
      if isCancelled { throw Fault(.cancelled, "the unpacking was taken back") }
      if produced == read[reader.rawValue] {
        if let error { throw error }
        return UnsafeRawBufferPointer(start: nil, count: 0)
      }
      let slot = read[reader.rawValue] % slots.count
      return UnsafeRawBufferPointer(rebasing: slots[slot][..<lengths[slot]])
    }
  }

  /// Gives the buffer that `current` returned back.
  func advance(_ reader: Reader) {
    locked {
      read[reader.rawValue] += 1
      pthread_cond_broadcast(condition)
    }
  }
}

/// One reader's side of a ring as a source.
final class RingSource: ByteSource {
  private let ring: ChunkRing
  private let reader: ChunkRing.Reader
  private var holdsSlot = false

  init(_ ring: ChunkRing, _ reader: ChunkRing.Reader) {
    self.ring = ring
    self.reader = reader
  }

  func next() throws -> UnsafeRawBufferPointer {
    if holdsSlot {
      ring.advance(reader)
      holdsSlot = false
    }
    let chunk = try ring.current(reader)
    holdsSlot = !chunk.isEmpty
    return chunk
  }
}
