internal import Dispatch
internal import OCI

internal import struct Crypto.SHA256

/// The digest and length of bytes that are produced on one thread and hashed on another, a few large buffers apart.
///
/// Unchecked inside: a buffer is the producer's until it is handed over, and again when the hash is through it.
final class DigestPipe {
  private static let bufferSize = 1 << 20
  private static let bufferCount = 4

  private final class State: @unchecked Sendable {
    var hash = SHA256()
  }

  /// A handed-over buffer.
  private struct Piece: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
  }

  private let queue = DispatchQueue(label: "gantry.layer.hash", qos: .userInitiated)
  private let free = DispatchSemaphore(value: 0)
  private let state = State()
  private let buffers: [UnsafeMutableRawBufferPointer]
  private var current = 0
  private var used = 0
  private var outstanding = 0
  /// The bytes so far.
  private(set) var size: Int64 = 0

  init() {
    buffers = (0..<Self.bufferCount).map { _ in .allocate(byteCount: Self.bufferSize, alignment: 4096) }
  }

  deinit {
    drain()
    for buffer in buffers { buffer.deallocate() }
  }

  /// Adds a copy of `bytes`.
  func append(_ bytes: UnsafeRawBufferPointer) {
    var rest = bytes
    while !rest.isEmpty {
      let room = room()
      let count = min(rest.count, room.count)
      room.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
      advance(count)
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }

  /// Where the next bytes may be put, to be followed by `advance`; never empty.
  func room() -> UnsafeMutableRawBufferPointer {
    if used == Self.bufferSize { handOver() }
    return UnsafeMutableRawBufferPointer(rebasing: buffers[current][used...])
  }

  /// Takes the first `count` bytes of `room` in.
  func advance(_ count: Int) {
    used += count
    size += Int64(count)
  }

  /// The digest of everything.
  func finish() -> Digest {
    if used > 0 { handOver() }
    drain()
    // A SHA-256 always has the 32 bytes that this digest needs.
    return Digest(.sha256, bytes: Array(state.hash.finalize()))!
  }

  private func handOver() {
    let piece = Piece(bytes: UnsafeRawBufferPointer(rebasing: buffers[current][..<used]))
    queue.async { [state, free] in
      state.hash.update(bufferPointer: piece.bytes)
      free.signal()
    }
    outstanding += 1
    current = (current + 1) % Self.bufferCount
    used = 0
    // The buffer that comes next was handed over this many pieces ago.
    while outstanding >= Self.bufferCount { wait() }
  }

  private func wait() {
    free.wait()
    outstanding -= 1
  }

  private func drain() { while outstanding > 0 { wait() } }
}
