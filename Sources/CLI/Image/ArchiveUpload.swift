internal import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol

/// An archive on its way to the engine: its bytes are sent while the answer is awaited on the same thread.
struct ArchiveUpload {
  let session: Session
  /// The load's or import's name, to take it back.
  let name: String
  let stream: StreamAddress

  /// Sends the bytes of `descriptor` to their end, and gives the answer of `method`.
  func send<Params, Result>(
    _ descriptor: Int32, _ method: RPCMethod<Params, Result>, _ params: Params, _ progress: LoadProgress?
  ) throws -> Result {
    let gateway = try session.gateway()
    let stream = try session.open(self.stream)
    let pending = try gateway.send(method, params, progress: progress.map { shown in { shown.take($0) } })
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    while true {
      let count: Int
      do {
        count = try Descriptors.read(descriptor, into: buffer)
      } catch {
        _ = try? gateway.call(GatewayAPI.Method.imageCancelLoad, .init(load: name))
        throw CommandFailure("reading the archive failed: \(error)")
      }
      if count == 0 { break }
      var rest = UnsafeRawBufferPointer(rebasing: buffer[..<count])
      while !rest.isEmpty {
        var fds = [
          pollfd(fd: stream.rawValue, events: Int16(POLLOUT), revents: 0),
          pollfd(fd: gateway.descriptor, events: Int16(POLLIN), revents: 0),
        ]
        poll(&fds, 2, -1)
        if fds[1].revents != 0 {
          try gateway.receiveAvailable()
          // An answer before the end is a refusal, or an archive that says that it is complete.
          if let answer = try gateway.answer(pending) { return answer }
        }
        guard fds[0].revents != 0 else { continue }
        guard let sent = try? UnixSocket.send(stream.rawValue, rest, nonBlocking: true) else {
          // A service that stopped reading has an answer that says why.
          return try gateway.wait(pending)
        }
        rest = UnsafeRawBufferPointer(rebasing: rest[sent...])
      }
    }
    UnixSocket.shutdownWriting(stream.rawValue)
    return try gateway.wait(pending)
  }
}
