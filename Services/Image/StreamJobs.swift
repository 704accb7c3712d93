import Dispatch
import Faults
import Glibc
import JSONRPC
import Linux
import Protocol
import RPCService
import Synchronization

/// Work on streams: `open` gives an address, somebody connects, the work runs on the connection's own thread, `finish` waits
/// for its result.
///
///     open ──► waiting ──token──► working ──► done(value | fault) ──finish──► gone
///                 │ 30 s              │ cancel
///                 └──► done(fault) ◄──┘
final class StreamJobs<Value: Sendable>: Sendable {
  /// How far the work is, and whether it is still wanted.
  struct Observer: Sendable {
    /// Tells the caller of `finish` how far the work is.
    let progress: @Sendable (any Encodable & Sendable) -> Void
    /// Whether nobody waits for it any more.
    let isCancelled: @Sendable () -> Bool
  }

  /// The work on one connected socket, which blocks.
  typealias Work = @Sendable (Int32, Observer) throws(Fault) -> Value

  /// How long a result waits to be fetched, in seconds.
  private static var resultSeconds: Int { 600 }
  /// Pieces of work at one time: each has a thread and some megabytes of buffers.
  private static var limit: Int { 16 }
  /// How long the other end may pause, in seconds.
  private static var idleSeconds: Int { 600 }

  private enum Phase {
    case waiting
    case working
    case done(Result<Value, Fault>)
  }

  private struct Job {
    var phase = Phase.waiting
    var promise: StreamPromise?
    var cancellation = Cancellation()
    /// The socket while it is worked on.
    var socket: Int32?
    /// The call of `finish`: gets progress, and its end cancels the work.
    var context: CallContext?
    var waiter: CheckedContinuation<Result<Value, Fault>, Never>?

    var isDone: Bool { if case .done = phase { true } else { false } }
  }

  /// What messages call a piece of work: `import`.
  private let noun: String
  private let streams: StreamServer
  private let jobs = Mutex<[String: Job]>([:])

  /// Works on what comes through `streams`.
  init(_ noun: String, _ streams: StreamServer) {
    self.noun = noun
    self.streams = streams
  }

  /// Promises a stream to `work` on.
  func open(_ work: @escaping Work) throws(Fault) -> (name: String, address: StreamAddress) {
    let name = String(UInt64.random(in: 0...UInt64.max), radix: 16)
    let isFull = jobs.withLock { jobs in
      guard jobs.values.count(where: { !$0.isDone }) < Self.limit else { return true }
      jobs[name] = Job()
      return false
    }
    guard !isFull else {
      throw Fault(.unavailable, "\(Self.limit) \(noun)s are in progress already; wait for one of them to end")
    }
    let promise: StreamPromise
    do throws(Fault) {
      promise = try streams.promise()
    } catch {
      jobs.withLock { $0[name] = nil }
      throw error
    }
    jobs.withLock { $0[name]?.promise = promise }
    promise.onConnect { [self] connection in
      if let connection, let cancellation = begin(name, connection.rawValue) {
        run(name, work, connection, cancellation)
      } else {
        settle(
          name, whileWaiting: true,
          .failure(Fault(.deadlineExceeded, "nobody connected in time, or the service stops; start the \(noun) again")))
      }
    }
    return (name, promise.address)
  }

  /// Waits for the end of the work `name` and takes its result.
  func finish(_ name: String, _ context: CallContext) async throws(Fault) -> Value {
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if let known = wait(name, context, continuation) { continuation.resume(returning: known) }
      }
    } onCancel: {
      try? cancel(name)
    }
    return try result.get()
  }

  /// Lets `waiter` wait for the work, unless what to tell it is known already.
  private func wait(
    _ name: String, _ context: CallContext, _ waiter: CheckedContinuation<Result<Value, Fault>, Never>
  ) -> Result<Value, Fault>? {
    jobs.withLock { jobs in
      guard var job = jobs[name] else { return .failure(unknown(name)) }
      if case .done(let result) = job.phase {
        jobs[name] = nil
        return result
      }
      guard job.waiter == nil else {
        return .failure(Fault(.conflict, "another call waits for the \(noun) \(name) already"))
      }
      job.context = context
      job.waiter = waiter
      jobs[name] = job
      return nil
    }
  }

  /// Ends the work `name`; what it has written is dropped.
  func cancel(_ name: String) throws(Fault) {
    let job = jobs.withLock { jobs -> Job? in
      guard let job = jobs[name] else { return nil }
      job.cancellation.cancel()
      // A read or write that waits for the other end returns.
      if let socket = job.socket { shutdown(socket, Int32(SHUT_RDWR)) }
      return job
    }
    guard let job else { throw unknown(name) }
    settle(name, whileWaiting: true, .failure(cancelled))
    job.promise?.cancel()
  }

  private var cancelled: Fault { Fault(.cancelled, "the \(noun) was cancelled; nothing was kept") }

  private func unknown(_ name: String) -> Fault {
    Fault(.notFound, "there is no \(noun) \"\(name.prefix(40))\"; it ended, or was never opened")
  }

  // MARK: Connections

  private func begin(_ name: String, _ socket: Int32) -> Cancellation? {
    jobs.withLock { jobs in
      guard let job = jobs[name], case .waiting = job.phase else { return nil }
      jobs[name]?.phase = .working
      jobs[name]?.socket = socket
      return job.cancellation
    }
  }

  private func run(
    _ name: String, _ work: Work, _ connection: consuming OwnedDescriptor, _ cancellation: Cancellation
  ) {
    var pause = timeval(tv_sec: Self.idleSeconds, tv_usec: 0)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      setsockopt(connection.rawValue, SOL_SOCKET, option, &pause, socklen_t(MemoryLayout<timeval>.size))
    }
    let observer = Observer(
      progress: { self.context(name)?.progress($0) },
      isCancelled: { cancellation.isCancelled || self.context(name)?.isCancelled == true })
    let result: Result<Value, Fault>
    do throws(Fault) {
      result = .success(try work(connection.rawValue, observer))
    } catch {
      result = .failure(cancellation.isCancelled ? cancelled : error)
    }
    jobs.withLock { $0[name]?.socket = nil }
    _ = consume connection
    HeapMemory.giveBack()
    settle(name, whileWaiting: false, result)
  }

  private func context(_ name: String) -> CallContext? { jobs.withLock { $0[name]?.context } }

  /// Ends work that waits for its stream, or is done with it: the waiting call gets the result, or it is kept for a while.
  private func settle(_ name: String, whileWaiting: Bool, _ result: Result<Value, Fault>) {
    let waiter = jobs.withLock { jobs -> CheckedContinuation<Result<Value, Fault>, Never>? in
      guard let job = jobs[name] else { return nil }
      switch (job.phase, whileWaiting) {
      case (.waiting, true), (.working, false): break
      default: return nil
      }
      if let waiter = job.waiter {
        jobs[name] = nil
        return waiter
      }
      jobs[name]?.phase = .done(result)
      return nil
    }
    if let waiter { return waiter.resume(returning: result) }
    DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(Self.resultSeconds)) { [weak self] in
      _ = self?.jobs.withLock { $0.removeValue(forKey: name) }
    }
  }
}
