public import Faults
public import FoundationEssentials

/// Lines to messages and back. Params and results are spliced in and out as bytes: nothing is parsed twice.
public enum MessageCodec {
  /// Takes one line (without its newline) apart.
  ///
  /// - Throws: `.parseError` when the line is not UTF-8 or not JSON: the connection is to be closed.
  public static func parse(_ line: Data) throws(Fault) -> Message {
    if line.count > WireLimit.line { throw Fault(.parseError, "a line is longer than \(WireLimit.line) bytes") }
    var outcome: Result<Message, Fault> = .failure(Fault(.parseError, "an empty line"))
    line.withUnsafeBytes { raw in
      raw.withMemoryRebound(to: UInt8.self) { bytes in
        do throws(Fault) { outcome = .success(try parse(bytes)) } catch { outcome = .failure(error) }
      }
    }
    return try outcome.get()
  }

  private static func parse(_ bytes: UnsafeBufferPointer<UInt8>) throws(Fault) -> Message {
    guard isUTF8(bytes) else { throw Fault(.parseError, "a line is not UTF-8") }
    var scanner = MessageScanner(bytes)
    let members: [MessageScanner.Member]
    do throws(MessageScanner.Malformed) {
      members = try scanner.envelope()
    } catch {
      throw Fault(.parseError, "a line is not JSON: \(error.words)")
    }
    var envelope = Envelope()
    for member in members {
      switch try name(member.name, bytes) {
      case "jsonrpc": try envelope.set(\.version, member)
      case "id": try envelope.set(\.id, member)
      case "method": try envelope.set(\.method, member)
      case "params": try envelope.set(\.params, member)
      case "result": try envelope.set(\.result, member)
      case "error": try envelope.set(\.error, member)
      default: continue
      }
    }
    return try message(envelope, bytes)
  }

  private struct Envelope {
    var version: MessageScanner.Member?
    var id: MessageScanner.Member?
    var method: MessageScanner.Member?
    var params: MessageScanner.Member?
    var result: MessageScanner.Member?
    var error: MessageScanner.Member?

    mutating func set(
      _ part: WritableKeyPath<Envelope, MessageScanner.Member?>, _ member: MessageScanner.Member
    ) throws(Fault) {
      if self[keyPath: part] != nil { throw Fault(.parseError, "a member of the message is there twice") }
      self[keyPath: part] = member
    }
  }

  private static func message(_ envelope: Envelope, _ bytes: UnsafeBufferPointer<UInt8>) throws(Fault) -> Message {
    let id = try envelope.id.flatMap { member throws(Fault) in try Self.id(member, bytes) }
    func invalid(_ words: String) -> Message { .invalid(id: id, Fault(.invalidRequest, words)) }

    guard let version = envelope.version, text(version.value, bytes) == "\"2.0\"" else {
      return invalid("jsonrpc must be \"2.0\"")
    }
    if let member = envelope.id, id == nil, member.kind != UInt8(ascii: "n") || envelope.method != nil {
      return invalid("id must be a string or a whole number")
    }
    if let method = envelope.method {
      guard method.kind == UInt8(ascii: "\"") else { return invalid("method must be a string") }
      let name = try string(method.value, bytes)
      var params = Data("{}".utf8)
      var meta = RequestMeta()
      if let member = envelope.params {
        guard member.kind == UInt8(ascii: "{") else {
          return .invalid(id: id, Fault(.invalidArgument, "params must be an object: params go by name"))
        }
        params = data(member.value, bytes)
        meta = try Self.meta(member.value, bytes)
      }
      guard let id else { return .notification(method: name, params: params) }
      return .request(id: id, method: name, params: params, meta: meta)
    }
    if let error = envelope.error { return .failure(id: id, fault(data(error.value, bytes))) }
    guard let id, let result = envelope.result else { return invalid("a message has a method, or an id and a result") }
    return .result(id: id, result: data(result.value, bytes))
  }

  // MARK: Parts

  private static func id(
    _ member: MessageScanner.Member, _ bytes: UnsafeBufferPointer<UInt8>
  ) throws(Fault) -> RPCID? {
    if member.kind == UInt8(ascii: "\"") { return .string(try string(member.value, bytes)) }
    return Int64(text(member.value, bytes)).map { .number($0) }
  }

  private static func meta(_ range: Range<Int>, _ bytes: UnsafeBufferPointer<UInt8>) throws(Fault) -> RequestMeta {
    var meta = RequestMeta()
    guard let own = try member("_meta", of: range, bytes), own.kind == UInt8(ascii: "{") else { return meta }
    if let deadline = try member("deadlineMs", of: own.value, bytes) {
      meta.deadlineMilliseconds = Int(text(deadline.value, bytes))
    }
    if let token = try member("progressToken", of: own.value, bytes),
      token.kind == UInt8(ascii: "\"") || Int64(text(token.value, bytes)) != nil, token.value.count <= 256
    {
      meta.progressToken = data(token.value, bytes)
    }
    if let trace = try member("traceparent", of: own.value, bytes), trace.kind == UInt8(ascii: "\""),
      trace.value.count <= 256
    {
      meta.traceparent = try string(trace.value, bytes)
    }
    return meta
  }

  private static func member(
    _ name: String, of range: Range<Int>, _ bytes: UnsafeBufferPointer<UInt8>
  ) throws(Fault) -> MessageScanner.Member? {
    // The text was checked as a whole before: it cannot be malformed here.
    var scanner = MessageScanner(bytes, from: range.lowerBound)
    guard let members = try? scanner.members() else { return nil }
    for member in members where try Self.name(member.name, bytes) == name { return member }
    return nil
  }

  private static func name(_ range: Range<Int>, _ bytes: UnsafeBufferPointer<UInt8>) throws(Fault) -> String {
    let slice = bytes[range]
    if !slice.contains(UInt8(ascii: "\\")) { return String(decoding: slice, as: UTF8.self) }
    return try string(range.lowerBound - 1..<range.upperBound + 1, bytes)
  }

  private static func string(_ range: Range<Int>, _ bytes: UnsafeBufferPointer<UInt8>) throws(Fault) -> String {
    let slice = bytes[range]
    if !slice.contains(UInt8(ascii: "\\")) { return String(decoding: slice.dropFirst().dropLast(), as: UTF8.self) }
    do throws(Fault) {
      return try RPCCoding.decode(Data(slice))
    } catch {
      throw Fault(.parseError, "a string holds an escape that is no character")
    }
  }

  private static func text(_ range: Range<Int>, _ bytes: UnsafeBufferPointer<UInt8>) -> String {
    String(decoding: bytes[range], as: UTF8.self)
  }

  private static func data(_ range: Range<Int>, _ bytes: UnsafeBufferPointer<UInt8>) -> Data { Data(bytes[range]) }

  private static func isUTF8(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    (try? UTF8Span(validating: bytes.span)) != nil
  }

  // MARK: Faults

  private struct ErrorObject: Codable {
    struct Details: Codable {
      var code: String?
      var cause: [String]?
    }
    var code: Int
    var message: String
    var data: Details?
  }

  private static func fault(_ text: Data) -> Fault {
    guard let object: ErrorObject = try? RPCCoding.decode(text) else {
      return Fault(.internal, "the other side failed, and its error cannot be read")
    }
    let code = object.data?.code.map(FaultCode.init(rawValue:)) ?? FaultCode(number: object.code)
    return Fault(code, object.message, cause: object.data?.cause ?? [])
  }
}

// MARK: Writing

extension MessageCodec {
  /// A request; `params` is a JSON object.
  public static func request(
    id: RPCID, method: String, params: Data, meta: RequestMeta = RequestMeta()
  ) throws(Fault) -> Data {
    var line = Data(capacity: params.count + method.utf8.count + 96)
    line.append(contentsOf: #"{"jsonrpc":"2.0","id":"#.utf8)
    try append(id, to: &line)
    line.append(contentsOf: #","method":"#.utf8)
    line.append(try RPCCoding.encode(method))
    line.append(contentsOf: #","params":"#.utf8)
    try append(params, meta, to: &line)
    line.append(UInt8(ascii: "}"))
    return line
  }

  /// A notification; `params` is a JSON object.
  public static func notification(_ method: String, params: Data) throws(Fault) -> Data {
    var line = Data(capacity: params.count + method.utf8.count + 48)
    line.append(contentsOf: #"{"jsonrpc":"2.0","method":"#.utf8)
    line.append(try RPCCoding.encode(method))
    line.append(contentsOf: #","params":"#.utf8)
    line.append(params)
    line.append(UInt8(ascii: "}"))
    return line
  }

  /// An answer that went well; `result` is JSON.
  public static func result(id: RPCID, _ result: Data) throws(Fault) -> Data {
    var line = Data(capacity: result.count + 64)
    line.append(contentsOf: #"{"jsonrpc":"2.0","id":"#.utf8)
    try append(id, to: &line)
    line.append(contentsOf: #","result":"#.utf8)
    line.append(result)
    line.append(UInt8(ascii: "}"))
    return line
  }

  /// An answer that did not; without an id when the request could not be read.
  public static func failure(id: RPCID?, _ fault: Fault) throws(Fault) -> Data {
    let object = ErrorObject(
      code: fault.code.number, message: fault.message,
      data: .init(code: fault.code.rawValue, cause: fault.cause.isEmpty ? nil : fault.cause))
    var line = Data(#"{"jsonrpc":"2.0","id":"#.utf8)
    if let id { try append(id, to: &line) } else { line.append(contentsOf: "null".utf8) }
    line.append(contentsOf: #","error":"#.utf8)
    line.append(try RPCCoding.encode(object))
    line.append(UInt8(ascii: "}"))
    return line
  }

  /// `$/cancel`.
  public static func cancel(id: RPCID) throws(Fault) -> Data {
    var params = Data(#"{"id":"#.utf8)
    try append(id, to: &params)
    params.append(UInt8(ascii: "}"))
    return try notification(WireMethod.cancel, params: params)
  }

  /// `$/progress`; token and value are JSON.
  public static func progress(token: Data, value: Data) throws(Fault) -> Data {
    var params = Data(#"{"token":"#.utf8)
    params.append(token)
    params.append(contentsOf: #","value":"#.utf8)
    params.append(value)
    params.append(UInt8(ascii: "}"))
    return try notification(WireMethod.progress, params: params)
  }

  /// The id in the params of `$/cancel`.
  public static func cancelledID(_ params: Data) -> RPCID? {
    parts(params, ["id"]).first.flatMap { part -> RPCID? in
      guard let part else { return nil }
      if let number = Int64(String(decoding: part, as: UTF8.self)) { return .number(number) }
      return (try? RPCCoding.decode(part)).map { .string($0) }
    }
  }

  /// Token and value in the params of `$/progress`.
  public static func progressParts(_ params: Data) -> (token: Data, value: Data)? {
    let found = parts(params, ["token", "value"])
    guard let token = found[0], let value = found[1] else { return nil }
    return (token, value)
  }

  private static func parts(_ object: Data, _ names: [String]) -> [Data?] {
    object.withUnsafeBytes { raw in
      raw.withMemoryRebound(to: UInt8.self) { bytes in
        names.map { name in
          ((try? member(name, of: 0..<bytes.count, bytes)) ?? nil).map { Data(bytes[$0.value]) }
        }
      }
    }
  }

  private static func append(_ id: RPCID, to line: inout Data) throws(Fault) {
    switch id {
    case .number(let number): line.append(contentsOf: String(number).utf8)
    case .string(let text): line.append(try RPCCoding.encode(text))
    }
  }

  private static func append(_ params: Data, _ meta: RequestMeta, to line: inout Data) throws(Fault) {
    if meta.isEmpty {
      line.append(params)
      return
    }
    line.append(params.dropLast())
    if params.count > 2 { line.append(UInt8(ascii: ",")) }
    line.append(contentsOf: #""_meta":{"#.utf8)
    var separator = ""
    if let deadline = meta.deadlineMilliseconds {
      line.append(contentsOf: "\"deadlineMs\":\(deadline)".utf8)
      separator = ","
    }
    if let token = meta.progressToken {
      line.append(contentsOf: "\(separator)\"progressToken\":".utf8)
      line.append(token)
      separator = ","
    }
    if let trace = meta.traceparent {
      line.append(contentsOf: "\(separator)\"traceparent\":".utf8)
      line.append(try RPCCoding.encode(trace))
    }
    line.append(contentsOf: "}}".utf8)
  }
}
