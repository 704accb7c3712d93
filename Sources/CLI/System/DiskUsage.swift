internal import JSONRPC
internal import Protocol

/// `gantry system df`: what images, containers and volumes take on disk.
struct SystemDiskUsage: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Show disk usage",
    discussion: """
      Fields of --format: Type, TotalCount, Active, Size, Reclaimable; with -v: Images, Containers, Volumes.
      """,
    examples: [
      ("gantry system df", "One line for each kind of thing"), ("gantry system df -v", "One line for each thing"),
    ])
  static let flags: [Flag<SystemDiskUsage>] = [
    .value("format", nil, "string", "Format output: 'table', 'table TEMPLATE', 'json', or a Go template") {
      $0.list.format = $1
    },
    .toggle("verbose", "v", "Show detailed information on space usage") { $0.verbose = $1 },
  ]

  var list = ListOptions()
  var verbose = false

  func run(in session: Session) throws -> Int32 {
    let usage = try session.call(GatewayAPI.Method.systemDiskUsage, .init())
    guard verbose else {
      Output.write(try list.text(UsageRow.rows(of: usage)))
      return 0
    }
    let details = UsageDetails(usage: usage, now: .now)
    switch list.format {
    case nil, "table", "": Output.write(details.text)
    case "json": Output.write(details.value.json + "\n")
    case let format?: Output.write(try Template(ListOptions.unescaped(format)).text(for: details.value) + "\n")
    }
    return 0
  }
}

/// One line of `system df`: everything of one kind.
struct UsageRow: ListDisplayable {
  let type: String
  let total: Int
  let active: Int
  let size: Int64
  /// Bytes that nothing in use needs.
  let reclaimable: Int64

  static func rows(of usage: GatewayAPI.SystemDiskUsageResult) -> [UsageRow] {
    let needed = usage.images.filter { $0.containers > 0 }
    let active = usage.containers.filter { ["running", "paused", "restarting"].contains($0.state) }
    func written(_ containers: [GatewayAPI.ContainerSummary]) -> Int64 {
      containers.reduce(0) { $0 + ($1.sizeRw ?? 0) }
    }
    func bytes(_ volumes: [GatewayAPI.Volume]) -> Int64 {
      volumes.reduce(0) { $0 + max(0, $1.usageData?.size ?? 0) }
    }
    let used = usage.volumes.filter { $0.usageData?.refCount ?? 0 > 0 }
    return [
      UsageRow(
        type: "Images", total: usage.images.count, active: needed.count, size: usage.layersSize,
        reclaimable: max(0, usage.layersSize - needed.reduce(0) { $0 + $1.size - $1.sharedSize })),
      UsageRow(
        type: "Containers", total: usage.containers.count, active: active.count, size: written(usage.containers),
        reclaimable: written(usage.containers) - written(active)),
      UsageRow(
        type: "Local Volumes", total: usage.volumes.count, active: used.count, size: bytes(usage.volumes),
        reclaimable: bytes(usage.volumes) - bytes(used)),
      UsageRow(type: "Build Cache", total: 0, active: 0, size: 0, reclaimable: 0),
    ]
  }

  static let quietColumn = "Type"
  static let columns: [ListColumn<UsageRow>] = [
    ListColumn("Type", "TYPE") { row, _ in row.type },
    ListColumn("TotalCount", "TOTAL") { row, _ in String(row.total) },
    ListColumn("Active", "ACTIVE") { row, _ in String(row.active) },
    ListColumn("Size", "SIZE") { row, _ in Human.size(row.size) },
    ListColumn("Reclaimable", "RECLAIMABLE") { row, _ in
      let size = Human.size(row.reclaimable)
      return row.size > 0 ? "\(size) (\(row.reclaimable * 100 / row.size)%)" : size
    },
  ]
}

/// `system df -v`: one line for each thing.
struct UsageDetails {
  let images: [ImageUsageRow]
  let containers: [ContainerRow]
  let volumes: [VolumeRow]

  init(usage: GatewayAPI.SystemDiskUsageResult, now: Moment) {
    images = usage.images.map { ImageUsageRow(usage: $0, now: now) }
    containers = usage.containers.map { ContainerRow(summary: $0, now: now) }
    volumes = usage.volumes.map(VolumeRow.init)
  }

  private static let containerColumns = [
    "ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names",
  ]
  private static let volumeColumns = ["Name", "Links", "Size"]

  /// Docker's three tables, and the empty one of builds.
  var text: String {
    func table<Row: ListDisplayable>(_ title: String, _ rows: [Row], _ names: [String]) -> String {
      let columns = names.compactMap { name in Row.columns.first { $0.name == name } }
      var text = columns.map(\.title).joined(separator: "\t") + "\n"
      for row in rows { text += columns.map { $0.text(row, false) }.joined(separator: "\t") + "\n" }
      return "\(title) space usage:\n\n" + Table.aligned(text) + "\n"
    }
    return table("Images", images, ImageUsageRow.columns.map(\.name))
      + table("Containers", containers, Self.containerColumns)
      + table("Local Volumes", volumes, Self.volumeColumns)
      + "Build cache usage: 0B\n\n"
      + Table.aligned("CACHE ID\tCACHE TYPE\tSIZE\tCREATED\tLAST USED\tUSAGE\tSHARED\n")
  }

  /// The same for `--format`.
  var value: JSONValue {
    func rows<Row: ListDisplayable>(_ rows: [Row]) -> JSONValue {
      .array(
        rows.map { row in
          .object(Dictionary(uniqueKeysWithValues: Row.columns.map { ($0.name, .string($0.text(row, true))) }))
        })
    }
    return .object([
      "Images": rows(images), "Containers": rows(containers), "Volumes": rows(volumes), "BuildCache": .array([]),
    ])
  }
}

/// One image of `system df -v`.
struct ImageUsageRow: ListDisplayable {
  let usage: GatewayAPI.ImageUsage
  let now: Moment

  private var name: (repository: String, tag: String) {
    guard let name = usage.repoTags.first, name != "<none>:<none>", let colon = name.lastIndex(of: ":") else {
      return ("<none>", "<none>")
    }
    return (String(name[..<colon]), String(name[name.index(after: colon)...]))
  }

  static let quietColumn = "ID"
  static let columns: [ListColumn<ImageUsageRow>] = [
    ListColumn("Repository", "REPOSITORY") { row, _ in row.name.repository },
    ListColumn("Tag", "TAG") { row, _ in row.name.tag },
    ListColumn("ID", "IMAGE ID") { $1 ? $0.usage.id : Human.shortID($0.usage.id) },
    ListColumn("CreatedSince", "CREATED") { row, _ in
      Moment(rfc3339: row.usage.created).map { Human.ago($0, now: row.now) } ?? "N/A"
    },
    ListColumn("Size", "SIZE") { row, _ in Human.size(row.usage.size) },
    ListColumn("SharedSize", "SHARED SIZE") { row, _ in Human.size(row.usage.sharedSize) },
    ListColumn("UniqueSize", "UNIQUE SIZE") { row, _ in Human.size(row.usage.size - row.usage.sharedSize) },
    ListColumn("Containers", "CONTAINERS") { row, _ in String(row.usage.containers) },
  ]
}
