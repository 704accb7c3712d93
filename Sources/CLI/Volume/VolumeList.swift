internal import JSONRPC
internal import Protocol

/// `gantry volume ls`: the volumes there are.
struct VolumeList: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "List volumes",
    discussion: """
      Filters: dangling, driver, label, name.
      Fields of --format: Name, Driver, Scope, Mountpoint, Labels, Label "key", Links, Size, Availability, Group, Status.
      """,
    examples: [
      ("gantry volume ls", "All volumes"),
      ("gantry volume ls -q -f dangling=true", "Names of those that no container has"),
    ])
  static let flags: [Flag<VolumeList>] = [
    .value("filter", "f", "filter", "Provide filter values (e.g. \"dangling=true\")") {
      try Filters.add($1, to: &$0.filters)
    },
    .value("format", nil, "string", "Format output: 'table', 'table TEMPLATE', 'json', or a Go template") {
      $0.list.format = $1
    },
    .toggle("quiet", "q", "Only display volume names") { $0.list.quiet = $1 },
    .unbuilt("cluster", nil, .clusters),
  ]

  var list = ListOptions()
  var filters: [String: [String]] = [:]

  func run(in session: Session) throws -> Int32 {
    let answer = try session.call(
      GatewayAPI.Method.volumeList, .init(filters: filters.isEmpty ? nil : filters))
    Output.write(try list.text(answer.volumes.map(VolumeRow.init)))
    return 0
  }
}

/// One line of `volume ls`.
struct VolumeRow: ListDisplayable {
  let volume: GatewayAPI.Volume

  static let quietColumn = "Name"
  static let columns: [ListColumn<VolumeRow>] = [
    ListColumn("Driver", "DRIVER") { row, _ in row.volume.driver },
    ListColumn("Name", "VOLUME NAME") { row, _ in row.volume.name },
    ListColumn("Scope", "SCOPE", isDefault: false) { row, _ in row.volume.scope },
    ListColumn("Mountpoint", "MOUNTPOINT", isDefault: false) { row, _ in row.volume.mountpoint },
    ListColumn("Labels", "LABELS", isDefault: false) { row, _ in
      (row.volume.labels ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
    },
    ListColumn("Links", "LINKS", isDefault: false) { row, _ in row.volume.usageData.map { String($0.refCount) } ?? "N/A"
    },
    ListColumn("Size", "SIZE", isDefault: false) { row, _ in
      row.volume.usageData.flatMap { $0.size < 0 ? nil : Human.size($0.size) } ?? "N/A"
    },
    ListColumn("Availability", "AVAILABILITY", isDefault: false) { _, _ in "N/A" },
    ListColumn("Group", "GROUP", isDefault: false) { _, _ in "N/A" },
    ListColumn("Status", "STATUS", isDefault: false) { _, _ in "N/A" },
  ]

  func call(_ name: String, _ arguments: [JSONValue]) throws -> JSONValue? {
    guard name == "Label", arguments.count == 1 else { return nil }
    return .string(volume.labels?[arguments[0].text] ?? "")
  }
}
