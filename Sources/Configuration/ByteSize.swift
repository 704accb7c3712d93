internal import Faults
internal import JSONRPC

/// Sizes as people write them: `50GB` in powers of 1000, `50GiB` in powers of 1024, or plain bytes.
enum ByteSize {
  private static let units: [(String, Int64)] = [
    ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40), ("pib", 1 << 50),
    ("kb", 1_000), ("mb", 1_000_000), ("gb", 1_000_000_000), ("tb", 1_000_000_000_000),
    ("pb", 1_000_000_000_000_000), ("b", 1),
  ]

  /// The bytes that `value` means; more than none.
  static func parse(_ value: JSONValue) throws(Fault) -> Int64 {
    if let bytes = value.intValue, bytes > 0 { return bytes }
    if let text = value.stringValue, let bytes = parse(text) { return bytes }
    throw Fault(.invalidArgument, "write a size such as \"50GB\", \"500MiB\" or a number of bytes above 0")
  }

  private static func parse(_ text: String) -> Int64? {
    let lower = text.lowercased()
    let (suffix, factor) = units.first { lower.hasSuffix($0.0) } ?? ("", 1)
    let digits = lower.dropLast(suffix.count).split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    func number(_ part: Substring) -> Int64? {
      part.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int64(part) : nil
    }
    guard let whole = number(digits[0]) else { return nil }
    var result = whole.multipliedReportingOverflow(by: factor)
    if digits.count == 2 {
      guard digits[1].count <= 3, let fraction = number(digits[1]) else { return nil }
      var scale: Int64 = 1
      for _ in 0..<digits[1].count { scale *= 10 }
      result.partialValue &+= factor * fraction / scale
    }
    return result.overflow || result.partialValue <= 0 ? nil : result.partialValue
  }
}
