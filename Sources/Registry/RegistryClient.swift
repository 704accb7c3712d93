public import Faults
internal import Synchronization

/// Speaks with registries: finds the endpoint, proves who asks, follows redirects, waits and repeats where that helps.
///
///     send(request, registry) ── endpoints in order (`RegistryHosts`) ──► first that answers
///       one endpoint: authorize ► exchange ► redirects ► 401: challenge, token, once more ► 429, 5xx, cut: pause, again
///
/// What it never does: send credentials to another host than the one they are for (a redirect, an upload's address, a
/// token realm outside of the registry's domain), follow a redirect from https to http, or keep more of an answer in memory
/// than `RegistrySettings` says. One client serves all calls of a process; everything that it remembers is in memory.
public final class RegistryClient: Sendable {
  public let settings: RegistrySettings
  public let hosts: any RegistryHosts
  let transport: HTTPTransport
  let authorizer: Authorizer
  /// Endpoints that could not be reached, by origin, and until when they are asked last.
  private let avoided = Mutex<[String: ContinuousClock.Instant]>([:])

  public init(
    hosts: any RegistryHosts = DefaultHosts(), settings: RegistrySettings = RegistrySettings(),
    proxies: ProxyRules = .environment
  ) {
    self.settings = settings
    self.hosts = hosts
    transport = HTTPTransport(settings: settings, proxies: proxies)
    authorizer = Authorizer(transport: transport, settings: settings)
  }

  // MARK: Sending

  /// Sends `request` to the endpoints of `registry` that can do `capability`, in order, until one answers as wanted.
  ///
  /// - Parameters:
  ///   - credentials: those of the registry itself; mirrors never see them.
  ///   - sink: takes the body; it hears `begin` anew for every attempt.
  /// - Returns: the answer and the endpoint that gave it, for requests that must follow to the same one.
  /// - Throws: the refusal of the registry itself, or of the last endpoint: `notFound`, `permissionDenied`, `unavailable`
  ///   (not reached, rate limit, status 5xx), `limitExceeded`, `corrupt`, `cancelled`.
  public func send(
    _ request: RegistryRequest, registry: String, needing capability: RegistryEndpoint.Capabilities,
    credentials: RegistryCredentials = .anonymous, sink: (any BodySink)? = nil
  ) async throws(Fault) -> (answer: HTTPAnswer, endpoint: RegistryEndpoint) {
    var last: Fault?
    var isFromRegistry = false
    for endpoint in try endpoints(of: registry, needing: capability) {
      do throws(EndpointFailure) {
        return (try await attempt(request, at: endpoint, credentials, sink), endpoint)
      } catch {
        switch error.cause {
        case .cancelled, .final: throw error.fault
        case .unreached:
          // Who answered in any way knows more; and what the registry says counts more than what a mirror does.
          if last == nil || (endpoint.isRegistry && !isFromRegistry) { last = error.fault }
        case .connection: last = error.fault
        case .status(let status):
          // What the registry itself says is final, but for failures of its own.
          if endpoint.isRegistry, status < 500 { throw error.fault }
          last = error.fault
        }
        isFromRegistry = isFromRegistry || endpoint.isRegistry
      }
    }
    throw last ?? Fault(.unavailable, "no endpoint of the registry \(registry) is configured for this")
  }

  /// Sends `request` to `endpoint` alone: an upload goes on where it began.
  public func send(
    _ request: RegistryRequest, to endpoint: RegistryEndpoint, credentials: RegistryCredentials = .anonymous,
    sink: (any BodySink)? = nil
  ) async throws(Fault) -> HTTPAnswer {
    do throws(EndpointFailure) {
      return try await attempt(request, at: endpoint, credentials, sink)
    } catch {
      throw error.fault
    }
  }

  /// Fetches `address`, which an image's foreign layer names: nobody's credentials, no link-local address, no metadata
  /// service, wherever it redirects.
  public func fetchForeign(
    _ address: WebAddress, what: String, fields: [HTTPField] = [], accepts: Set<Int> = [], sink: (any BodySink)? = nil
  ) async throws(Fault) -> HTTPAnswer {
    let endpoint = RegistryEndpoint(base: address.with(target: "/"), tls: tls(for: address), isRegistry: false)
    let request = RegistryRequest(
      "GET", .address(address), what: what, scopes: [], fields: fields, accepts: accepts, milliseconds: 0)
    do throws(EndpointFailure) {
      return try await attempt(request, at: endpoint, .anonymous, sink, isForeign: true)
    } catch {
      throw error.fault
    }
  }

  /// The endpoints of `registry` that can do `capability`; those that could not be reached a moment ago come last.
  public func endpoints(
    of registry: String, needing capability: RegistryEndpoint.Capabilities
  ) throws(Fault) -> [RegistryEndpoint] {
    let all = try hosts.endpoints(of: registry).filter { $0.capabilities.contains(capability) }
    let now = ContinuousClock.now
    let bad = avoided.withLock { avoided in
      avoided = avoided.filter { $0.value > now }
      return Set(avoided.keys)
    }
    return all.filter { !bad.contains($0.base.origin) } + all.filter { bad.contains($0.base.origin) }
  }

  func noteUnreachable(_ endpoint: RegistryEndpoint) {
    let until = ContinuousClock.now + .seconds(settings.avoidSeconds)
    avoided.withLock { $0[endpoint.base.origin] = until }
  }

  func noteReached(_ endpoint: RegistryEndpoint) { avoided.withLock { $0[endpoint.base.origin] = nil } }

  /// How TLS is spoken with an address that a redirect or a manifest named: as with an endpoint there, if there is one.
  func tls(for address: WebAddress) -> RegistryEndpoint.TLS {
    let known = try? hosts.endpoints(of: address.authority).first { $0.base.hasSameOrigin(as: address) }
    return known?.tls ?? RegistryEndpoint.TLS()
  }
}
