internal import CCurl
public import Faults
internal import FoundationEssentials
internal import Glibc
internal import Linux
internal import Synchronization

/// Exchanges HTTP messages, many at once on one thread, which is there only while there is work and shortly after.
///
/// It follows no redirect, keeps no cookie and knows no credentials: `RegistryClient` decides about all of them. libcurl is
/// loaded with the first exchange.
public final class HTTPTransport: Sendable {
  /// Why an exchange brought no answer.
  public struct Failure: Error, Sendable {
    public enum Kind: Sendable {
      /// No connection, or it ended: the same may succeed later.
      case unreachable
      /// The other side does not speak TLS.
      case noTLS
      /// The other side's certificate is not trusted.
      case untrusted
      /// Too slow, or the time was over.
      case slow
      /// The connection ended in the middle of the answer.
      case cut
      /// What came breaks HTTP, or leads nowhere.
      case malformed
      /// What came goes beyond a bound.
      case tooLarge
      /// The caller, or its sink, wanted no more.
      case cancelled
    }
    public var kind: Kind
    /// In libcurl's words, or ours.
    public var words: String
  }

  private struct State {
    var added: [HTTPExchange] = []
    var resumed: Set<UInt64> = []
    var cancelled: Set<UInt64> = []
    var next: UInt64 = 0
    /// The handle while the thread runs: to wake it.
    var multi: Handle?
    var isRunning = false

    mutating func takeAdded() -> [HTTPExchange] {
      defer { added = [] }
      return added
    }
  }

  /// Unchecked: only `cc_multi_wake` is called on it from other threads, while `state` is locked.
  struct Handle: @unchecked Sendable {
    let pointer: OpaquePointer
  }

  let settings: RegistrySettings
  let proxies: ProxyRules
  private let state = Mutex(State())

  /// - Parameter proxies: which proxy is asked for which host.
  public init(settings: RegistrySettings = RegistrySettings(), proxies: ProxyRules = .environment) {
    self.settings = settings
    self.proxies = proxies
  }

  /// Sends `request` and waits for its answer. A task that is cancelled ends the exchange at once.
  ///
  /// - Parameters:
  ///   - refusesLinkLocal: connect to no link-local address and to no metadata service.
  ///   - sink: takes the body, if it wants to.
  public func exchange(
    _ request: HTTPRequest, tls: RegistryEndpoint.TLS = .init(), refusesLinkLocal: Bool = false,
    sink: (any BodySink)? = nil
  ) async throws(Failure) -> HTTPAnswer {
    let number = state.withLock { state in
      state.next += 1
      return state.next
    }
    let result: Result<HTTPAnswer, Failure> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        start(
          HTTPExchange(
            number: number, request: request, tls: tls, refusesLinkLocal: refusesLinkLocal, sink: sink,
            settings: settings, resume: { [weak self] in self?.change { $0.resumed.insert(number) } },
            continuation: continuation))
      }
    } onCancel: {
      change { $0.cancelled.insert(number) }
    }
    return try result.get()
  }

  private func start(_ exchange: HTTPExchange) {
    let needsThread = state.withLock { state in
      state.added.append(exchange)
      if state.isRunning {
        if let multi = state.multi { cc_multi_wake(multi.pointer) }
        return false
      }
      state.isRunning = true
      return true
    }
    guard needsThread else { return }
    guard let thread = WorkThread({ [self] in run() }) else {
      let waiting = state.withLock { state in
        state.isRunning = false
        return state.takeAdded()
      }
      for exchange in waiting { exchange.end(.init(kind: .unreachable, words: "this machine has no thread left")) }
      return
    }
    thread.detach()
  }

  private func change(_ body: (inout State) -> Void) {
    state.withLock { state in
      body(&state)
      if let multi = state.multi { cc_multi_wake(multi.pointer) }
    }
  }

  // MARK: The thread

  private func run() {
    guard let multi = cc_multi_open(settings.idleConnections) else {
      let waiting = state.withLock { state in
        state.isRunning = false
        return state.takeAdded()
      }
      for exchange in waiting {
        exchange.end(.init(kind: .malformed, words: "libcurl.so.4 cannot be loaded: install libcurl4"))
      }
      return
    }
    state.withLock { $0.multi = Handle(pointer: multi) }
    var running: [UInt64: HTTPExchange] = [:]
    var idleSince = Self.seconds
    while true {
      let (added, resumed, cancelled) = state.withLock { state in
        defer { state.resumed = [] }
        // A cancellation can come before its exchange.
        let known = state.cancelled.filter { number in
          running[number] != nil || state.added.contains { $0.number == number }
        }
        state.cancelled.subtract(known)
        return (state.takeAdded(), state.resumed, known)
      }
      for exchange in added {
        if exchange.begin(multi, proxies) { running[exchange.number] = exchange }
      }
      for number in resumed {
        if let transfer = running[number]?.transfer { cc_transfer_resume(transfer) }
      }
      for number in cancelled {
        if let exchange = running.removeValue(forKey: number) {
          exchange.finish(multi, .init(kind: .cancelled, words: "taken back"))
        }
      }
      cc_multi_run(multi)
      finishEnded(multi, &running)
      if running.isEmpty {
        if Self.seconds - idleSince >= settings.idleSeconds, end(multi) { return }
        cc_multi_wait(multi, Int32(settings.idleSeconds * 1000))
      } else {
        idleSince = Self.seconds
        cc_multi_wait(multi, 1000)
      }
    }
  }

  private func finishEnded(_ multi: OpaquePointer, _ running: inout [UInt64: HTTPExchange]) {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { words in
      guard let base = words.baseAddress else { return }
      var end = CC_DONE
      while let context = cc_multi_ended(multi, &end, base) {
        let exchange = Unmanaged<HTTPExchange>.fromOpaque(context).takeUnretainedValue()
        running[exchange.number] = nil
        exchange.finish(multi, exchange.failure(end, String(cString: base)))
      }
    }
  }

  /// Ends the thread's work unless something came meanwhile.
  private func end(_ multi: OpaquePointer) -> Bool {
    let ends = state.withLock { state in
      guard state.added.isEmpty else { return false }
      state.multi = nil
      state.isRunning = false
      state.cancelled = []
      return true
    }
    if ends { cc_multi_close(multi) }
    return ends
  }

  private static var seconds: Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec
  }
}
