internal import Faults
public import GRDB
internal import Glibc
internal import Linux
internal import SystemPackage

/// A lease: work in progress that spans calls, and what it has made or counts on, which stays while the lease is valid.
public struct Lease: Sendable, Equatable {
  /// The name that its holder chose.
  public var name: String
  /// Seconds until it ends by itself.
  public var secondsLeft: Double
  /// What it holds.
  public var holds: [String]
}

/// The leases of a service, in its own database, so that they outlive the service's restart.
///
///     lease       name → boot, deadline
///     lease_hold  (lease, thing)
///
/// Deadlines are by the clock that counts from the machine's start (CLOCK_BOOTTIME), with the start's id: a jump of the wall
/// clock neither ends a lease nor makes it eternal, and after a restart of the machine, which no holder survives, none is
/// valid.
public enum LeaseRows {
  /// The longest time that a lease may be asked for: its holder renews it while it works.
  public static let longest: Double = 3600

  /// The statement for the owner's next migration.
  public static let schema = """
    CREATE TABLE lease (
      name TEXT NOT NULL PRIMARY KEY, boot TEXT NOT NULL, deadline REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE lease_hold (
      lease TEXT NOT NULL REFERENCES lease (name) ON DELETE CASCADE, thing TEXT NOT NULL,
      PRIMARY KEY (lease, thing)
    ) STRICT, WITHOUT ROWID;
    """

  /// The machine's start and the seconds since then.
  public struct Moment: Sendable, Equatable {
    /// The id of the start.
    public var boot: String
    /// Seconds since then, sleep included.
    public var seconds: Double

    /// A moment.
    public init(boot: String, seconds: Double) {
      self.boot = boot
      self.seconds = seconds
    }

    /// Now.
    public static func now() -> Moment {
      var time = timespec()
      clock_gettime(CLOCK_BOOTTIME, &time)
      return Moment(boot: startID, seconds: Double(time.tv_sec) + Double(time.tv_nsec) / 1e9)
    }

    private static let startID: String = {
      let text = (try? Files.read("/proc/sys/kernel/random/boot_id", limit: 64)) ?? []
      return String(decoding: text.prefix { $0 > 32 }, as: UTF8.self)
    }()
  }

  /// Opens the lease `name` for `seconds` from now, or renews it.
  ///
  /// Throws `invalidArgument` for a name or a time that cannot be.
  public static func open(
    _ database: Database, _ name: String, seconds: Double, now: Moment = .now()
  ) throws {
    guard (1...128).contains(name.utf8.count), name.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
      throw Fault(.invalidArgument, "a lease's name has 1 to 128 plain characters without spaces")
    }
    guard seconds > 0, seconds <= longest else {
      throw Fault(.invalidArgument, "a lease lasts up to \(Int(longest)) s, not \(seconds) s; renew it while you work")
    }
    try expire(database, now: now)
    try database.execute(
      sql: """
        INSERT INTO lease VALUES (?, ?, ?)
        ON CONFLICT (name) DO UPDATE SET boot = excluded.boot, deadline = excluded.deadline
        """, arguments: [name, now.boot, now.seconds + seconds])
  }

  /// Holds `things` under the lease `name`.
  ///
  /// Throws `notFound` when there is no such lease any more: what it held may be gone.
  public static func hold(_ database: Database, _ name: String, _ things: [String], now: Moment = .now()) throws {
    try expire(database, now: now)
    guard try Bool.fetchOne(database, sql: "SELECT 1 FROM lease WHERE name = ?", arguments: [name]) != nil else {
      throw Fault(.notFound, "there is no lease \(name.prefix(128)): it was closed, or it ended before it was renewed")
    }
    for thing in things {
      try database.execute(
        sql: "INSERT INTO lease_hold VALUES (?, ?) ON CONFLICT DO NOTHING", arguments: [name, thing])
    }
  }

  /// Closes the lease `name`, if there is one; returns what it held.
  @discardableResult
  public static func close(_ database: Database, _ name: String) throws -> [String] {
    let held = try String.fetchAll(
      database, sql: "SELECT thing FROM lease_hold WHERE lease = ?", arguments: [name])
    try database.execute(sql: "DELETE FROM lease WHERE name = ?", arguments: [name])
    return held
  }

  /// The valid leases, by name.
  public static func all(_ database: Database, now: Moment = .now()) throws -> [Lease] {
    try Row.fetchAll(
      database, sql: "SELECT name, deadline FROM lease WHERE boot = ? AND deadline > ? ORDER BY name",
      arguments: [now.boot, now.seconds]
    ).map { row in
      let name: String = row["name"]
      return Lease(
        name: name, secondsLeft: row["deadline"] - now.seconds,
        holds: try String.fetchAll(
          database, sql: "SELECT thing FROM lease_hold WHERE lease = ? ORDER BY thing", arguments: [name]))
    }
  }

  private static func expire(_ database: Database, now: Moment) throws {
    try database.execute(
      sql: "DELETE FROM lease WHERE boot <> ? OR deadline <= ?", arguments: [now.boot, now.seconds])
  }
}
