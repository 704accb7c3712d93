internal import Faults
internal import JSONRPC
internal import Linux
internal import Protocol
internal import SystemPackage

/// What a command works with: the options before it, and the engine, which is connected to when it is first needed.
final class Session {
  /// The options before the command.
  let options: GlobalOptions
  private var connected: BlockingConnection?

  /// A session for `options`; nothing is connected yet.
  init(_ options: GlobalOptions) { self.options = options }

  /// The connection to the gateway.
  func gateway() throws -> BlockingConnection {
    if let connected { return connected }
    let connection = try newConnection()
    connected = connection
    return connection
  }

  /// One more connection, for what must not wait behind a call that takes long.
  func newConnection() throws -> BlockingConnection {
    let path = try options.gatewaySocket()
    do throws(Fault) {
      return try BlockingConnection(path: FilePath(path))
    } catch {
      if error.code == .unavailable {
        throw Fault(
          .unavailable, "cannot connect to the engine at \(path): is it running? `sudo gantry system start` starts it")
      }
      throw error
    }
  }

  /// Calls a method of the gateway and waits for its answer.
  func call<Params, Result>(_ method: RPCMethod<Params, Result>, _ params: Params) throws -> Result {
    try gateway().call(method, params)
  }

  /// Connects to a stream that a call returned, and presents its token.
  func open(_ address: StreamAddress) throws -> OwnedDescriptor {
    do {
      let socket = try UnixSocket.connect(path: FilePath(address.socket))
      let token = Array((address.token + "\n").utf8)
      _ = try token.withUnsafeBytes { try UnixSocket.send(socket.rawValue, $0) }
      return socket
    } catch {
      throw Fault(.unavailable, "cannot connect to the stream \(address.socket)", cause: ["\(error)"])
    }
  }

  /// Runs `body` for each name and prints the name once it is so. That it was so before counts, as with Docker: stopping a
  /// stopped container is no failure.
  func each(settled names: [String], _ body: (String) throws -> Void) -> Int32 {
    each(names) { name in
      do {
        try body(name)
      } catch let fault as Fault where fault.code == .notModified {}
      Output.write(name + "\n")
    }
  }

  /// Runs `work` for each of `names`; every failure is told, and the exit code is 1 when there was one.
  func each(_ names: [String], _ work: (String) throws -> Void) -> Int32 {
    var code: Int32 = 0
    for name in names {
      do {
        try work(name)
      } catch let failure as CommandFailure {
        Output.fail(failure.message + "\n")
        code = 1
      } catch {
        Output.fail(Output.words(of: Fault(describing: error), debug: options.debug) + "\n")
        code = 1
      }
    }
    return code
  }
}
