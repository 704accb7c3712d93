internal import Faults
internal import FoundationEssentials
internal import Glibc
internal import Linux
internal import Protocol
internal import RPCService
internal import Synchronization
internal import SystemPackage

/// One worker and those who wait for it.
final class TreeCopy: Sendable {
  private struct State {
    /// What the worker found at the path; nil while it looks.
    var ready: Result<PathStat?, Fault>?
    var result: Result<Int64, Fault>?
    /// Why it is to end, or ended before its time.
    var cancellation: Fault?
    var process: Int32?
    var control: Int32?
    var promise: StreamPromise?
    var isConnected = false
    var onReady: [@Sendable (Result<PathStat?, Fault>) -> Void] = []
    var onDone: [@Sendable (Result<Int64, Fault>) -> Void] = []
  }

  private let order: TreeOrder
  private let state = Mutex(State())

  init(_ order: TreeOrder) { self.order = order }

  // MARK: For callers

  /// Waits until the worker has found the path; a caller that goes away ends it.
  func ready() async throws(Fault) -> PathStat? {
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in whenReady { continuation.resume(returning: $0) } }
    } onCancel: {
      cancel(Fault(.cancelled, "the call was taken back"))
    }
    return try result.get()
  }

  /// Waits for the end.
  func result() async -> Result<Int64, Fault> {
    await withCheckedContinuation { continuation in whenDone { continuation.resume(returning: $0) } }
  }

  /// Runs `action` after the end.
  func whenDone(_ action: @escaping @Sendable () -> Void) { whenDone { _ in action() } }

  /// Gives the worker the socket of whoever connects.
  func connect(_ promise: StreamPromise) {
    state.withLock { $0.promise = promise }
    promise.onConnect { [self] socket in
      guard let socket else {
        return cancel(Fault(.deadlineExceeded, "nobody connected to the stream in time: begin the transfer again"))
      }
      state.withLock { state in
        guard let control = state.control, !state.isConnected else { return }
        state.isConnected = true
        var byte: UInt8 = 1
        _ = withUnsafeBytes(of: &byte) { try? UnixSocket.send(control, $0, descriptors: [socket.rawValue]) }
      }
    }
    if state.withLock({ $0.result != nil || $0.cancellation != nil }) { promise.cancel() }
  }

  /// Ends the worker.
  func cancel(_ fault: Fault) {
    state.withLock { state in
      guard state.result == nil else { return }
      if state.cancellation == nil { state.cancellation = fault }
      if let process = state.process { Self.kill(process) }
    }
  }

  private func whenReady(_ action: @escaping @Sendable (Result<PathStat?, Fault>) -> Void) {
    let known = state.withLock { state in
      if state.ready == nil { state.onReady.append(action) }
      return state.ready
    }
    if let known { action(known) }
  }

  private func whenDone(_ action: @escaping @Sendable (Result<Int64, Fault>) -> Void) {
    let known = state.withLock { state in
      if state.result == nil { state.onDone.append(action) }
      return state.result
    }
    if let known { action(known) }
  }

  // MARK: On the transfer's thread

  /// Starts the worker and stays until it has ended. The worker's life is bound to this thread (PR_SET_PDEATHSIG).
  func run(_ executable: Int32) -> Result<Int64, Fault> {
    do throws(Fault) { return .success(try work(executable)) } catch {
      return .failure(state.withLock { $0.cancellation } ?? error)
    }
  }

  /// Tells everyone of the end.
  func settle(_ result: Result<Int64, Fault>) {
    let (onReady, onDone, promise) = state.withLock { state in
      state.result = result
      defer {
        state.onReady = []
        state.onDone = []
        state.promise = nil
      }
      if state.ready == nil { state.ready = result.map { _ in nil } }
      return (state.onReady, state.onDone, state.promise)
    }
    for action in onReady { action(result.map { _ in nil }) }
    for action in onDone { action(result) }
    promise?.cancel()
  }

  private func work(_ executable: Int32) throws(Fault) -> Int64 {
    let worker: Worker
    do throws(Errno) { worker = try Worker.start(executable) } catch {
      throw Fault(.unavailable, "no worker can be started for a container's files", cause: ["\(error)"])
    }
    return try attend(worker).get()
  }

  /// A worker that was started, and our end of its control socket.
  private struct Worker: ~Copyable {
    let process: SpawnedProcess
    let control: OwnedDescriptor

    static func start(_ executable: Int32) throws(Errno) -> Worker {
      // The worker's end closes here: with the worker, the socket ends.
      let pair = try UnixSocket.pair()
      let control = try pair.first.duplicate()
      let process = try SpawnRequest(
        .descriptor(executable), arguments: ["gantry-snapshotd", TreeWorker.argument],
        descriptors: [nil, nil, 2, pair.second.rawValue], newSession: true, deathSignal: SIGKILL
      ).spawn()
      return Worker(process: process, control: control)
    }
  }

  /// Talks to the worker until it is done, and sees to its end.
  private func attend(_ worker: borrowing Worker) -> Result<Int64, Fault> {
    let pid = worker.process.pidFD.descriptor.rawValue
    let control = worker.control.rawValue
    let isCancelled = state.withLock { state in
      state.process = pid
      state.control = control
      return state.cancellation != nil
    }
    if isCancelled { Self.kill(pid) }
    let outcome: Result<Int64, Fault>
    do throws(Fault) { outcome = .success(try converse(control)) } catch { outcome = .failure(error) }
    state.withLock { state in
      state.process = nil
      state.control = nil
    }
    // Nothing more is to come from it, whatever it says.
    Self.kill(pid)
    _ = try? worker.process.pidFD.wait()
    return outcome
  }

  private func converse(_ control: Int32) throws(Fault) -> Int64 {
    var lines = ControlLines(control)
    do {
      let line = Array(try JSONEncoder().encode(order)) + [10]
      try line.withUnsafeBytes { try Descriptors.writeAll(control, $0) }
    } catch {
      throw Fault(.internal, "the worker for a container's files takes no orders", cause: ["\(error)"])
    }
    guard case .ready(let stat) = try lines.next() else {
      throw Fault(.internal, "the worker for a container's files answers out of turn")
    }
    let actions = state.withLock { state in
      state.ready = .success(stat)
      defer { state.onReady = [] }
      return state.onReady
    }
    for action in actions { action(.success(stat)) }
    if case .stat = order.work { return 0 }
    guard case .done(let bytes) = try lines.next() else {
      throw Fault(.internal, "the worker for a container's files answers out of turn")
    }
    return bytes
  }

  private static func kill(_ process: Int32) { _ = try? PidFD.signal(process, SIGKILL) }
}

/// The worker's answers.
private struct ControlLines {
  private let control: Int32
  private var bytes: [UInt8] = []

  init(_ control: Int32) { self.control = control }

  /// The next answer; a fault that the worker tells is thrown.
  mutating func next() throws(Fault) -> TreeReply {
    let reply: TreeReply
    do {
      while true {
        if let end = bytes.firstIndex(of: 10) {
          reply = try JSONDecoder().decode(TreeReply.self, from: Data(bytes[..<end]))
          bytes.removeSubrange(...end)
          break
        }
        let part = try [UInt8](unsafeUninitializedCapacity: 16 << 10) { buffer, count in
          count = try Descriptors.read(control, into: UnsafeMutableRawBufferPointer(buffer))
        }
        guard !part.isEmpty, bytes.count < 1 << 20 else {
          throw Fault(.internal, "the worker for a container's files ended before its work was done")
        }
        bytes += part
      }
    } catch {
      throw Fault(describing: error)
    }
    if case .fault(let code, let message, let cause) = reply {
      throw Fault(FaultCode(rawValue: code), message, cause: cause)
    }
    return reply
  }
}
