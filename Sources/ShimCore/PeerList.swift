internal import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol
internal import SystemPackage

/// The JSON-RPC peers of the shim: taskd over the socket pair that it left us, and whoever connects to `shim.sock`
/// (root only). Every peer is told every event.
final class PeerList {
  private let path: FilePath
  private var listener: Int32 = -1
  private unowned let loop: EventLoop
  private var connections: [ControlConnection] = []
  /// Answers one line; nil when it wants no answer.
  var answer: (ArraySlice<UInt8>) -> [UInt8]? = { _ in nil }

  /// Takes over `inherited`; nothing is at `path` before `listen`.
  init(path: FilePath, inherited: Int32?, loop: EventLoop) {
    self.path = path
    self.loop = loop
    if let inherited { add(inherited) }
  }

  /// Listens.
  func listen() throws(Fault) {
    do {
      listener = try UnixSocket.listen(path: path, mode: 0o600).take()
    } catch {
      throw Fault(.internal, "the shim cannot listen at \(path)", cause: ["\(error)"])
    }
    loop.watch(listener, .read) { [unowned self] _ in
      while let connection = try? UnixSocket.accept(listener) { add(connection.take()) }
    }
  }

  /// Whether every answer and event has left.
  var areDrained: Bool { connections.allSatisfy(\.isDrained) }

  /// Sends one line to every peer.
  func broadcast(_ line: [UInt8]) { for connection in connections { connection.send(line) } }

  func close() {
    loop.forget(listener)
    Glibc.close(listener)
    for connection in connections { connection.close() }
  }

  private func add(_ fd: Int32) {
    let connection = ControlConnection(fd: fd, loop: loop)
    connection.onLine = { [unowned self] connection, line in
      if let reply = answer(line) { connection.send(reply) }
    }
    connection.onClosed = { [unowned self] connection in connections.removeAll { $0 === connection } }
    connections.append(connection)
    connection.begin()
  }
}
