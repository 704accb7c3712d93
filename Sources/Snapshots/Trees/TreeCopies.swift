public import Faults
internal import Glibc
internal import JSONRPC
public import Linux
internal import Protocol
public import RPCService
internal import Synchronization
public import SystemPackage

/// The transfers of container files under way: a worker process for each, which gets the client's socket and moves the bytes
/// itself, and a thread that waits for it.
///
///     begin ──▶ looking ──ready──▶ waiting ──stream──▶ moving ──▶ done ──finish──▶ gone
///                  │                  │ 30 s, cancel     │            │ 10 min
///                  └──▶ fault         └────────▶ done ◀──┘            └──▶ gone
///
/// A worker ends with this process, and with it everything that it has mounted.
public final class TreeCopies: Sendable {
  /// Workers at one time.
  static let limit = 32
  /// How long a result waits to be fetched, in seconds.
  static let resultSeconds = 600

  private struct State {
    var copies: [String: TreeCopy] = [:]
    var workers = 0
  }

  private let streams: StreamServer
  private let executable: OwnedDescriptor
  private let state = Mutex(State())

  /// Takes the server that clients connect to; `executable` becomes a worker when it is started with
  /// `TreeWorker.argument`: the service's own file, when nil.
  public init(streams: StreamServer, executable: FilePath? = nil) throws(Fault) {
    self.streams = streams
    do throws(Errno) {
      self.executable = try openat2(nil, executable?.string ?? "/proc/self/exe", [.readOnly])
    } catch {
      throw Fault(.internal, "the executable of tree workers cannot be opened", cause: ["\(error)"])
    }
  }

  /// Tells of a file.
  func stat(_ order: TreeOrder) async throws(Fault) -> PathStat {
    let copy = try start(order)
    guard let stat = try await copy.ready() else { throw Fault(.internal, "the worker told nothing of the file") }
    return stat
  }

  /// Starts a transfer and promises its stream. `after` runs when it is over, however it ended, and may find that it failed
  /// after all.
  func begin(
    _ order: TreeOrder, after: @escaping @Sendable () throws(Fault) -> Void = {}
  ) async throws(Fault) -> (name: String, stat: PathStat?, stream: StreamAddress) {
    let name = String(UInt64.random(in: 0 ... .max), radix: 16)
    let copy: TreeCopy
    do throws(Fault) { copy = try start(order, after: after) } catch {
      try? after()
      throw error
    }
    let stat = try await copy.ready()
    let promise: StreamPromise
    do throws(Fault) { promise = try streams.promise() } catch {
      copy.cancel(error)
      throw error
    }
    state.withLock { $0.copies[name] = copy }
    copy.connect(promise)
    copy.whenDone { [weak self] in self?.expire(name) }
    return (name, stat, promise.address)
  }

  /// Waits for the end of a transfer.
  func finish(_ name: String) async throws(Fault) -> Int64 {
    guard let copy = state.withLock({ $0.copies[name] }) else { throw Self.unknown(name) }
    let result = await copy.result()
    _ = state.withLock { $0.copies.removeValue(forKey: name) }
    return try result.get()
  }

  /// Ends a transfer.
  func cancel(_ name: String) throws(Fault) {
    guard let copy = state.withLock({ $0.copies[name] }) else { throw Self.unknown(name) }
    copy.cancel(Fault(.cancelled, "the transfer was cancelled"))
  }

  private func start(
    _ order: TreeOrder, after: @escaping @Sendable () throws(Fault) -> Void = {}
  ) throws(Fault) -> TreeCopy {
    let isFull = state.withLock { state in
      if state.workers >= Self.limit { return true }
      state.workers += 1
      return false
    }
    guard !isFull else {
      throw Fault(.unavailable, "\(Self.limit) transfers are under way already: wait for one of them to end")
    }
    let copy = TreeCopy(order)
    let executable = executable.rawValue
    let thread = WorkThread { [self] in
      var outcome = copy.run(executable)
      do throws(Fault) { try after() } catch { if case .success = outcome { outcome = .failure(error) } }
      state.withLock { $0.workers -= 1 }
      copy.settle(outcome)
    }
    guard let thread else {
      state.withLock { $0.workers -= 1 }
      throw Fault(.unavailable, "this machine has no thread left for a transfer")
    }
    thread.detach()
    return copy
  }

  private func expire(_ name: String) {
    Task { [weak self] in
      try? await Task.sleep(for: .seconds(Self.resultSeconds))
      _ = self?.state.withLock { $0.copies.removeValue(forKey: name) }
    }
  }

  private static func unknown(_ name: String) -> Fault {
    Fault(.notFound, "there is no transfer \"\(name.prefix(40))\": it ended, or was never begun")
  }
}
