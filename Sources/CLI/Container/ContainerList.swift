internal import Glibc
internal import JSONRPC
internal import Protocol

/// `gantry ps`: the containers there are.
struct ContainerList: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "List containers",
    discussion: """
      Filters: id, name, label, exited, status, ancestor, before, since (--filter may be given several times).
      Fields of --format: ID, Image, Command, CreatedAt, RunningFor, Ports, State, Status, Size, Names, Labels,
      Label "key", Mounts, Networks, LocalVolumes.
      """,
    examples: [
      ("gantry ps", "Running containers"), ("gantry ps -aq", "The ids of all"),
      ("gantry ps --format 'table {{.Names}}\\t{{.Status}}'", "Chosen columns"),
      ("gantry ps -a --filter status=exited --filter label=job", "What ended, of one kind"),
    ])
  static let flags: [Flag<ContainerList>] =
    ListOptions.flags("container").map { $0.embedded { try $1(&$0.list) } } + [
      .toggle("all", "a", "Show all containers (default shows just running)") { $0.all = $1 },
      .value("filter", "f", "filter", "Filter output based on conditions provided") {
        try Filters.add($1, to: &$0.filters)
      },
      .value("last", "n", "int", "Show n last created containers (includes all states)") {
        $0.last = try Quantity.integer($1)
      },
      .toggle("latest", "l", "Show the latest created container (includes all states)") { $0.latest = $1 },
      .toggle("size", "s", "Display total file sizes") { $0.size = $1 },
    ]

  var list = ListOptions()
  var all = false
  var filters: [String: [String]] = [:]
  var last: Int64 = -1
  var latest = false
  var size = false

  func run(in session: Session) throws -> Int32 {
    let limit = latest ? 1 : last > 0 ? last : nil
    let wantsSize = size || (list.format?.contains(".Size") ?? false)
    let answer = try session.call(
      GatewayAPI.Method.containerList,
      .init(
        all: all || limit != nil ? true : nil, limit: limit, filters: filters.isEmpty ? nil : filters,
        size: wantsSize ? true : nil))
    var options = list
    if size { options.extraColumns = ["Size"] }
    let now = Moment.now
    Output.write(try options.text(answer.containers.map { ContainerRow(summary: $0, now: now) }))
    return 0
  }
}

/// `KEY=VALUE` of `--filter`.
enum Filters {
  /// Adds one filter; the same key may come again.
  static func add(_ text: String, to filters: inout [String: [String]]) throws {
    guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
      throw CommandFailure("invalid argument \"\(text)\": a filter is of the form name=value")
    }
    filters[text[..<equals].trimmed.lowercased(), default: []].append(text[text.index(after: equals)...].trimmed)
  }
}

/// One line of `ps`.
struct ContainerRow: ListDisplayable {
  let summary: GatewayAPI.ContainerSummary
  let now: Moment

  static let quietColumn = "ID"
  static let columns: [ListColumn<ContainerRow>] = [
    ListColumn("ID", "CONTAINER ID") { $1 ? $0.summary.id : Human.shortID($0.summary.id) },
    ListColumn("Image", "IMAGE") { row, whole in
      let image = row.summary.image
      return image.isEmpty ? "<no image>" : whole || !image.hasPrefix("sha256:") ? image : Human.shortID(image)
    },
    ListColumn("Command", "COMMAND") { row, whole in
      JSONValue.string(whole ? row.summary.command : Human.ellipsis(row.summary.command, 20)).json
    },
    ListColumn("RunningFor", "CREATED") { row, _ in Human.ago(Moment(seconds: row.summary.created), now: row.now) },
    ListColumn("Status", "STATUS") { row, _ in row.summary.status },
    ListColumn("Ports", "PORTS") { row, _ in row.ports },
    ListColumn("Names", "NAMES") { row, _ in
      row.summary.names.map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 }.joined(separator: ",")
    },
    ListColumn("Size", "SIZE", isDefault: false) { row, _ in row.size },
    ListColumn("CreatedAt", "CREATED AT", isDefault: false) { row, _ in Human.date(Moment(seconds: row.summary.created))
    },
    ListColumn("State", "STATE", isDefault: false) { row, _ in row.summary.state },
    ListColumn("Labels", "LABELS", isDefault: false) { row, _ in
      row.summary.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
    },
    ListColumn("Mounts", "MOUNTS", isDefault: false) { row, whole in
      (row.summary.mounts ?? []).map { mount in
        let name = mount.name.flatMap { $0.isEmpty ? nil : $0 } ?? mount.source ?? ""
        return whole ? name : Human.ellipsis(name, 15)
      }.joined(separator: ",")
    },
    ListColumn("Networks", "NETWORKS", isDefault: false) { row, _ in
      (row.summary.networkSettings?.networks ?? [:]).keys.sorted().joined(separator: ",")
    },
    ListColumn("LocalVolumes", "LOCAL VOLUMES", isDefault: false) { row, _ in
      String((row.summary.mounts ?? []).count { $0.type == .volume && $0.driver == "local" })
    },
  ]

  private var ports: String {
    summary.ports.map { port in
      guard let published = port.publicPort else { return "\(port.privatePort)/\(port.type)" }
      return "\(port.ip ?? ""):\(published)->\(port.privatePort)/\(port.type)"
    }.joined(separator: ", ")
  }

  private var size: String {
    let own = Human.size(summary.sizeRw ?? 0)
    guard let all = summary.sizeRootFs, all > 0 else { return own }
    return "\(own) (virtual \(Human.size(all)))"
  }

  func call(_ name: String, _ arguments: [JSONValue]) throws -> JSONValue? {
    guard name == "Label", arguments.count == 1 else { return nil }
    return .string(summary.labels[arguments[0].text] ?? "")
  }
}
