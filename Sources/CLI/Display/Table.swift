/// Lines of tab-separated cells in columns, as Go's tabwriter sets them for Docker: three spaces between columns, none
/// narrower than ten or what is given, the last cell of a line unpadded. A character is a Unicode scalar, as there.
enum Table {
  private static let gap = 3
  private static let tab = UInt8(ascii: "\t")
  private static let newline = UInt8(ascii: "\n")

  /// The lines of `text` in columns of `narrowest` characters at least.
  static func aligned(_ text: String, narrowest: Int = 10) -> String {
    var text = text
    return text.withUTF8 { bytes in
      var widths: [Int] = []
      eachCell(bytes) { column, cell, isLast in
        if isLast { return }
        if column == widths.count { widths.append(narrowest) }
        widths[column] = max(widths[column], width(cell) + gap)
      }
      var result: [UInt8] = []
      result.reserveCapacity(bytes.count * 2)
      eachCell(bytes) { column, cell, isLast in
        if column == 0, cell.startIndex > 0 { result.append(newline) }
        result += cell
        if !isLast { result.append(contentsOf: repeatElement(UInt8(ascii: " "), count: widths[column] - width(cell))) }
      }
      return String(decoding: result, as: UTF8.self)
    }
  }

  /// Calls `body` with each cell: its column, its bytes, and whether it is the last of its line.
  private static func eachCell(
    _ bytes: UnsafeBufferPointer<UInt8>, _ body: (Int, Slice<UnsafeBufferPointer<UInt8>>, Bool) -> Void
  ) {
    var start = 0
    var column = 0
    for index in 0...bytes.count {
      let byte = index < bytes.count ? bytes[index] : newline
      guard byte == tab || byte == newline else { continue }
      body(column, bytes[start..<index], byte == newline)
      start = index + 1
      column = byte == tab ? column + 1 : 0
    }
  }

  private static func width(_ cell: Slice<UnsafeBufferPointer<UInt8>>) -> Int {
    cell.reduce(0) { $1 & 0xC0 == 0x80 ? $0 : $0 + 1 }
  }
}
