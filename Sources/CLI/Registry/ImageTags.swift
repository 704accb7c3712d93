internal import JSONRPC
internal import OCI
internal import Protocol

/// `gantry image tags`: the tags of a repository at its registry.
struct ImageTags: Command {
  static let about = About(
    usage: "[OPTIONS] NAME", summary: "List the tags of a repository at its registry", arity: .exactly(1),
    completes: .image, discussion: "Fields of --format: Repository, Tag, Name.",
    examples: [
      ("gantry image tags localhost:5000/busybox", "Every tag"),
      ("gantry image tags -q localhost:5000/busybox", "Names that can be pulled"),
    ])
  static let flags: [Flag<ImageTags>] = [
    .value("format", nil, "string", "Format output: 'table', 'table TEMPLATE', 'json', or a Go template") {
      $0.list.format = $1
    },
    .value("limit", nil, "int", "Max number of tags (default 10000)") { $0.limit = try Quantity.integer($1) },
    .toggle("quiet", "q", "Only display names with their tags") { $0.list.quiet = $1 },
  ]

  var list = ListOptions()
  var limit: Int64?
  var name = ""

  mutating func take(operands: [String]) throws { name = operands[0] }

  func run(in session: Session) throws -> Int32 {
    let reference = try Reference(parsing: name)
    let answer = try session.call(
      GatewayAPI.Method.imageTags,
      .init(repository: name, limit: limit, auth: session.registryAuth(domain: reference.domain)))
    Output.write(try list.text(answer.tags.map { TagRow(repository: answer.repository, tag: $0) }))
    if !answer.isComplete { Output.note("There are more tags: --limit shows them.\n") }
    return 0
  }
}

/// One line of `image tags`.
struct TagRow: ListDisplayable {
  let repository: String
  let tag: String

  static let quietColumn = "Name"
  static let columns: [ListColumn<TagRow>] = [
    ListColumn("Repository", "REPOSITORY") { row, _ in row.repository },
    ListColumn("Tag", "TAG") { row, _ in row.tag },
    ListColumn("Name", "NAME", isDefault: false) { row, _ in "\(row.repository):\(row.tag)" },
  ]
}
