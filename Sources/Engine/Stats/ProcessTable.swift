import Faults

/// What the host's ps prints of a container's processes.
struct ProcessTable: Sendable, Equatable {
  var titles: [String]
  var rows: [[String]]

  /// The rows of `text`, what ps printed, whose process is one of `pids`. The last column keeps its spaces.
  ///
  /// Fails with `invalidArgument` when the options have left the column PID out: then no row can be told from the host's.
  init(_ text: String, pids: Set<Int64>) throws {
    let lines = text.split(separator: "\n")
    titles = (lines.first ?? "").split(whereSeparator: \.isWhitespace).map(String.init)
    guard let column = titles.firstIndex(of: "PID") else {
      throw Fault(
        .invalidArgument, "Couldn't find PID field in ps output: leave the column PID in, as `-o pid,comm` does")
    }
    let last = titles.count - 1
    rows = lines.dropFirst().compactMap { line in
      let fields = line.split(whereSeparator: \.isWhitespace)
      guard fields.count > last, let pid = Int64(fields[column]), pids.contains(pid) else { return nil }
      return fields[..<last].map(String.init) + [fields[last...].joined(separator: " ")]
    }
  }

  /// The options of a request as ps gets them: divided at spaces as Docker does, `-ef` when there are none.
  ///
  /// Fails with `invalidArgument` for one that gives another column the title PID: rows of the host would be shown.
  static func options(_ arguments: [String]) throws -> [String] {
    let words = arguments.flatMap { $0.split(whereSeparator: \.isWhitespace).map(String.init) }
    for word in words {
      guard !word.utf8.contains(0) else { throw Fault(.invalidArgument, "ps options: a NUL byte is no part of one") }
      guard let equals = word.firstIndex(of: "="), word[equals...].contains("PID") else { continue }
      throw Fault(
        .invalidArgument, "specifying \"\(word)\" is not allowed: only ps's own column may have the title PID")
    }
    return words.isEmpty ? ["-ef"] : words
  }
}
