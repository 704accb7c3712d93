internal import JSONRPC
internal import Protocol

/// `gantry search`: images at Docker Hub.
struct Search: Command {
  static let about = About(
    usage: "[OPTIONS] TERM", summary: "Search Docker Hub for images", arity: .exactly(1),
    discussion: """
      `host/TERM` asks that registry, if it answers searches as Docker Hub does.
      Filters: stars=NUMBER, is-official=BOOLEAN, is-automated=BOOLEAN.
      Fields of --format: Name, Description, StarCount, IsOfficial, IsAutomated.
      """,
    examples: [
      ("gantry search --filter is-official=true --limit 5 busybox", "Five official images at most"),
      ("gantry search --format '{{.Name}} {{.StarCount}}' busybox", "Chosen fields"),
    ])
  static let flags: [Flag<Search>] = [
    .value("filter", "f", "filter", "Filter output based on conditions provided") {
      try Filters.add($1, to: &$0.filters)
    },
    .value("format", nil, "string", "Format output: 'table', 'table TEMPLATE', 'json', or a Go template") {
      $0.list.format = $1
    },
    .value("limit", nil, "int", "Max number of search results (default 25)") { $0.limit = try Quantity.integer($1) },
    .toggle("no-trunc", nil, "Don't truncate output") { $0.list.whole = $1 },
  ]

  var list = ListOptions()
  var filters: [String: [String]] = [:]
  var limit: Int64?
  var term = ""

  mutating func take(operands: [String]) throws { term = operands[0] }

  func run(in session: Session) throws -> Int32 {
    // Credentials go to the registry that is asked: a host before the first slash, else Docker Hub.
    let first = term.contains("/") ? String(term.prefix { $0 != "/" }) : ""
    let isHost = first == "localhost" || first.contains(".") || first.contains(":")
    let answer = try session.call(
      GatewayAPI.Method.imageSearch,
      .init(
        term: term, limit: limit, filters: filters.isEmpty ? nil : filters,
        auth: session.registryAuth(domain: isHost ? first : "docker.io")))
    Output.write(try list.text(answer.results.map { SearchRow(result: $0) }))
    return 0
  }
}

/// One line of `search`.
struct SearchRow: ListDisplayable {
  let result: FoundRepository

  static let quietColumn = "Name"
  static let columns: [ListColumn<SearchRow>] = [
    ListColumn("Name", "NAME") { row, _ in row.result.name },
    ListColumn("Description", "DESCRIPTION") { row, whole in
      let text = row.result.description.split(whereSeparator: \.isNewline).joined(separator: " ")
      return whole ? text : Human.ellipsis(text, 45)
    },
    ListColumn("StarCount", "STARS") { row, _ in String(row.result.starCount) },
    ListColumn("IsOfficial", "OFFICIAL") { row, _ in row.result.isOfficial ? "[OK]" : "" },
    ListColumn("IsAutomated", "AUTOMATED", isDefault: false) { row, _ in row.result.isAutomated ? "[OK]" : "" },
  ]
}
