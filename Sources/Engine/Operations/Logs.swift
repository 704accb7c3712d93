import Faults
import Protocol

extension Engine {
  /// Offers a container's log as a stream.
  func logs(_ container: Container, _ params: GatewayAPI.ContainerLogsParams) throws -> StreamAddress {
    let definition = container.definition
    guard params.stdout || params.stderr else {
      throw Fault(.invalidArgument, "Bad parameters: you must choose at least one stream")
    }
    let settings = try LogSettings(definition.hostConfig)
    guard settings.readable else {
      throw Fault(
        .unsupported,
        "configured logging driver does not support reading: the container was created with --log-driver "
          + settings.driver.rawValue + (settings.cacheDisabled ? " and cache-disabled" : ""))
    }
    var query = LogQuery()
    query.stdout = params.stdout
    query.stderr = params.stderr
    query.follow = params.follow
    query.timestamps = params.timestamps ?? false
    query.details = params.details ?? false
    query.framed = !definition.terminal
    query.since = try moment("since", params.since)
    query.until = try moment("until", params.until)
    if let tail = params.tail, !tail.isEmpty, tail != "all" {
      guard let count = Int(tail) else {
        throw Fault(.invalidArgument, "tail: \"\(tail)\" is not a number of lines, nor all")
      }
      query.tail = count < 0 ? nil : count
    }
    let stream = LogStream(path: settings.path(definition.files), query: query, followers: container.followers) {
      switch container.state {
      case .running, .paused, .starting: true
      default: false
      }
    }
    return StreamAddress(socket: streams.path, token: streams.offer { stream.run($0) })
  }

  /// A moment of `since` and `until`; nil, "" and 0 are none.
  func moment(_ field: String, _ text: String?) throws -> Timestamp? {
    guard let text, !text.isEmpty, text != "0" else { return nil }
    guard let moment = Timestamp(argument: text) else {
      throw Fault(
        .invalidArgument,
        "\(field): \"\(text)\" is no time: give seconds since 1970, 2026-11-24T00:15:57Z, or a length of time such as 10m"
      )
    }
    return moment
  }
}
