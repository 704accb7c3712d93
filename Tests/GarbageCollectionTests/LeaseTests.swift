import Faults
import GRDB
import GarbageCollection
import Testing

@Suite struct LeaseTests {
  typealias Moment = LeaseRows.Moment

  private func database() throws -> DatabaseQueue {
    let queue = try DatabaseQueue()
    try queue.write { try $0.execute(sql: LeaseRows.schema) }
    return queue
  }

  @Test func aLeaseHoldsUntilItIsClosed() throws {
    try database().write { database in
      try LeaseRows.open(database, "pull", seconds: 60)
      try LeaseRows.hold(database, "pull", ["a", "b"])
      try LeaseRows.hold(database, "pull", ["b", "c"])
      let leases = try LeaseRows.all(database)
      #expect(leases.map(\.name) == ["pull"])
      #expect(leases[0].holds == ["a", "b", "c"])
      #expect((50...60).contains(leases[0].secondsLeft))
      #expect(try LeaseRows.close(database, "pull") == ["a", "b", "c"])
      #expect(try LeaseRows.all(database).isEmpty)
      #expect(try LeaseRows.close(database, "pull") == [])
    }
  }

  @Test func aLeaseEndsByItself() throws {
    try database().write { database in
      let start = Moment(boot: "one", seconds: 100)
      try LeaseRows.open(database, "l", seconds: 10, now: start)
      try LeaseRows.hold(database, "l", ["a"], now: Moment(boot: "one", seconds: 109))
      try LeaseRows.open(database, "l", seconds: 10, now: Moment(boot: "one", seconds: 109))
      #expect(try LeaseRows.all(database, now: Moment(boot: "one", seconds: 118)).map(\.holds) == [["a"]])
      let late = Moment(boot: "one", seconds: 119.5)
      #expect(try LeaseRows.all(database, now: late).isEmpty)
      #expect(throws: Fault.self) { try LeaseRows.hold(database, "l", ["b"], now: late) }
      // Opened anew it is another lease, with nothing of the first.
      try LeaseRows.open(database, "l", seconds: 10, now: late)
      #expect(try LeaseRows.all(database, now: late).map(\.holds) == [[]])
    }
  }

  @Test func noLeaseOutlivesTheMachine() throws {
    try database().write { database in
      try LeaseRows.open(database, "l", seconds: 3600, now: Moment(boot: "one", seconds: 100))
      #expect(try LeaseRows.all(database, now: Moment(boot: "two", seconds: 5)).isEmpty)
    }
  }

  @Test(arguments: [("", 1.0), ("a b", 1), ("a\n", 1), ("ä", 1), ("l", 0), ("l", -1), ("l", 3601), ("l", .infinity)])
  func whatCannotBeIsRefused(_ name: String, _ seconds: Double) throws {
    try database().write { database in
      #expect(throws: Fault.self) { try LeaseRows.open(database, name, seconds: seconds) }
    }
  }
}
