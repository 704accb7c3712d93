internal import Faults
internal import FoundationEssentials
internal import OCI
internal import Registry
internal import Synchronization

/// Brings one blob into a repository (OCI distribution specification 1.1, "push").
///
///     HEAD ─ 200 ► there
///       └ POST ?mount&from ─ 201 ► mounted
///            └ 202 Location ► PUT all of it ─ 201 ► done
///                 cut ► GET Location: Range 0-N ► PATCH the rest from N+1 ► PUT; a new POST where nobody knows N
///                 413 ► PATCH in chunks ► PUT
struct BlobUpload: Sendable {
  /// Bytes of a chunk for registries that take no larger ones; at least what they may ask for as the least.
  static let chunk: Int64 = 16 << 20
  private static let attempts = 5
  /// Progress is told at least so many bytes apart.
  private static let step: Int64 = 512 << 10

  let blob: PushBlob
  let repository: Reference
  let client: RegistryClient
  let endpoint: RegistryEndpoint
  let credentials: RegistryCredentials
  let progress: @Sendable (PushProgress) -> Void

  private var digest: Digest { blob.descriptor.digest }
  private var size: Int64 { blob.descriptor.size }
  private var what: String { "the blob \(digest.short) of \(repository.familiarName)" }
  private var uploads: String { "/\(repository.path)/blobs/uploads/" }

  /// Where an upload goes on, and from which byte.
  private struct Session {
    var address: WebAddress
    var offset: Int64 = 0
  }

  func run() async throws(Fault) {
    if try await isThere() { return progress(.exists(digest)) }
    guard var session = try await mountOrBegin() else { return }
    progress(.upload(digest, sent: 0, size: size))
    var chunk = size
    var failures = 0
    while true {
      do throws(Fault) {
        try await send(&session, chunk: chunk)
        return progress(.done(digest))
      } catch {
        if error.code == .limitExceeded, chunk > Self.chunk {
          chunk = Self.chunk
          session = try await begin()
          continue
        }
        failures += 1
        guard [.unavailable, .deadlineExceeded].contains(error.code), failures < Self.attempts else { throw error }
        try await pause(failures)
        // Whoever cannot say how far it came gets the blob anew.
        if let resumed = try await resume(session) { session = resumed } else { session = try await begin() }
      }
    }
  }

  private func pause(_ failures: Int) async throws(Fault) {
    do { try await Task.sleep(for: .milliseconds(client.backOff(failures))) } catch {
      throw Fault(.cancelled, "the push was taken back")
    }
  }

  private func isThere() async throws(Fault) -> Bool {
    let answer = try await client.send(
      RegistryRequest(
        "HEAD", .path("/\(repository.path)/blobs/\(digest)"), what: what, scopes: [.push(repository.path)],
        accepts: [404]),
      to: endpoint, credentials: credentials)
    guard answer.status != 404 else { return false }
    if let length = answer.head.contentLength, length != size {
      throw Fault(
        .corrupt, "\(endpoint.base.authority) has \(length) bytes as \(what), which has \(size): nothing was pushed")
    }
    return true
  }

  // MARK: Beginning

  /// Takes the blob from another repository, or begins an upload; nil when it was taken.
  private func mountOrBegin() async throws(Fault) -> Session? {
    guard let source = blob.sources.first else { return try await begin() }
    let answer = try await client.send(
      RegistryRequest(
        "POST", .path("\(uploads)?mount=\(digest)&from=\(source)"), what: what,
        scopes: [.push(repository.path), .pull(source)], accepts: [400, 401, 403, 404, 405]),
      to: endpoint, credentials: credentials)
    switch answer.status {
    case 201:
      progress(.mounted(digest, from: source))
      return nil
    case 202: return Session(address: try location(answer))
    default: return try await begin()
    }
  }

  private func begin() async throws(Fault) -> Session {
    let answer = try await client.send(
      RegistryRequest(
        "POST", .path(uploads), what: "an upload of \(what)", scopes: [.push(repository.path)], isRepeatable: true),
      to: endpoint, credentials: credentials)
    return Session(address: try location(answer))
  }

  /// Where the registry wants the next piece. Another host gets the bytes, and no credentials (`RegistryClient`).
  private func location(_ answer: HTTPAnswer) throws(Fault) -> WebAddress {
    guard let text = answer.head["Location"] else {
      throw Fault(.corrupt, "\(endpoint.base.authority) does not say where to upload \(what)")
    }
    let address = try answer.address.following(text)
    guard address.scheme == .https || answer.address.scheme == .http || endpoint.isInsecure else {
      throw Fault(
        .corrupt, "\(endpoint.base.authority) wants \(what) uploaded without TLS (\(address)), which is not done")
    }
    return address
  }

  // MARK: Sending

  /// Sends what is missing and completes the blob.
  private func send(_ session: inout Session, chunk: Int64) async throws(Fault) {
    if session.offset == 0, chunk >= size { return try await complete(session, body: 0..<size) }
    while session.offset < size {
      let end = min(session.offset + chunk, size)
      let range = session.offset..<end
      let answer = try await client.send(
        request(
          "PATCH", session.address, body: range,
          fields: [
            HTTPField("Content-Type", "application/octet-stream"),
            HTTPField("Content-Range", "\(range.lowerBound)-\(range.upperBound - 1)"),
          ]),
        to: endpoint, credentials: credentials)
      session = Session(address: try location(answer), offset: end)
    }
    try await complete(session, body: nil)
  }

  private func complete(_ session: Session, body: Range<Int64>?) async throws(Fault) {
    let answer = try await client.send(
      request(
        "PUT", session.address.adding(query: "digest=\(digest)"), body: body ?? 0..<0,
        fields: [HTTPField("Content-Type", "application/octet-stream")]),
      to: endpoint, credentials: credentials)
    if let told = answer.head["Docker-Content-Digest"], told != digest.rawValue {
      throw Fault(.corrupt, "\(endpoint.base.authority) took \(what) for \(told.prefix(100))")
    }
  }

  private func request(
    _ method: String, _ address: WebAddress, body: Range<Int64>, fields: [HTTPField]
  ) -> RegistryRequest {
    var request = RegistryRequest(
      method, .address(address), what: what, scopes: [.push(repository.path)], fields: fields,
      body: body.isEmpty
        ? .data(Data())
        : .file(descriptor: blob.file.rawValue, offset: body.lowerBound, count: Int64(body.count)),
      milliseconds: body.isEmpty ? nil : 0)
    let told = Mutex(body.lowerBound)
    request.onSend = { [progress, digest, size] sent in
      let now = body.lowerBound + sent
      let isDue = told.withLock { told in
        guard now - told >= Self.step || now == body.upperBound else { return false }
        told = now
        return true
      }
      if isDue { progress(.upload(digest, sent: now, size: size)) }
    }
    return request
  }

  /// Asks how much of an upload has arrived; nil when the registry does not know, or says what cannot be.
  private func resume(_ session: Session) async throws(Fault) -> Session? {
    let answer: HTTPAnswer
    do throws(Fault) {
      answer = try await client.send(
        RegistryRequest(
          "GET", .address(session.address), what: "the state of \(what)", scopes: [.push(repository.path)],
          accepts: [400, 404, 405, 416]),
        to: endpoint, credentials: credentials)
    } catch {
      if error.code == .cancelled || error.code == .permissionDenied { throw error }
      return nil
    }
    guard answer.status == 204, let range = answer.head["Range"], let end = Self.end(ofRange: range), end < size else {
      return nil
    }
    let address = answer.head["Location"] == nil ? session.address : try location(answer)
    // `0-0` is also what registries say of an upload without a byte: then nothing was lost by beginning anew.
    return end == 0 ? nil : Session(address: address, offset: end + 1)
  }

  /// N of `0-N`, with `bytes=` before it from some.
  static func end(ofRange text: String) -> Int64? {
    let parts = (text.hasPrefix("bytes=") ? text.dropFirst(6) : Substring(text)).split(separator: "-")
    guard parts.count == 2, parts[0] == "0", let end = Int64(parts[1]), end >= 0 else { return nil }
    return end
  }
}
