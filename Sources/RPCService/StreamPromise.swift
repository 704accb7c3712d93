public import Faults
internal import JSONRPC
public import Linux
internal import NIOCore
public import Protocol
internal import Synchronization

/// A stream that a caller was promised: its address, and later its connected socket.
public final class StreamPromise: Sendable {
  private enum State {
    case waiting
    /// Connected before anybody asked; the descriptor is owned.
    case connected(Int32)
    case failed(Fault)
    case wanted(@Sendable (Result<Int32, Fault>) -> Void)
    case taken
  }

  /// What the caller gets.
  public let address: StreamAddress
  private let deadline: Deadline
  private let forget: @Sendable () -> Void
  private let state = Mutex(State.waiting)
  private let timer = Mutex<Scheduled<Void>?>(nil)

  init(address: StreamAddress, deadline: Deadline, forget: @escaping @Sendable () -> Void) {
    self.address = address
    self.deadline = deadline
    self.forget = forget
  }

  deinit {
    if case .connected(let descriptor) = state.withLock({ $0 }) { Descriptors.close(descriptor) }
  }

  func startTimer() {
    let scheduled = RPCLoop.shared.next().scheduleTask(deadline: .uptimeNanoseconds(deadline.nanoseconds)) {
      [weak self] in
      self?.forget()
      self?.fail(Fault(.deadlineExceeded, "nobody connected to the stream in time"))
    }
    timer.withLock { $0 = scheduled }
  }

  /// Waits for the connection.
  ///
  /// - Returns: a blocking socket: read until 0 for the caller's input, write for its output.
  /// - Throws: `.deadlineExceeded` when nobody connected within 30 s, `.cancelled` after `cancel`.
  public func accept() async throws(Fault) -> OwnedDescriptor {
    let outcome: Result<Int32, Fault> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in take { continuation.resume(returning: $0) } }
    } onCancel: {
      cancel()
    }
    return OwnedDescriptor(try outcome.get())
  }

  /// Runs `action` with the connected socket, or with nil when nobody connects, on whatever thread learns of it.
  ///
  /// - Parameter action: owns the descriptor; it may block, the thread is its own when a socket came.
  public func onConnect(_ action: @escaping @Sendable (consuming OwnedDescriptor?) -> Void) {
    take { outcome in
      switch outcome {
      case .success(let descriptor): action(OwnedDescriptor(descriptor))
      case .failure: action(nil)
      }
    }
  }

  /// Takes the promise back; a later connection is refused.
  public func cancel() {
    forget()
    fail(Fault(.cancelled, "the stream is not wanted any more"))
  }

  private func take(_ action: @escaping @Sendable (Result<Int32, Fault>) -> Void) {
    let known = state.withLock { state -> Result<Int32, Fault>? in
      switch state {
      case .waiting:
        state = .wanted(action)
        return nil
      case .connected(let descriptor):
        state = .taken
        return .success(descriptor)
      case .failed(let fault): return .failure(fault)
      case .wanted, .taken: return .failure(Fault(.internal, "a stream can be taken once"))
      }
    }
    if let known { action(known) }
  }

  /// Gives the descriptor away.
  func fulfil(_ descriptor: Int32) {
    timer.withLock { $0 }?.cancel()
    let action = state.withLock { state -> (@Sendable (Result<Int32, Fault>) -> Void)? in
      switch state {
      case .waiting:
        state = .connected(descriptor)
        return nil
      case .wanted(let action):
        state = .taken
        return action
      default: return { _ in Descriptors.close(descriptor) }
      }
    }
    action?(.success(descriptor))
  }

  func fail(_ fault: Fault) {
    timer.withLock { $0 }?.cancel()
    let action = state.withLock { state -> (@Sendable (Result<Int32, Fault>) -> Void)? in
      switch state {
      case .waiting:
        state = .failed(fault)
        return nil
      case .wanted(let action):
        state = .failed(fault)
        return action
      default: return nil
      }
    }
    action?(.failure(fault))
  }
}
