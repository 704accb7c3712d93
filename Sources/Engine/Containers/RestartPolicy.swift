import Faults
import Protocol

/// When a container is started again after its end (`--restart`).
enum RestartPolicy: Sendable, Equatable {
  case never
  case always
  /// As `always`, but a container that a person stopped stays so over a reboot too.
  case unlessStopped
  /// When its exit code is not 0, at most that often; 0 is without a limit.
  case onFailure(most: Int)

  /// Reads and checks what a request says; the refusals are Docker's.
  init(_ wire: GatewayAPI.RestartPolicy?) throws {
    let name = wire?.name?.rawValue ?? ""
    let count = wire?.maximumRetryCount ?? 0
    switch name {
    case "", "no", "always", "unless-stopped":
      guard count == 0 || name.isEmpty else {
        throw Fault(
          .invalidArgument,
          "invalid restart policy: maximum retry count can only be used with 'on-failure'"
            + (count < 0 ? " and cannot be negative" : ""))
      }
      self = name == "always" ? .always : name == "unless-stopped" ? .unlessStopped : .never
    case "on-failure":
      guard count >= 0 else {
        throw Fault(.invalidArgument, "invalid restart policy: maximum retry count cannot be negative")
      }
      self = .onFailure(most: Int(clamping: count))
    default:
      throw Fault(
        .invalidArgument,
        "invalid restart policy: unknown policy '\(name)'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'")
    }
  }

  /// As the API and the database have it.
  var wire: GatewayAPI.RestartPolicy {
    switch self {
    case .never: .init(name: .no, maximumRetryCount: 0)
    case .always: .init(name: .always, maximumRetryCount: 0)
    case .unlessStopped: .init(name: .unlessStopped, maximumRetryCount: 0)
    case .onFailure(let most): .init(name: .onFailure, maximumRetryCount: Int64(most))
    }
  }
}

/// What decides whether and when a container is started again: its policy, and what has happened so far.
///
/// The numbers are Docker's: 100 ms before the first start, twice as long before each further one, a minute at most, and
/// from the beginning after a run of 10 seconds.
struct Restarts: Sendable, Equatable {
  private static let first = 100
  private static let longest = 60_000
  /// Seconds of a run after which the waiting begins anew.
  private static let steady: Int64 = 10

  var policy: RestartPolicy
  /// A person has stopped it since they last started it.
  var stoppedByHand = false
  /// Starts by policy since a person last started it.
  var count = 0
  /// Milliseconds that the last start by policy has waited, or waits.
  var backoff = 0
  /// The next end is followed by a start, whatever the policy says: its health asked for that.
  var again = false

  init(_ policy: RestartPolicy = .never) { self.policy = policy }

  /// A person starts it: all of the past is forgotten.
  mutating func startedByHand() { self = Restarts(policy) }

  /// Decides after an end with `code` of a run of so many nanoseconds: milliseconds until the next start; nil for none.
  mutating func next(code: Int, ran nanoseconds: Int64) -> Int? {
    guard !stoppedByHand else {
      again = false
      return nil
    }
    if again {
      again = false
      count += 1
      backoff = 0
      return 0
    }
    switch policy {
    case .never: return nil
    case .onFailure(let most): guard code != 0, most == 0 || count < most else { return nil }
    case .always, .unlessStopped: break
    }
    if nanoseconds >= Self.steady * 1_000_000_000 { backoff = 0 }
    backoff = backoff == 0 ? Self.first : min(backoff * 2, Self.longest)
    count += 1
    return backoff
  }

  /// Whether an ended container is started when the engine is: after a reboot `always` means also what a person stopped.
  func startsWithEngine(afterReboot: Bool) -> Bool {
    switch policy {
    case .never, .onFailure: false
    case .unlessStopped: !stoppedByHand
    case .always: afterReboot || !stoppedByHand
    }
  }
}
