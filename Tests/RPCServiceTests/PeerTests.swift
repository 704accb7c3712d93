import Faults
import FoundationEssentials
import Glibc
import JSONRPC
import Linux
import RPCService
import SystemPackage
import Testing

/// Who may talk to a service.
@Suite struct PeerTests {
  /// Calls t.echo as that user and prints the answer; what Python prints tells how it went.
  private static func call(_ path: FilePath, as user: [String]) async throws -> String {
    let script = """
      import socket, sys
      s = socket.socket(socket.AF_UNIX)
      try:
          s.connect(sys.argv[1])
          s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"t.echo","params":{"text":"hello"}}\\n')
          print('hello' if b'hello' in s.recv(4096) else 'closed')
      except PermissionError: print('no permission')
      except OSError: print('closed')
      """
    let text = try await PythonProcess.output(script, [path.string], prefix: ["setpriv"] + user)
    return text.split(separator: "\n").first.map(String.init) ?? ""
  }

  @Test(.enabled(if: geteuid() == 0, "needs root: it becomes other users"))
  func onlyRootAndTheGroupMayCall() async throws {
    try await Fixture.with(options: RPCServerOptions(peers: PeerRule(gid: 4242), gid: 4242)) { fixture in
      chmod(fixture.folder.string, 0o755)
      let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"]
      let member = ["--reuid", "65534", "--regid", "65534", "--groups", "7,4242"]
      let primary = ["--reuid", "65534", "--regid", "4242", "--clear-groups"]
      let root = try await Self.call(fixture.path, as: ["--clear-groups"])
      let inGroup = [try await Self.call(fixture.path, as: member), try await Self.call(fixture.path, as: primary)]
      let stranger = try await Self.call(fixture.path, as: nobody)
      #expect(root == "hello")
      #expect(inGroup == ["hello", "hello"])
      #expect(stranger == "no permission")
      // Even when somebody has opened the socket file to all.
      chmod(fixture.path.string, 0o666)
      let strangerAgain = try await Self.call(fixture.path, as: nobody)
      #expect(strangerAgain == "closed")
    }
  }
}
