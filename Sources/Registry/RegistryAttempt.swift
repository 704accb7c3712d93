internal import Faults
internal import FoundationEssentials

/// One request to one endpoint, from the first exchange to the last repetition.
extension RegistryClient {
  /// What became of one exchange.
  private enum Outcome {
    case answer(HTTPAnswer)
    /// Status 401 of the endpoint itself.
    case challenge(HTTPAnswer)
    /// Once more may help, after a pause in milliseconds if one was asked for.
    case passing(EndpointFailure, pause: Int?)
  }

  func attempt(
    _ request: RegistryRequest, at endpoint: RegistryEndpoint, _ credentials: RegistryCredentials,
    _ sink: (any BodySink)?, isForeign: Bool = false
  ) async throws(EndpointFailure) -> HTTPAnswer {
    let credentials = endpoint.isRegistry ? credentials : .anonymous
    var authorization = try await authorize(request, endpoint, credentials, isForeign)
    var isChallenged = false
    var failures = 0
    while true {
      let outcome = try await once(request, endpoint, authorization, sink, isForeign)
      switch outcome {
      case .answer(let answer): return answer
      case .challenge(let answer):
        guard !isChallenged,
          let next = try await rechallenge(request, endpoint, credentials, answer.head, rejected: authorization)
        else { throw Self.refused(answer, request) }
        isChallenged = true
        authorization = next
      case .passing(let failure, let pause):
        failures += 1
        let wait = pause ?? backOff(failures)
        guard request.isRepeatable, failures <= settings.retries, wait <= settings.longestPauseMilliseconds else {
          throw failure
        }
        do { try await Task.sleep(for: .milliseconds(wait)) } catch {
          throw EndpointFailure(cause: .cancelled, fault: Fault(.cancelled, "\(request.what) was taken back"))
        }
      }
    }
  }

  private func once(
    _ request: RegistryRequest, _ endpoint: RegistryEndpoint, _ authorization: String?, _ sink: (any BodySink)?,
    _ isForeign: Bool
  ) async throws(EndpointFailure) -> Outcome {
    let answer: HTTPAnswer
    do throws(HTTPTransport.Failure) {
      answer = try await follow(request, endpoint, authorization, sink, isForeign)
    } catch {
      let failure = Self.explain(error, request, endpoint)
      switch error.kind {
      case .cancelled, .malformed, .tooLarge: throw failure
      // Nobody is there: other endpoints are asked before this one is again.
      case .noTLS, .untrusted, .unreachable:
        noteUnreachable(endpoint)
        throw failure
      case .slow, .cut: return .passing(failure, pause: nil)
      }
    }
    noteReached(endpoint)
    if (200..<300).contains(answer.status) || request.accepts.contains(answer.status) { return .answer(answer) }
    switch answer.status {
    case 401 where !isForeign && answer.address.hasSameOrigin(as: endpoint.base): return .challenge(answer)
    case 429, 500, 502, 503, 504:
      return .passing(
        Self.refused(answer, request), pause: RegistryRefusal(answer: answer).pauseSeconds.map { $0 * 1000 })
    default: throw Self.refused(answer, request)
    }
  }

  private static func refused(_ answer: HTTPAnswer, _ request: RegistryRequest) -> EndpointFailure {
    EndpointFailure(cause: .status(answer.status), fault: RegistryRefusal(answer: answer).fault(request.what))
  }

  /// The milliseconds before repetition number `count`: doubled each time, a half more or less by chance, so that many
  /// clients do not come back in step.
  public func backOff(_ count: Int) -> Int {
    let base = min(settings.backOffMilliseconds << min(count - 1, 10), settings.longestPauseMilliseconds)
    return Int.random(in: (base / 2)...max(base * 3 / 2, base / 2 + 1))
  }

  private func authorize(
    _ request: RegistryRequest, _ endpoint: RegistryEndpoint, _ credentials: RegistryCredentials, _ isForeign: Bool
  ) async throws(EndpointFailure) -> String? {
    if isForeign { return nil }
    do throws(Fault) {
      return try await authorizer.authorization(endpoint, request.scopes, credentials)
    } catch {
      throw EndpointFailure(cause: error.code == .cancelled ? .cancelled : .status(401), fault: error)
    }
  }

  private func rechallenge(
    _ request: RegistryRequest, _ endpoint: RegistryEndpoint, _ credentials: RegistryCredentials, _ head: HTTPHead,
    rejected: String?
  ) async throws(EndpointFailure) -> String? {
    do throws(Fault) {
      return try await authorizer.answer(
        Challenge.all(in: head), endpoint, request.scopes, credentials, rejected: rejected)
    } catch {
      throw EndpointFailure(cause: error.code == .cancelled ? .cancelled : .status(401), fault: error)
    }
  }

  // MARK: Redirects

  /// Sends the request and follows where the answers lead. Credentials and the endpoint's own fields go to the endpoint's
  /// own host alone; https never becomes http.
  private func follow(
    _ request: RegistryRequest, _ endpoint: RegistryEndpoint, _ authorization: String?, _ sink: (any BodySink)?,
    _ isForeign: Bool
  ) async throws(HTTPTransport.Failure) -> HTTPAnswer {
    var address = request.address(at: endpoint)
    var seen: Set<WebAddress> = []
    while true {
      let isOwn = address.hasSameOrigin(as: endpoint.base)
      var fields = request.fields
      if isOwn, !isForeign {
        fields += endpoint.headers
        if let authorization { fields.append(HTTPField("Authorization", authorization)) }
      }
      var exchange = HTTPRequest(
        request.method, address, fields: fields, body: request.body, answerLimit: request.answerLimit,
        milliseconds: request.milliseconds)
      exchange.connectMilliseconds = isOwn ? endpoint.connectMilliseconds : nil
      exchange.onSend = request.onSend
      let answer = try await transport.exchange(
        exchange,
        tls: isOwn ? endpoint.tls : tls(for: address), refusesLinkLocal: isForeign || !isOwn, sink: sink)
      guard [301, 302, 303, 307, 308].contains(answer.status), request.method == "GET" || request.method == "HEAD",
        let location = answer.head["Location"]
      else { return answer }
      seen.insert(address)
      guard seen.count <= settings.redirects else {
        throw .init(kind: .malformed, words: "it redirects more than \(settings.redirects) times")
      }
      let next: WebAddress
      do throws(Fault) { next = try address.following(location) } catch {
        throw .init(kind: .malformed, words: "it redirects to what is no address: \(error.message)")
      }
      guard !seen.contains(next) else { throw .init(kind: .malformed, words: "it redirects in a circle") }
      guard next.scheme == .https || address.scheme == .http || endpoint.isInsecure else {
        throw .init(kind: .malformed, words: "it redirects from https to http (\(next)), which is not followed")
      }
      address = next
    }
  }

  // MARK: Words

  private static func explain(
    _ failure: HTTPTransport.Failure, _ request: RegistryRequest, _ endpoint: RegistryEndpoint
  ) -> EndpointFailure {
    let place = request.address(at: endpoint).authority
    let words = Quoted.plain(failure.words, 300)
    switch failure.kind {
    case .cancelled:
      return .init(cause: .cancelled, fault: Fault(.cancelled, "\(request.what) was taken back", cause: [words]))
    case .malformed:
      return .init(
        cause: .connection,
        fault: Fault(.corrupt, "the answer of \(place) for \(request.what) is not used", cause: [words]))
    case .tooLarge:
      return .init(
        cause: .connection,
        fault: Fault(.limitExceeded, "the answer of \(place) for \(request.what) is not used", cause: [words]))
    case .untrusted:
      return .init(
        cause: .unreached,
        fault: Fault(
          .unavailable,
          "the certificate of \(place) is not trusted: give the engine its authority in certs.d/\(place)/ca.crt, or name the registry among the insecure ones",
          cause: [words]))
    case .noTLS:
      return .init(
        cause: .unreached,
        fault: Fault(
          .unavailable,
          "\(place) does not speak TLS as it should: is it a registry, and does it want https? Plain ones must be named among the insecure ones",
          cause: [words]))
    case .unreachable:
      return .init(
        cause: .unreached,
        fault: Fault(
          .unavailable, "\(place) cannot be reached: check its name, the network and the proxy", cause: [words]))
    case .slow:
      return .init(
        cause: .connection,
        fault: Fault(.deadlineExceeded, "\(place) is too slow with \(request.what)", cause: [words]))
    case .cut:
      return .init(
        cause: .connection,
        fault: Fault(.unavailable, "the connection to \(place) broke in the middle of \(request.what)", cause: [words]))
    }
  }
}
