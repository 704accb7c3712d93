internal import JSONRPC
internal import Protocol

/// `gantry images`: the images there are.
struct ImageList: Command {
  static let about = About(
    usage: "[OPTIONS] [REPOSITORY[:TAG]]", summary: "List images", arity: .atMost(1), completes: .image,
    discussion: """
      Filters: dangling, label, before, since, reference.
      Fields of --format: Repository, Tag, Digest, ID, CreatedSince, CreatedAt, Size, Containers, SharedSize,
      UniqueSize, VirtualSize.
      """,
    examples: [
      ("gantry images", "All images"), ("gantry images -q", "Their ids"),
      ("gantry images --format '{{.Repository}}:{{.Tag}} {{.Size}}'", "Chosen fields"),
    ])
  static let flags: [Flag<ImageList>] =
    ListOptions.flags("image").map { $0.embedded { try $1(&$0.list) } } + [
      .toggle("all", "a", "Show all images (default hides intermediate and dangling images)") { $0.all = $1 },
      .toggle("digests", nil, "Show digests") { $0.digests = $1 },
      .value("filter", "f", "filter", "Filter output based on conditions provided") {
        try Filters.add($1, to: &$0.filters)
      },
      .unbuilt("tree", nil, .tree),
    ]

  var list = ListOptions()
  var all = false
  var digests = false
  var filters: [String: [String]] = [:]
  var reference: String?

  mutating func take(operands: [String]) throws { reference = operands.first }

  func run(in session: Session) throws -> Int32 {
    let answer = try session.call(
      GatewayAPI.Method.imageList,
      .init(all: all ? true : nil, filters: filters.isEmpty ? nil : filters, reference: reference))
    let now = Moment.now
    var rows = answer.images.flatMap { ImageRow.rows(of: $0, digests: digests, now: now) }
    var options = list
    if digests { options.extraColumns = ["Digest"] }
    if options.quiet, options.format == nil {
      // One line an image, however many names it has.
      var seen: Set<String> = []
      rows = rows.filter { seen.insert($0.summary.id).inserted }
    }
    Output.write(try options.text(rows))
    return 0
  }
}

/// One line of `images`: one name of an image.
struct ImageRow: ListDisplayable {
  let summary: ImageSummary
  let repository: String
  let tag: String
  let digest: String
  let now: Moment

  /// A line for each name; one for an image without.
  static func rows(of summary: ImageSummary, digests: Bool, now: Moment) -> [ImageRow] {
    func digest(of repository: String) -> String {
      summary.repoDigests.first { $0.hasPrefix(repository + "@") }.map { String($0.dropFirst(repository.count + 1)) }
        ?? "<none>"
    }
    let named = summary.repoTags.filter { $0 != "<none>:<none>" }.map { name in
      let colon = name.lastIndex(of: ":") ?? name.endIndex
      let repository = String(name[..<colon])
      let tag = colon == name.endIndex ? "" : String(name[name.index(after: colon)...])
      return ImageRow(summary: summary, repository: repository, tag: tag, digest: digest(of: repository), now: now)
    }
    if !named.isEmpty { return named }
    let byDigest = summary.repoDigests.filter { !$0.hasPrefix("<none>") }.map { name in
      let at = name.firstIndex(of: "@") ?? name.endIndex
      let digest = at == name.endIndex ? "<none>" : String(name[name.index(after: at)...])
      return ImageRow(summary: summary, repository: String(name[..<at]), tag: "<none>", digest: digest, now: now)
    }
    if !byDigest.isEmpty { return byDigest }
    return [ImageRow(summary: summary, repository: "<none>", tag: "<none>", digest: "<none>", now: now)]
  }

  static let quietColumn = "ID"
  static let columns: [ListColumn<ImageRow>] = [
    ListColumn("Repository", "REPOSITORY") { row, _ in row.repository },
    ListColumn("Tag", "TAG") { row, _ in row.tag },
    ListColumn("Digest", "DIGEST", isDefault: false) { row, _ in row.digest },
    ListColumn("ID", "IMAGE ID") { $1 ? $0.summary.id : Human.shortID($0.summary.id) },
    ListColumn("CreatedSince", "CREATED") { row, _ in row.created.map { Human.ago($0, now: row.now) } ?? "N/A" },
    ListColumn("CreatedAt", "CREATED AT", isDefault: false) { row, _ in row.created.map(Human.date) ?? "N/A" },
    ListColumn("Size", "SIZE") { row, _ in Human.size(row.summary.size) },
    ListColumn("Containers", "CONTAINERS", isDefault: false) { _, _ in "N/A" },
    ListColumn("SharedSize", "SHARED SIZE", isDefault: false) { _, _ in "N/A" },
    ListColumn("UniqueSize", "UNIQUE SIZE", isDefault: false) { _, _ in "N/A" },
    ListColumn("VirtualSize", "VIRTUAL SIZE", isDefault: false) { row, _ in Human.size(row.summary.size) },
  ]

  private var created: Moment? {
    Moment(rfc3339: summary.created).flatMap { $0.seconds > -62_000_000_000 ? $0 : nil }
  }
}
