public import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Logging
internal import Protocol
internal import SystemPackage

/// The life of a service process, the same for all of them.
///
/// ```
/// folders, lock → start(context) → socket (0660) → READY=1 → … SIGTERM → no new calls, 10 s for running ones → onShutdown
///                                                           └ SIGHUP → onReload
/// ```
public enum ServiceMain {
  /// Runs the service until SIGTERM or SIGINT. What prevents its start is said in one sentence, with exit code 1.
  ///
  /// - Parameter start: makes the service from its folders; the socket appears after it.
  public static func run(
    _ options: ServiceOptions, start: (ServiceContext) async throws(Fault) -> ServiceParts
  ) async {
    do throws(Fault) {
      try await serve(options, start: start)
    } catch {
      let text = "\(options.name): \(error)\n"
      _ = text.withCString { write(STDERR_FILENO, $0, strlen($0)) }
      exit(1)
    }
  }

  private static func serve(
    _ options: ServiceOptions, start: (ServiceContext) async throws(Fault) -> ServiceParts
  ) async throws(Fault) {
    guard let level = Logger.Level(rawValue: options.logLevel) else {
      let known = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
      throw Fault(.invalidArgument, "--log-level \(options.logLevel) is not one of \(known)")
    }
    // An address of a Unix socket holds 107 bytes; `/snapshot.stream.sock` is our longest name but the tasks'.
    guard options.state.string.utf8.count <= 80 else {
      throw Fault(
        .invalidArgument, "--state \(options.state) is too long for socket addresses: give a path of at most 80 bytes")
    }
    umask(0o022)
    signal(SIGPIPE, SIG_IGN)
    let signals = try StopSignals.install()
    let gid: UInt32? = if let group = options.group { try ServiceFolders.group(group) } else { nil }
    let logger = Logger(label: options.name) { ServiceLog(label: $0, level: level) }

    try ServiceFolders.make(options.root, mode: 0o711, owner: options.name)
    try ServiceFolders.make(options.state, mode: 0o755, owner: options.name)
    let folder = options.root.appending(options.folder)
    try ServiceFolders.make(folder, mode: 0o700, owner: options.name)
    let lock = try FolderLock(folder, owner: options.name)

    let context = ServiceContext(options: options, folder: folder, gid: gid, logger: logger)
    let parts = try await start(context)
    let common = CommonHandlers(name: options.name)
    var serving = RPCServerOptions(
      peers: context.peers, deadlineMilliseconds: parts.deadlineMilliseconds, gid: gid)
    serving.trimsWhenIdle = true
    let server = try await RPCServer(
      parts.table.joined(with: CommonDispatch.table(common)), path: options.state.appending(options.socket),
      options: serving, logger: logger)
    logger.info("ready", metadata: ["version": "\(GantryVersion.current)", "socket": "\(options.socket)"])
    SystemdNotice.send("READY=1")

    await StopSignals.wait(signals, onReload: parts.onReload)
    SystemdNotice.send("STOPPING=1")
    logger.info("stopping")
    await server.shutDown()
    await parts.onShutdown()
    logger.info("stopped")
    _ = consume lock
  }
}

/// What every service answers.
struct CommonHandlers: CommonService {
  let name: String
  private let startedAt: String

  init(name: String) {
    self.name = name
    startedAt = Self.now()
  }

  func ping(_ params: CommonAPI.PingParams, _ context: CallContext) async throws(Fault) -> CommonAPI.PingResult {
    CommonAPI.PingResult()
  }

  func info(_ params: CommonAPI.InfoParams, _ context: CallContext) async throws(Fault) -> CommonAPI.InfoResult {
    CommonAPI.InfoResult(name: name, version: GantryVersion.current, pid: Int64(getpid()), startedAt: startedAt)
  }

  private static func now() -> String {
    var time = time(nil)
    var parts = tm()
    gmtime_r(&time, &parts)
    var text = [CChar](repeating: 0, count: 32)
    strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
