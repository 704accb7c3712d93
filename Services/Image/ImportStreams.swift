import Dispatch
import Faults
import Glibc
import Images
import JSONRPC
import Linux
import Protocol
import RPCService
import Synchronization

/// Imports whose bytes come through a stream socket: `open` gives an address, the sender connects and writes, `finish`
/// waits for the images.
///
///     open ──► waiting ──token──► reading ──► done(images | fault) ──finish──► gone
///                 │ 30 s              │ cancel
///                 └──► done(fault) ◄──┘
final class ImportStreams: Sendable {
  /// How long a result waits to be fetched.
  static let resultSeconds = 600
  /// Imports at one time: each has a thread and some megabytes of buffers.
  static let limit = 16
  /// How long a sender may pause.
  static let idleSeconds = 600

  private enum Phase {
    case waiting
    case reading
    case done(Result<[Images.ImageSummary], Fault>)
  }

  private struct Import {
    var phase = Phase.waiting
    var promise: StreamPromise?
    var cancellation = Cancellation()
    /// The socket while it is read.
    var socket: Int32?
    /// The call of `finish`: gets progress, and its end cancels the import.
    var context: CallContext?
    var waiter: CheckedContinuation<Result<[Images.ImageSummary], Fault>, Never>?

    var isDone: Bool { if case .done = phase { true } else { false } }
  }

  private let store: ImageStore
  private let streams: StreamServer
  private let imports = Mutex<[String: Import]>([:])

  /// Imports into `store` what comes through `streams`.
  init(store: ImageStore, streams: StreamServer) {
    self.store = store
    self.streams = streams
  }

  // MARK: Calls

  /// Makes an import and says where its bytes go.
  func open(_ request: ImportRequest) throws(Fault) -> (name: String, address: StreamAddress) {
    let name = Self.randomName()
    let isFull = imports.withLock { imports in
      guard imports.values.count(where: { !$0.isDone }) < Self.limit else { return true }
      imports[name] = Import()
      return false
    }
    guard !isFull else {
      throw Fault(.unavailable, "\(Self.limit) imports are in progress already; wait for one of them to end")
    }
    let promise: StreamPromise
    do throws(Fault) {
      promise = try streams.promise()
    } catch {
      imports.withLock { $0[name] = nil }
      throw error
    }
    imports.withLock { $0[name]?.promise = promise }
    promise.onConnect { [self] connection in
      if let connection {
        serve(name, request, connection)
      } else {
        settle(
          name, from: .waiting,
          .failure(
            Fault(.deadlineExceeded, "nobody sent the archive in time, or the service stops; start the import again")))
      }
    }
    return (name, promise.address)
  }

  /// Waits for the end of the import `name` and takes its result.
  func finish(_ name: String, _ context: CallContext) async throws(Fault) -> [Images.ImageSummary] {
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        if let known = wait(name, context, continuation) { continuation.resume(returning: known) }
      }
    } onCancel: {
      try? cancel(name)
    }
    return try result.get()
  }

  /// Lets `waiter` wait for the import, unless what to tell it is known already.
  private func wait(
    _ name: String, _ context: CallContext,
    _ waiter: CheckedContinuation<Result<[Images.ImageSummary], Fault>, Never>
  ) -> Result<[Images.ImageSummary], Fault>? {
    imports.withLock { imports in
      guard var entry = imports[name] else { return .failure(Self.unknown(name)) }
      if case .done(let result) = entry.phase {
        imports[name] = nil
        return result
      }
      guard entry.waiter == nil else {
        return .failure(Fault(.conflict, "another call waits for the import \(name) already"))
      }
      entry.context = context
      entry.waiter = waiter
      imports[name] = entry
      return nil
    }
  }

  /// Drops the import `name` and what it has written.
  func cancel(_ name: String) throws(Fault) {
    let entry = imports.withLock { imports -> Import? in
      guard let entry = imports[name] else { return nil }
      entry.cancellation.cancel()
      // A read that waits for the sender returns.
      if let socket = entry.socket { shutdown(socket, Int32(SHUT_RDWR)) }
      return entry
    }
    guard let entry else { throw Self.unknown(name) }
    settle(name, from: .waiting, .failure(Fault(.cancelled, "the import was cancelled; nothing was kept")))
    entry.promise?.cancel()
  }

  private static func unknown(_ name: String) -> Fault {
    Fault(.notFound, "there is no import \"\(name.prefix(40))\"; it ended, or was never opened")
  }

  // MARK: Streams

  /// One connection, whose bytes are the archive.
  private func serve(_ name: String, _ request: ImportRequest, _ connection: consuming OwnedDescriptor) {
    let cancellation = imports.withLock { imports -> Cancellation? in
      guard let entry = imports[name], case .waiting = entry.phase else { return nil }
      imports[name]?.phase = .reading
      imports[name]?.socket = connection.rawValue
      return entry.cancellation
    }
    guard let cancellation else { return }
    var pause = timeval(tv_sec: Self.idleSeconds, tv_usec: 0)
    setsockopt(connection.rawValue, SOL_SOCKET, SO_RCVTIMEO, &pause, socklen_t(MemoryLayout<timeval>.size))
    let observer = ImportObserver(
      progress: { progress in self.context(name)?.progress(progress.message) },
      isCancelled: { cancellation.isCancelled || self.context(name)?.isCancelled == true })
    let result: Result<[Images.ImageSummary], Fault>
    do throws(Fault) {
      result = .success(try store.importArchive(descriptor: connection.rawValue, request, observer: observer))
    } catch {
      result = .failure(
        cancellation.isCancelled ? Fault(.cancelled, "the import was cancelled; nothing was kept") : error)
    }
    HeapMemory.giveBack()
    settle(name, from: .reading, result)
  }

  private func context(_ name: String) -> CallContext? { imports.withLock { $0[name]?.context } }

  private enum From { case waiting, reading }

  /// Ends an import that is in the given phase: the waiting call gets the result, or it is kept for a while.
  private func settle(_ name: String, from: From, _ result: Result<[Images.ImageSummary], Fault>) {
    let waiter = imports.withLock { imports -> CheckedContinuation<Result<[Images.ImageSummary], Fault>, Never>? in
      guard let entry = imports[name] else { return nil }
      switch (entry.phase, from) {
      case (.waiting, .waiting), (.reading, .reading): break
      default: return nil
      }
      imports[name]?.socket = nil
      if let waiter = entry.waiter {
        imports[name] = nil
        return waiter
      }
      imports[name]?.phase = .done(result)
      return nil
    }
    if let waiter {
      waiter.resume(returning: result)
    } else {
      after(Self.resultSeconds) { streams in streams.imports.withLock { $0[name] = nil } }
    }
  }

  private func after(_ seconds: Int, _ action: @escaping @Sendable (ImportStreams) -> Void) {
    DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(seconds)) { [weak self] in
      if let self { action(self) }
    }
  }

  private static func randomName() -> String { String(UInt64.random(in: 0...UInt64.max), radix: 16) }
}
