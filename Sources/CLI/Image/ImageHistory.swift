internal import JSONRPC
internal import Protocol

/// `gantry history`: the steps that made an image.
struct ImageHistory: Command {
  static let about = About(
    usage: "[OPTIONS] IMAGE", summary: "Show the history of an image", arity: .exactly(1), completes: .image,
    examples: [("gantry history --no-trunc busybox", "Each step in full")])
  static let flags: [Flag<ImageHistory>] =
    ListOptions.flags("image").map { $0.embedded { try $1(&$0.list) } } + [
      .toggle("human", "H", "Print sizes and dates in human readable format (default true)") { $0.human = $1 },
      .value("platform", nil, "string", "Show history for the given platform: os[/arch[/variant]]") {
        $0.platform = $1
      },
    ]

  var list = ListOptions()
  var human = true
  var platform: String?
  var image = ""

  mutating func take(operands: [String]) throws { image = operands[0] }

  func run(in session: Session) throws -> Int32 {
    let answer = try session.call(GatewayAPI.Method.imageHistory, .init(image: image, platform: platform))
    let now = Moment.now
    Output.write(try list.text(answer.entries.map { HistoryRow(entry: $0, human: human, now: now) }))
    return 0
  }
}

/// One line of `history`.
struct HistoryRow: ListDisplayable {
  let entry: HistoryEntry
  let human: Bool
  let now: Moment

  static let quietColumn = "ID"
  static let columns: [ListColumn<HistoryRow>] = [
    ListColumn("ID", "IMAGE") { row, whole in
      whole || row.entry.id == "<missing>" ? row.entry.id : Human.shortID(row.entry.id)
    },
    ListColumn("CreatedSince", "CREATED") { row, _ in
      let moment = Moment(seconds: row.entry.created)
      return row.human ? Human.ago(moment, now: row.now) : Human.date(moment)
    },
    ListColumn("CreatedBy", "CREATED BY") { row, whole in
      let text = row.entry.createdBy.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      return whole ? text : Human.ellipsis(text, 45)
    },
    ListColumn("Size", "SIZE") { row, _ in row.human ? Human.size(row.entry.size) : String(row.entry.size) },
    ListColumn("Comment", "COMMENT") { row, _ in row.entry.comment },
    ListColumn("CreatedAt", "CREATED AT", isDefault: false) { row, _ in Human.date(Moment(seconds: row.entry.created))
    },
  ]
}
