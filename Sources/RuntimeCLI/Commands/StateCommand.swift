internal import Faults
internal import FoundationEssentials
internal import Glibc
internal import Linux
internal import QuickJSON

/// `state`.
enum StateCommand {
  static let command = Command(
    usage: "ID", help: "print a container's state as JSON", flags: []
  ) { arguments, context throws(Fault) in
    try arguments.atMost(1)
    let folder = try context.root.container(try arguments.id())
    Output.line(try json(folder, folder.record()))
    return 0
  }

  /// As the specification has it, with what runc adds.
  static func json(_ folder: StateFolder, _ record: ContainerRecord?) throws(Fault) -> String {
    let status = folder.status(record)
    let spec = try? folder.description().spec
    var state = CompactJSON()
    state.add("ociVersion", spec?.ociVersion ?? SpecificationVersion.latest)
    state.add("id", folder.id)
    state.add("pid", status == .stopped ? 0 : record?.pid ?? 0)
    state.add("status", status.rawValue)
    state.add("bundle", record?.bundle ?? "")
    state.add("rootfs", record?.rootfs ?? "")
    state.add("created", record?.created ?? "")
    var notes = CompactJSON()
    for (key, value) in (spec?.annotations ?? [:]).sorted(by: { $0.key < $1.key }) { notes.add(key: key, text: value) }
    state.add("annotations", object: notes.object)
    state.add("owner", Owner.name(folder))
    return state.object
  }
}

/// Whose a container is.
enum Owner {
  /// The name of the user whose folder it is.
  static func name(_ folder: StateFolder) -> String {
    let uid = (try? FileStatus(folder.path.string).uid) ?? 0
    return uid == 0 ? "root" : "#\(uid)"
  }
}

/// `list`.
enum ListCommand {
  static let command = Command(
    usage: "", help: "list all containers of this root",
    flags: [
      .value("format", "f", "table or json (table)"), .toggle("quiet", "q", "ids only"),
    ]
  ) { arguments, context throws(Fault) in
    try arguments.atMost(0)
    var rows: [(folder: StateFolder, record: ContainerRecord?)] = []
    for folder in context.root.all() {
      do throws(Fault) {
        rows.append((folder, try folder.record()))
      } catch {
        // One that was deleted meanwhile is not listed; one that cannot be read keeps no other from being.
        if error.code != .notFound { context.log.warning("\(error)") }
      }
    }
    if arguments.isOn("quiet") {
      for (folder, _) in rows { Output.line(folder.id) }
      return 0
    }
    switch arguments["format"] {
    case "json":
      var states: [String] = []
      for (folder, record) in rows { states.append(try StateCommand.json(folder, record)) }
      Output.line(states.isEmpty ? "null" : "[" + states.joined(separator: ",") + "]")
    case nil, "", "table":
      let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
      let table = rows.map { folder, record in
        let status = folder.status(record)
        return [
          folder.id, String(status == .stopped ? 0 : record?.pid ?? 0), status.rawValue, record?.bundle ?? "",
          record?.created ?? "", Owner.name(folder),
        ]
      }
      Output.line(Self.text([head] + table))
    case let other?: throw Fault(.invalidArgument, "invalid format option \"\(other)\": table or json")
    }
    return 0
  }

  /// Columns at least 12 wide, as runc's.
  private static func text(_ rows: [[String]]) -> String {
    let widths = rows[0].indices.map { column in max(12, (rows.map { $0[column].count }.max() ?? 0) + 1) }
    return rows.map { row in
      row.enumerated().map { index, cell in
        index == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[index] - cell.count)
      }.joined()
    }.joined(separator: "\n")
  }
}
