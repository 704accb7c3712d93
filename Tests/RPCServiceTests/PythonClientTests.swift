import FoundationEssentials
import Glibc
import JSONRPC
import Linux
import RPCService
import SystemPackage
import Testing

/// The client for other platforms: Protocols/python/gantry_rpc.py.
@Suite struct PythonClientTests {
  private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Protocols/python").path

  private static func run(_ script: String, _ arguments: [String]) async throws -> String {
    try await PythonProcess.output(script, arguments, environment: ["PYTHONPATH=\(folder)"])
  }

  @Test func callsFailuresAndNotificationsWork() async throws {
    try await Fixture.with { fixture in
      let watcher = Task {
        _ = await eventually { !fixture.service.subscribers.withLock { $0.isEmpty } }
        fixture.service.subscribers.withLock { $0.first }?.notify(TestService.event, Text(text: "news"))
      }
      let output = try await Self.run(
        """
        import sys
        from gantry_rpc import Fault, Service
        news = []
        service = Service(sys.argv[1], lambda method, params: news.append((method, params["text"])))
        print(service.call("t.echo", text="h\u{fc}"))
        try: service.call("t.echo", text="fail")
        except Fault as fault: print(fault.code, fault)
        service.call("t.subscribe")
        while not news: service.receive()
        print(news)
        """, [fixture.path.string])
      await watcher.value
      #expect(output == "{'text': 'h\u{fc}'}\nconflict as told\n[('t.event', 'news')]\n")
    }
  }

  @Test func streamsAndFramesWork() async throws {
    let folder = try Fixture.makeFolder()
    let server = try StreamServer(path: folder.appending("s.sock"))
    let promise = try server.promise()
    promise.onConnect { socket in
      guard let socket else { return }
      var bytes = [UInt8](repeating: 0, count: 16)
      let count = read(socket.rawValue, &bytes, bytes.count)
      let answer = [1, 0, 0, 0, 0, 0, 0, UInt8(count)] + bytes[..<count] + [2, 0, 0, 0, 0, 0, 0, 1, 33]
      _ = answer.withUnsafeBytes { write(socket.rawValue, $0.baseAddress, $0.count) }
    }
    let output = try await Self.run(
      """
      import socket, sys
      from gantry_rpc import frames, stream
      connection = stream({"socket": sys.argv[1], "token": sys.argv[2]})
      connection.sendall(b"question")
      print(list(frames(connection)))
      """, [promise.address.socket, promise.address.token])
    server.close()
    try? FileManager.default.removeItem(atPath: folder.string)
    #expect(output == "[(1, b'question'), (2, b'!')]\n")
  }
}
