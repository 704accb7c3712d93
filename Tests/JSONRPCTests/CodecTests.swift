import Faults
import FoundationEssentials
import JSONRPC
import Testing

/// Lines taken apart and put together.
@Suite struct CodecTests {
  private func parse(_ text: String) throws -> Message { try MessageCodec.parse(Data(text.utf8)) }

  @Test func requestsAreTakenApart() throws {
    let line =
      #"{"jsonrpc":"2.0","id":7,"method":"image.resolve","params":{"reference":"a\"}b","_meta":{"deadlineMs":50,"progressToken":"t","traceparent":"00-1"}}}"#
    guard case .request(let id, let method, let params, let meta) = try parse(line) else {
      Issue.record("no request")
      return
    }
    #expect(id == .number(7))
    #expect(method == "image.resolve")
    #expect(try JSONValue(parsing: params)["reference"] == "a\"}b")
    #expect(
      meta == RequestMeta(deadlineMilliseconds: 50, progressToken: Data(#""t""#.utf8), traceparent: "00-1"))
  }

  @Test func membersMayComeInAnyOrderWithSpace() throws {
    let line =
      " { \"params\" : { } ,\t\"method\" : \"m\", \"extra\":[1,{\"id\":9}], \"id\" : \"x\\u0041\" , \"jsonrpc\" : \"2.0\" } "
    guard case .request(let id, let method, _, let meta) = try parse(line) else {
      Issue.record("no request")
      return
    }
    #expect(id == .string("xA"))
    #expect(method == "m")
    #expect(meta.isEmpty)
  }

  @Test func escapedNamesOfMembersCount() throws {
    guard case .notification(let method, _) = try parse(#"{"jsonrpc":"2.0","\u006dethod":"m"}"#) else {
      Issue.record("no notification")
      return
    }
    #expect(method == "m")
  }

  @Test func answersAreTakenApart() throws {
    guard case .result(.number(3), let result) = try parse(#"{"jsonrpc":"2.0","id":3,"result":{"a":[1,2]}}"#) else {
      Issue.record("no result")
      return
    }
    #expect(String(decoding: result, as: UTF8.self) == #"{"a":[1,2]}"#)
  }

  @Test func faultsKeepCodeMessageAndCause() throws {
    let fault = Fault(.commandNotFound, "exec: \"foo\": not found", cause: ["a", "b\n"])
    guard
      case .failure(.string("i"), let read) = try MessageCodec.parse(
        try MessageCodec.failure(id: .string("i"), fault))
    else {
      Issue.record("no failure")
      return
    }
    #expect(read == fault)
  }

  @Test func faultCodesOfAnotherVersionSurvive() throws {
    let line = #"{"jsonrpc":"2.0","id":null,"error":{"code":-32099,"message":"m","data":{"code":"ofTomorrow"}}}"#
    guard case .failure(nil, let fault) = try parse(line) else {
      Issue.record("no failure")
      return
    }
    #expect(fault.code == FaultCode(rawValue: "ofTomorrow"))
  }

  @Test func requestsSurviveWritingAndReading() throws {
    let meta = RequestMeta(deadlineMilliseconds: 9, progressToken: Data("4".utf8), traceparent: "t")
    for params in ["{}", #"{"a":1}"#] {
      let line = try MessageCodec.request(id: .number(-1), method: "a.b", params: Data(params.utf8), meta: meta)
      guard case .request(let id, let method, let read, let readMeta) = try MessageCodec.parse(line) else {
        Issue.record("no request")
        return
      }
      #expect(id == .number(-1) && method == "a.b" && readMeta == meta)
      #expect(try JSONValue(parsing: read)["a"] == JSONValue(parsing: Data(params.utf8))["a"])
    }
  }

  @Test func progressAndCancelSurvive() throws {
    guard
      case .notification(WireMethod.progress, let params) = try MessageCodec.parse(
        try MessageCodec.progress(token: Data("7".utf8), value: Data(#"{"current":1}"#.utf8)))
    else {
      Issue.record("no notification")
      return
    }
    let parts = try #require(MessageCodec.progressParts(params))
    #expect(parts.token == Data("7".utf8) && parts.value == Data(#"{"current":1}"#.utf8))
    for id in [RPCID.number(5), .string("q\"")] {
      guard case .notification(WireMethod.cancel, let params) = try MessageCodec.parse(try MessageCodec.cancel(id: id))
      else {
        Issue.record("no notification")
        return
      }
      #expect(MessageCodec.cancelledID(params) == id)
    }
  }

  @Test(arguments: [
    "", "nonsense", "{", "[]", "1", "null", #""text""#, "{}{}", #"{"a":}"#, #"{"a":1,}"#, #"{"a" 1}"#, #"{a:1}"#,
    #"{"a":01}"#, #"{"a":1.}"#, #"{"a":-}"#, #"{"a":1e}"#, #"{"a":tru}"#, #"{"a":"\x"}"#, #"{"a":"\u12G4"}"#,
    "{\"a\":\"\u{1}\"}", #"{"a":"no end}"#, #"{"a":[1,2}"#, #"{"a":[1 2]}"#, #"{"a":1} x"#,
    #"{"id":1,"id":2}"#, #"{"method":"a","method":"b"}"#, #"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#,
  ])
  func malformedLinesAreParseErrors(_ line: String) {
    #expect(throws: Fault.self) { try parse(line) }
    do { _ = try parse(line) } catch { #expect((error as? Fault)?.code == .parseError) }
  }

  @Test(
    arguments: [
      [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82], [0x80],
    ] as [[UInt8]])
  func invalidUTF8IsAParseError(_ bytes: [UInt8]) {
    let line = Data(#"{"jsonrpc":"2.0","method":"m","params":{"a":""#.utf8) + bytes + Data("\"}}".utf8)
    do throws(Fault) {
      _ = try MessageCodec.parse(line)
      Issue.record("was read")
    } catch {
      #expect(error.code == .parseError)
    }
  }

  @Test(arguments: [
    #"{"id":1,"method":"m"}"#, #"{"jsonrpc":"1.0","id":1,"method":"m"}"#, #"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#,
    #"{"jsonrpc":"2.0","id":null,"method":"m"}"#, #"{"jsonrpc":"2.0","id":{},"method":"m"}"#,
    #"{"jsonrpc":"2.0","id":1,"method":5}"#, #"{"jsonrpc":"2.0","id":1}"#, #"{"jsonrpc":"2.0"}"#, "{}",
    #"{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}"#, #"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#,
    #"{"jsonrpc":"2.0","id":99999999999999999999,"method":"m"}"#,
  ])
  func otherJSONIsInvalid(_ line: String) throws {
    guard case .invalid(_, let fault) = try parse(line) else {
      Issue.record("was taken")
      return
    }
    #expect(fault.code == .invalidRequest || fault.code == .invalidArgument)
  }

  @Test func nestingIsBounded() throws {
    func nested(_ depth: Int) -> String {
      #"{"jsonrpc":"2.0","method":"m","params":{"a":"#
        + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}}"
    }
    _ = try parse(nested(90))
    for depth in [200, 100_000, 4_000_000] {
      do throws(Fault) {
        _ = try MessageCodec.parse(Data(nested(depth).utf8))
        Issue.record("\(depth) levels were read")
      } catch {
        #expect(error.code == .parseError)
      }
    }
  }

  @Test func linesAreBounded() {
    let line =
      Data(#"{"jsonrpc":"2.0","method":"m","params":{"a":""#.utf8) + Data(repeating: 97, count: 16 << 20)
      + Data("\"}}".utf8)
    do throws(Fault) {
      _ = try MessageCodec.parse(line)
      Issue.record("was read")
    } catch {
      #expect(error.code == .parseError)
    }
  }

  /// Every cut and every changed byte of a message is read or refused: nothing traps, and what is read is JSON.
  @Test func damagedLinesNeverTrap() throws {
    let line = Array(
      try MessageCodec.request(
        id: .string("é\n"), method: "container.run", params: Data(#"{"a":[1,-2.5e3,true,null,{"b":"\u00e9"}]}"#.utf8),
        meta: RequestMeta(deadlineMilliseconds: 5, progressToken: Data(#""x""#.utf8))))
    var generator = SystemRandomNumberGenerator()
    for cut in 0..<line.count {
      #expect(throws: Fault.self) { try MessageCodec.parse(Data(line[..<cut])) }
    }
    for _ in 0..<20_000 {
      var damaged = line
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        damaged[Int.random(in: 0..<damaged.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      if case .request(_, _, let params, _) = try? MessageCodec.parse(Data(damaged)) {
        _ = try JSONValue(parsing: params)
      }
    }
  }
}
