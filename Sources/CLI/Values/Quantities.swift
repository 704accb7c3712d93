/// Reads amounts as Docker's flags spell them.
enum Quantity {
  /// Bytes: `512m`, `1.5g`, `64KiB`, `1024`; every unit is a power of 1024, in either case (docker/go-units RAMInBytes).
  static func bytes(_ text: String) throws -> Int64 {
    var rest = Substring(text)
    let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    rest = rest.dropFirst(number.count)
    if rest.first == " " { rest = rest.dropFirst() }
    var unit = rest.lowercased()
    if unit.hasSuffix("b") { unit.removeLast() }
    if unit.count == 2, unit.hasSuffix("i") { unit.removeLast() }
    let powers: [String: Double] = ["": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5]
    guard let power = powers[unit], let value = Double(number), number.first != "." else {
      throw CommandFailure("invalid size: '\(text)' (for example: 512m, 1.5g, 65536)")
    }
    var bytes = value
    for _ in 0..<Int(power) { bytes *= 1024 }
    guard bytes < Double(Int64.max) else { throw CommandFailure("invalid size: '\(text)' is too large") }
    return Int64(bytes)
  }

  /// Bytes, or -1 for "without a limit" (`--memory-swap`).
  static func bytesOrUnlimited(_ text: String) throws -> Int64 {
    text == "-1" ? -1 : try bytes(text)
  }

  /// A number of processors (`0.5`, `2`) in billionths of one.
  static func nanoCPUs(_ text: String) throws -> Int64 {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let fraction = parts.count == 2 ? parts[1] : ""
    guard parts[0].allSatisfy({ $0.isASCII && $0.isNumber }), fraction.allSatisfy({ $0.isASCII && $0.isNumber }),
      !(parts[0].isEmpty && fraction.isEmpty), fraction.count <= 9,
      let whole = parts[0].isEmpty ? 0 : Int64(parts[0]), whole < 1_000_000,
      let nano = Int64(fraction + String(repeating: "0", count: 9 - fraction.count))
    else { throw CommandFailure("\"\(text)\" is not a number of processors (for example: 0.5)") }
    return whole * 1_000_000_000 + nano
  }

  /// A whole number.
  static func integer(_ text: String) throws -> Int64 {
    guard let value = Int64(text) else { throw CommandFailure("\"\(text)\" is not a whole number") }
    return value
  }

  /// A whole number in `range`.
  static func integer(_ text: String, in range: ClosedRange<Int64>) throws -> Int64 {
    let value = try integer(text)
    guard range.contains(value) else {
      throw CommandFailure("\(value) is not from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  /// A span of time as Go writes it (`1h30m`, `1.5s`, `100ms`), in nanoseconds.
  static func duration(_ text: String) throws -> Int64 {
    let units: [(String, Double)] = [
      ("ns", 1), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
    ]
    let failure = CommandFailure("\"\(text)\" is not a duration (for example: 10s, 1h30m)")
    var rest = Substring(text)
    let negative = rest.first == "-"
    if negative || rest.first == "+" { rest = rest.dropFirst() }
    if rest == "0" { return 0 }
    guard !rest.isEmpty else { throw failure }
    var total = 0.0
    while !rest.isEmpty {
      let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
      rest = rest.dropFirst(number.count)
      let unit = rest.prefix { !($0.isNumber || $0 == ".") }
      rest = rest.dropFirst(unit.count)
      guard let value = Double(number), let scale = units.first(where: { $0.0 == unit })?.1 else { throw failure }
      total += value * scale
    }
    guard total < Double(Int64.max) else { throw failure }
    return Int64(negative ? -total : total)
  }
}
