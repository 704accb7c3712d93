import Glibc
import Protocol
import Testing

@testable import ShimCore

/// A process's streams without a process: the test holds the other ends of the pipes and of the clients' sockets.
final class Rig {
  let loop = EventLoop()
  let io: ProcessStdio
  /// What the process would write to, and read from.
  let stdout: Int32
  let stderr: Int32
  let stdin: Int32

  init(terminal: Bool = false, held: Bool = false) {
    func pipe() -> (read: Int32, write: Int32) {
      var ends: [Int32] = [0, 0]
      Glibc.pipe(&ends)
      return (ends[0], ends[1])
    }
    signal(SIGPIPE, SIG_IGN)
    let (input, output, error) = (pipe(), pipe(), pipe())
    stdin = input.read
    stdout = output.write
    stderr = error.write
    io = ProcessStdio(
      stdin: input.write, stdout: output.read, stderr: error.read, terminal: terminal, log: nil, held: held,
      loop: loop, scratch: ScratchBuffer())
    io.begin()
  }

  deinit { for fd in [stdin, stdout, stderr] where fd >= 0 { close(fd) } }

  /// A connected client's end.
  func client(stdin: Bool = false, primary: Bool = false) -> Int32 {
    var ends: [Int32] = [0, 0]
    socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends)
    io.attach(fd: ends[0], selection: AttachStreams(stdin: stdin, stdout: true, stderr: true), primary: primary)
    return ends[1]
  }

  /// Runs the loop for a moment.
  func turn(milliseconds: Int = 20) {
    loop.after(milliseconds: milliseconds) { [loop] in loop.stop() }
    loop.run()
  }

  func say(_ text: String, on fd: Int32) { _ = text.withCString { write(fd, $0, text.utf8.count) } }
}

/// What has arrived at `fd`; nil at the end of the stream.
func received(_ fd: Int32) -> [UInt8]? {
  var all: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = recv(fd, &buffer, buffer.count, Int32(MSG_DONTWAIT))
    if count > 0 { all += buffer[..<count] } else { return count == 0 && all.isEmpty ? nil : all }
  }
}

@Suite(.serialized) struct StreamTests {
  @Test func framesWhatEachStreamSays() throws {
    let rig = Rig()
    let client = rig.client()
    defer { close(client) }
    rig.say("hello\n", on: rig.stdout)
    rig.turn()
    rig.say("oops", on: rig.stderr)
    rig.turn()
    #expect(
      received(client) == [1, 0, 0, 0, 0, 0, 0, 6] + Array("hello\n".utf8) + [2, 0, 0, 0, 0, 0, 0, 4]
        + Array("oops".utf8))
  }

  @Test func aTerminalIsRaw() throws {
    let rig = Rig(terminal: true)
    let client = rig.client()
    defer { close(client) }
    rig.say("hello\n", on: rig.stdout)
    rig.turn()
    #expect(received(client) == Array("hello\n".utf8))
  }

  @Test func aHeldProcessIsNotReadBeforeItsClientComes() throws {
    let rig = Rig(held: true)
    rig.say("first", on: rig.stdout)
    rig.turn()
    let client = rig.client(primary: true)
    defer { close(client) }
    rig.turn()
    #expect(received(client)?.suffix(5) == ArraySlice("first".utf8))
  }

  @Test func theEndOfAHalfClosedClientIsTheEndOfInput() throws {
    let rig = Rig()
    let client = rig.client(stdin: true)
    defer { close(client) }
    rig.say("data", on: client)
    shutdown(client, Int32(SHUT_WR))
    rig.turn()
    var buffer = [UInt8](repeating: 0, count: 10)
    #expect(read(rig.stdin, &buffer, 10) == 4)
    #expect(read(rig.stdin, &buffer, 10) == 0)
  }

  @Test func aClientThatDetachesLeavesTheInputOpen() throws {
    let rig = Rig()
    close(rig.client(stdin: true))
    rig.turn()
    let again = rig.client(stdin: true)
    defer { close(again) }
    rig.say("still", on: again)
    rig.turn()
    var buffer = [UInt8](repeating: 0, count: 10)
    #expect(read(rig.stdin, &buffer, 10) == 5)
  }

  @Test func inputWaitsForAProcessThatDoesNotRead() throws {
    let rig = Rig()
    let client = rig.client(stdin: true)
    defer { close(client) }
    _ = fcntl(client, F_SETFL, O_NONBLOCK)
    let chunk = [UInt8](repeating: 7, count: 65536)
    var sent = 0
    for _ in 0..<100 {
      let count = write(client, chunk, chunk.count)
      if count > 0 { sent += count }
      rig.turn(milliseconds: 2)
    }
    #expect(sent < 2_000_000)  // the socket's and the pipe's buffers, and one read of ours
    var got = 0
    var buffer = [UInt8](repeating: 0, count: 65536)
    _ = fcntl(rig.stdin, F_SETFL, O_NONBLOCK)
    for _ in 0..<200 where got < sent {
      let count = read(rig.stdin, &buffer, buffer.count)
      if count > 0 { got += count }
      rig.turn(milliseconds: 2)
    }
    #expect(got == sent)
  }

  @Test func aSlowPrimaryClientHoldsTheProcessAndLosesNothing() throws {
    let rig = Rig()
    let client = rig.client(primary: true)
    defer { close(client) }
    let (written, _) = flood(rig, pieces: 200)
    #expect(written < 200 * 65536)
    var got = 0
    for _ in 0..<500 {
      guard let bytes = received(client), !bytes.isEmpty else { break }
      got += bytes.count
      rig.turn(milliseconds: 2)
    }
    #expect(got >= written)  // the frames' headers come on top
  }

  @Test func aStalledSecondClientIsDropped() throws {
    let rig = Rig()
    let stalled = rig.client()
    defer { close(stalled) }
    let (written, pieces) = flood(rig, pieces: 200)
    #expect(pieces == 200 && written == 200 * 65536)
    #expect(!rig.io.hasClients)
  }

  @Test func clientsSeeTheEndOnlyAfterTheExitWasRecorded() throws {
    let rig = Rig()
    let client = rig.client()
    defer { close(client) }
    rig.say("last", on: rig.stdout)
    rig.io.processExited()
    rig.turn()
    #expect(received(client)?.suffix(4) == ArraySlice("last".utf8))
    #expect(received(client) == [])
    rig.io.exitWasRecorded()
    rig.turn()
    #expect(received(client) == nil)
  }

  @Test func aLateClientOfAnEndedProcessGetsAllAndTheEnd() throws {
    let rig = Rig(held: true)
    rig.say("all", on: rig.stdout)
    rig.io.processExited()
    rig.io.exitWasRecorded()
    rig.turn()
    // The rig keeps the writing ends open, as a child of the process would.
    let client = rig.client(primary: true)
    defer { close(client) }
    rig.turn()
    #expect(received(client)?.suffix(3) == ArraySlice("all".utf8))
    #expect(received(client) == nil)
  }

  /// Writes pieces of 64 kB as long as they are taken; returns the bytes and pieces that were.
  private func flood(_ rig: Rig, pieces: Int) -> (Int, Int) {
    _ = fcntl(rig.stdout, F_SETFL, O_NONBLOCK)
    let chunk = [UInt8](repeating: 120, count: 65536)
    var written = 0
    var done = 0
    var offset = 0
    for _ in 0..<pieces * 4 where done < pieces {
      let count = chunk[offset...].withUnsafeBytes { write(rig.stdout, $0.baseAddress, $0.count) }
      if count > 0 {
        written += count
        offset += count
        if offset == chunk.count {
          offset = 0
          done += 1
        }
      }
      rig.turn(milliseconds: 1)
    }
    rig.turn()
    return (written, done)
  }
}
