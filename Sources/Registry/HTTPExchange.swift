internal import CCurl
internal import FoundationEssentials
internal import Glibc
internal import Linux

/// One exchange while it runs; only the transport's thread touches it after `begin`.
///
/// Unchecked: made by the caller, then handed to that thread for good.
final class HTTPExchange: @unchecked Sendable {
  let number: UInt64
  private(set) var transfer: OpaquePointer?
  private let request: HTTPRequest
  private let tls: RegistryEndpoint.TLS
  private let refusesLinkLocal: Bool
  private let sink: (any BodySink)?
  private let settings: RegistrySettings
  private let resume: @Sendable () -> Void
  private var continuation: CheckedContinuation<Result<HTTPAnswer, HTTPTransport.Failure>, Never>?

  private var head = HTTPHead(status: 0)
  private var headBytes = 0
  private var body = Data()
  private var sinkTakes: Bool?
  private var sent: Int64 = 0
  /// The body of a failure was longer than wanted; its status is what counts.
  private var isExplainedEnough = false
  /// Why an event stopped the transfer.
  private var refusal: HTTPTransport.Failure?

  init(
    number: UInt64, request: HTTPRequest, tls: RegistryEndpoint.TLS, refusesLinkLocal: Bool, sink: (any BodySink)?,
    settings: RegistrySettings, resume: @escaping @Sendable () -> Void,
    continuation: CheckedContinuation<Result<HTTPAnswer, HTTPTransport.Failure>, Never>
  ) {
    self.number = number
    self.request = request
    self.tls = tls
    self.refusesLinkLocal = refusesLinkLocal
    self.sink = sink
    self.settings = settings
    self.resume = resume
    self.continuation = continuation
  }

  // MARK: Beginning and end

  /// Hands the request to libcurl; false, and the exchange has ended, when it takes no more.
  func begin(_ multi: OpaquePointer, _ proxies: ProxyRules) -> Bool {
    var lines = request.fields.filter(Self.isSafe).map { "\($0.name): \($0.value)" }
    lines.append("User-Agent: \(settings.userAgent)")
    lines.append("Accept-Encoding: identity")
    let texts: [String?] = [
      request.address.url, request.method, tls.caFile, tls.caFolder, tls.certificate, tls.key,
      proxies.proxy(for: request.address),
    ]
    let bundle = authorities()
    let strings = CStrings(texts.map { $0 ?? "" })
    let fields = CStrings(lines)
    func text(_ index: Int) -> UnsafePointer<CChar>? {
      texts[index] == nil ? nil : strings.pointers[index].map { UnsafePointer($0) }
    }
    var events = cc_events(
      head: { context, line, size in HTTPExchange.of(context).takeHead(line, size) },
      body: { context, bytes, size in HTTPExchange.of(context).takeBody(bytes, size) },
      send: { context, bytes, capacity in HTTPExchange.of(context).giveBody(bytes, capacity) },
      rewind: { context in HTTPExchange.of(context).sent = 0 })
    transfer = fields.pointers.withMemoryRebound(to: UnsafePointer<CChar>?.self, capacity: lines.count + 1) { headers in
      var call = cc_call(
        url: text(0), method: text(1), headers: headers, no_body: request.method == "HEAD" ? 1 : 0,
        upload: uploadSize, ca_file: text(2), ca_folder: text(3), ca_bundle: nil, ca_bundle_size: 0,
        certificate: text(4), key: text(5), skip_verify: tls.skipVerify ? 1 : 0, proxy: text(6),
        refuse_link_local: refusesLinkLocal ? 1 : 0,
        connect_ms: request.connectMilliseconds ?? settings.connectMilliseconds,
        total_ms: request.milliseconds ?? settings.documentMilliseconds, slow_bytes: settings.slowBytes,
        slow_seconds: settings.slowSeconds, buffer_size: settings.readBytes)
      return bundle.withUnsafeBytes { bundle in
        if !bundle.isEmpty {
          call.ca_bundle = bundle.bindMemory(to: CChar.self).baseAddress
          call.ca_bundle_size = bundle.count
        }
        return cc_multi_add(multi, &call, &events, Unmanaged.passUnretained(self).toOpaque())
      }
    }
    withExtendedLifetime((strings, fields)) {}
    if transfer == nil { end(.init(kind: .unreachable, words: "no memory is left for another transfer")) }
    return transfer != nil
  }

  /// The text of several files of authorities; empty when there is one, or none. What cannot be read vouches for nobody.
  private func authorities() -> [UInt8] {
    guard !tls.moreCAFiles.isEmpty else { return [] }
    return ([tls.caFile].compactMap { $0 } + tls.moreCAFiles).flatMap { path in
      ((try? Files.read(path)) ?? []) + [UInt8(ascii: "\n")]
    }
  }

  /// Frees the transfer and tells the caller.
  func finish(_ multi: OpaquePointer, _ failure: HTTPTransport.Failure?) {
    if let transfer { cc_multi_remove(multi, transfer) }
    transfer = nil
    end(failure)
  }

  /// Tells the caller.
  func end(_ failure: HTTPTransport.Failure?) {
    let result: Result<HTTPAnswer, HTTPTransport.Failure> =
      failure.map { .failure($0) } ?? .success(HTTPAnswer(head: head, body: body, address: request.address))
    continuation?.resume(returning: result)
    continuation = nil
  }

  /// What an end means; nil for a whole answer.
  func failure(_ end: cc_end, _ words: String) -> HTTPTransport.Failure? {
    let kind: HTTPTransport.Failure.Kind
    switch end {
    case CC_DONE: return head.status > 0 ? nil : .init(kind: .cut, words: "no answer came")
    case CC_STOPPED: return isExplainedEnough ? nil : refusal ?? .init(kind: .cancelled, words: "taken back")
    case CC_CONNECT: kind = .unreachable
    case CC_TLS: kind = .noTLS
    case CC_TRUST: kind = .untrusted
    case CC_TIMEOUT: kind = .slow
    case CC_CUT: kind = .cut
    case CC_PROTOCOL: kind = .malformed
    // A TLS connection that ends without its closing message is among the others.
    default: kind = head.status > 0 ? .cut : .malformed
    }
    return .init(kind: kind, words: words)
  }

  // MARK: Events

  private static func of(_ context: UnsafeMutableRawPointer?) -> HTTPExchange {
    // libcurl gives back what `begin` gave it, while the exchange is in the thread's list.
    Unmanaged<HTTPExchange>.fromOpaque(context!).takeUnretainedValue()
  }

  private func refuse(_ words: String, _ kind: HTTPTransport.Failure.Kind = .malformed) -> Int32 {
    refusal = .init(kind: kind, words: words)
    return -1
  }

  private func takeHead(_ line: UnsafePointer<CChar>?, _ size: Int) -> Int32 {
    headBytes += size
    guard headBytes <= settings.headBytes else {
      return refuse("the head of the answer has more than \(settings.headBytes) bytes", .tooLarge)
    }
    let bytes = UnsafeRawBufferPointer(start: line, count: size)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      return refuse("the head of the answer is not text")
    }
    if text.hasPrefix("HTTP/") {
      // A head of its own: after 100 Continue, or of a proxy before that of the registry.
      head = HTTPHead(status: Int(text.split(separator: " ").dropFirst().first?.prefix(3) ?? "") ?? 0)
      return 0
    }
    guard let colon = text.firstIndex(of: ":") else { return 0 }
    let value = text[text.index(after: colon)...].filter { $0 != "\r\n" && $0 != "\n" && $0 != "\r" }
    head.fields.append(HTTPField(String(text[..<colon]), value.trimmingSpaces))
    return 0
  }

  private func takeBody(_ start: UnsafePointer<CChar>?, _ size: Int) -> Int32 {
    let bytes = UnsafeRawBufferPointer(start: start, count: size)
    if sinkTakes == nil { sinkTakes = sink?.begin(head, resume: resume) ?? false }
    if sinkTakes == true {
      switch sink?.receive(bytes) {
      case .taken: return 0
      case .pause: return 1
      case .stop, nil:
        refusal = .init(kind: .cancelled, words: "no more was wanted")
        return -1
      }
    }
    let isExplanation = !(200..<300).contains(head.status)
    let limit = isExplanation ? settings.explanationBytes : request.answerLimit ?? settings.documentBytes
    if body.count + size > limit {
      guard isExplanation else {
        return refuse("the answer has more than \(limit) bytes, which is the limit", .tooLarge)
      }
      body.append(contentsOf: bytes.prefix(limit - body.count))
      isExplainedEnough = true
      return -1
    }
    body.append(contentsOf: bytes)
    return 0
  }

  private func giveBody(_ target: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int {
    let room = UnsafeMutableRawBufferPointer(start: target, count: capacity)
    switch request.body {
    case .none:
      return 0
    case .data(let data):
      let count = min(capacity, data.count - Int(sent))
      data.withUnsafeBytes { all in
        room.copyMemory(from: UnsafeRawBufferPointer(rebasing: all[Int(sent)..<(Int(sent) + count)]))
      }
      sent += Int64(count)
      request.onSend?(sent)
      return count
    case .file(let descriptor, let offset, let count):
      let want = Int(min(Int64(capacity), count - sent))
      if want == 0 { return 0 }
      let read = pread(descriptor, target, want, off_t(offset + sent))
      guard read > 0 else {
        refusal = .init(kind: .malformed, words: "the file to send is shorter than it was")
        return -1
      }
      sent += Int64(read)
      request.onSend?(sent)
      return read
    }
  }

  private var uploadSize: Int64 {
    switch request.body {
    case .none: ["PUT", "POST", "PATCH"].contains(request.method) ? 0 : -1
    case .data(let data): Int64(data.count)
    case .file(_, _, let count): count
    }
  }

  /// No field may smuggle in another one.
  private static func isSafe(_ field: HTTPField) -> Bool {
    (field.name + field.value).utf8.allSatisfy { $0 >= 32 && $0 != 127 } && !field.name.isEmpty
  }
}
