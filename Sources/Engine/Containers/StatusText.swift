import Protocol

/// The words of `docker ps`'s STATUS column.
enum StatusText {
  /// A length of time as people say it: `Less than a second`, `5 seconds`, `About a minute`, `3 hours`, `2 weeks`.
  static func duration(nanoseconds: Int64) -> String {
    let seconds = max(0, nanoseconds) / 1_000_000_000
    switch seconds {
    case 0: return "Less than a second"
    case 1: return "1 second"
    case 2..<60: return "\(seconds) seconds"
    default: break
    }
    let minutes = seconds / 60
    if minutes == 1 { return "About a minute" }
    if minutes < 60 { return "\(minutes) minutes" }
    let hours = (seconds + 1800) / 3600
    if hours == 1 { return "About an hour" }
    if hours < 48 { return "\(hours) hours" }
    if hours < 24 * 7 * 2 { return "\(hours / 24) days" }
    if hours < 24 * 30 * 2 { return "\(hours / 24 / 7) weeks" }
    if hours < 24 * 365 * 2 { return "\(hours / 24 / 30) months" }
    return "\(seconds / 3600 / 24 / 365) years"
  }

  /// The status of a container at `now`: `Up 5 seconds (healthy)`, `Exited (0) 3 minutes ago`, `Restarting (1) …`, `Created`.
  static func status(_ state: ContainerState, health: HealthStatus? = nil, now: Timestamp) -> String {
    func ago(_ moment: Timestamp) -> String { duration(nanoseconds: now.nanoseconds - moment.nanoseconds) }
    switch state {
    case .created, .starting: return "Created"
    case .running(let running):
      let up = "Up \(ago(running.startedAt))"
      guard let health else { return up }
      return health == .starting ? "\(up) (health: starting)" : "\(up) (\(health.rawValue))"
    case .paused(let running): return "Up \(ago(running.startedAt)) (Paused)"
    case .exited(let exit) where exit.startedAt == nil: return "Created"
    case .exited(let exit): return "Exited (\(exit.code)) \(ago(exit.finishedAt)) ago"
    case .restarting(let waiting): return "Restarting (\(waiting.last.code)) \(ago(waiting.last.finishedAt)) ago"
    case .removing: return "Removal In Progress"
    case .dead: return "Dead"
    }
  }
}
