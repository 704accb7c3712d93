public import SystemPackage

/// What went through a network interface since it was made, as `/proc/PID/net/dev` tells it.
public struct InterfaceCounters: Sendable, Equatable {
  /// One direction.
  public struct Direction: Sendable, Equatable {
    public var bytes: UInt64
    public var packets: UInt64
    public var errors: UInt64
    public var dropped: UInt64
  }

  /// Such as `eth0`.
  public var name: String
  public var received: Direction
  public var sent: Direction

  /// The interfaces of the network namespace that process `pid` is in, loopback aside; nil when that is the caller's own.
  public static func ofContainer(pid: Int32) throws(Errno) -> [InterfaceCounters]? {
    guard try Files.readLink("/proc/\(pid)/ns/net") != Files.readLink("/proc/self/ns/net") else { return nil }
    return parse(try Files.readText("/proc/\(pid)/net/dev")).filter { $0.name != "lo" }
  }

  /// The lines of proc_pid_net(5), `dev`: two of titles, then a name, a colon, 8 numbers of receiving and 8 of sending.
  static func parse(_ text: String) -> [InterfaceCounters] {
    text.split(separator: "\n").dropFirst(2).compactMap { line in
      guard let colon = line.lastIndex(of: ":") else { return nil }
      let numbers = line[line.index(after: colon)...].split(separator: " ").compactMap { UInt64($0) }
      guard numbers.count >= 16 else { return nil }
      func direction(_ first: Int) -> Direction {
        Direction(
          bytes: numbers[first], packets: numbers[first + 1], errors: numbers[first + 2], dropped: numbers[first + 3])
      }
      let name = line[..<colon].drop { $0 == " " }
      return InterfaceCounters(name: String(name), received: direction(0), sent: direction(8))
    }
  }
}
