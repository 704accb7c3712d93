/// Lines of tab-separated cells in columns, as Go's tabwriter sets them for Docker: three spaces between columns, none
/// narrower than ten, the last cell of a line unpadded.
enum Table {
  /// The lines of `text` in columns.
  static func aligned(_ text: String) -> String {
    let rows = text.split(separator: "\n", omittingEmptySubsequences: false).map {
      $0.split(separator: "\t", omittingEmptySubsequences: false)
    }
    var widths: [Int] = []
    for row in rows {
      for (column, cell) in row.dropLast().enumerated() {
        if column == widths.count { widths.append(10) }
        widths[column] = max(widths[column], cell.count + 3)
      }
    }
    var result = ""
    result.reserveCapacity(text.utf8.count * 2)
    for (index, row) in rows.enumerated() {
      if index > 0 { result += "\n" }
      for (column, cell) in row.enumerated() {
        result += cell
        if column < row.count - 1 { result += String(repeating: " ", count: widths[column] - cell.count) }
      }
    }
    return result
  }
}
