internal import JSONRPC
internal import Protocol

/// `gantry container prune`: removes stopped containers.
struct ContainerPrune: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Remove all stopped containers", discussion: "Filters: until, label.",
    examples: [("gantry container prune -f --filter until=24h", "Those made more than a day ago, without a question")])
  static let flags: [Flag<ContainerPrune>] = [
    .value("filter", nil, "filter", "Provide filter values (e.g. \"until=<timestamp>\")") {
      try Filters.add($1, to: &$0.filters)
    },
    .toggle("force", "f", "Do not prompt for confirmation") { $0.force = $1 },
  ]

  var filters: [String: [String]] = [:]
  var force = false

  func run(in session: Session) throws -> Int32 {
    try Confirmation.require(
      "WARNING! This will remove all stopped containers.", force: force, "container prune")
    var report = PruneReport()
    try PruneCalls(session: session).containers(filters, &report)
    report.write()
    return 0
  }
}

/// `gantry image prune`: removes images that nothing needs.
struct ImagePrune: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Remove unused images", discussion: "Filters: until, label, dangling.",
    examples: [("gantry image prune -a", "All that no container was made from, also those with names")])
  static let flags: [Flag<ImagePrune>] = [
    .toggle("all", "a", "Remove all unused images, not just dangling ones") { $0.all = $1 },
    .value("filter", nil, "filter", "Provide filter values (e.g. \"until=<timestamp>\")") {
      try Filters.add($1, to: &$0.filters)
    },
    .toggle("force", "f", "Do not prompt for confirmation") { $0.force = $1 },
  ]

  var all = false
  var filters: [String: [String]] = [:]
  var force = false

  func run(in session: Session) throws -> Int32 {
    try Confirmation.require(
      all
        ? "WARNING! This will remove all images without at least one container associated to them."
        : "WARNING! This will remove all dangling images.", force: force, "image prune")
    var report = PruneReport()
    try PruneCalls(session: session).images(all: all, filters, &report)
    report.write()
    return 0
  }
}

/// `gantry volume prune`: removes volumes that no container has.
struct VolumePrune: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Remove unused local volumes", discussion: "Filters: all, label.",
    examples: [
      ("gantry volume prune", "Anonymous volumes that no container has"),
      ("gantry volume prune -a --filter label=job", "Also those with names, of one kind"),
    ])
  static let flags: [Flag<VolumePrune>] = [
    .toggle("all", "a", "Remove all unused volumes, not just anonymous ones") { $0.all = $1 },
    .value("filter", nil, "filter", "Provide filter values (e.g. \"label=<label>\")") {
      try Filters.add($1, to: &$0.filters)
    },
    .toggle("force", "f", "Do not prompt for confirmation") { $0.force = $1 },
  ]

  var all = false
  var filters: [String: [String]] = [:]
  var force = false

  func run(in session: Session) throws -> Int32 {
    var filters = filters
    if all {
      guard filters["all"] == nil else {
        throw CommandFailure("conflicting options: cannot specify both --all and --filter all=1")
      }
      filters["all"] = ["true"]
    }
    let kind = filters["all"].map { $0.contains { ["1", "t", "true"].contains($0.lowercased()) } } ?? false
    try Confirmation.require(
      "WARNING! This will remove \(kind ? "all" : "anonymous") local volumes not used by at least one container.",
      force: force, "volume prune")
    var report = PruneReport()
    try PruneCalls(session: session).volumes(filters, &report)
    report.write()
    return 0
  }
}

/// `gantry system prune`: removes everything that nothing uses.
struct SystemPrune: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Remove unused data", discussion: "Filters: until, label.",
    examples: [
      ("gantry system prune", "Stopped containers and dangling images"),
      ("gantry system prune -af --volumes", "All that nothing uses, and anonymous volumes, without a question"),
    ])
  static let flags: [Flag<SystemPrune>] = [
    .toggle("all", "a", "Remove all unused images not just dangling ones") { $0.all = $1 },
    .value("filter", nil, "filter", "Provide filter values (e.g. \"label=<key>=<value>\")") {
      try Filters.add($1, to: &$0.filters)
    },
    .toggle("force", "f", "Do not prompt for confirmation") { $0.force = $1 },
    .toggle("volumes", nil, "Prune anonymous volumes") { $0.volumes = $1 },
  ]

  var all = false
  var filters: [String: [String]] = [:]
  var force = false
  var volumes = false

  func run(in session: Session) throws -> Int32 {
    if volumes, filters["until"] != nil {
      throw CommandFailure("ERROR: The \"until\" filter is not supported with \"--volumes\"")
    }
    try Confirmation.require(warning, force: force, "system prune")
    let calls = PruneCalls(session: session)
    var report = PruneReport()
    try calls.containers(filters, &report)
    if volumes { try calls.volumes(filters, &report) }
    try calls.images(all: all, filters, &report)
    report.write()
    return 0
  }

  private var warning: String {
    var lines = ["all stopped containers"]
    if volumes { lines.append("all anonymous volumes not used by at least one container") }
    lines.append(all ? "all images without at least one container associated to them" : "all dangling images")
    var text = "WARNING! This will remove:\n" + lines.map { "  - \($0)\n" }.joined()
    if !filters.isEmpty {
      text += "\n  Items to be pruned will be filtered with:\n"
      for (name, values) in filters.sorted(by: { $0.key < $1.key }) {
        for value in values { text += "  - \(name)=\(value)\n" }
      }
    }
    return text
  }
}

/// The calls of the prune commands.
struct PruneCalls {
  let session: Session

  func containers(_ filters: [String: [String]], _ report: inout PruneReport) throws {
    let answer = try session.call(
      GatewayAPI.Method.containerPrune, .init(filters: filters.isEmpty ? nil : filters))
    report.add("Deleted Containers", answer.deleted, bytes: answer.spaceReclaimed)
  }

  func volumes(_ filters: [String: [String]], _ report: inout PruneReport) throws {
    let answer = try session.call(GatewayAPI.Method.volumePrune, .init(filters: filters.isEmpty ? nil : filters))
    report.add("Deleted Volumes", answer.deleted, bytes: answer.spaceReclaimed)
  }

  func images(all: Bool, _ filters: [String: [String]], _ report: inout PruneReport) throws {
    let answer = try session.call(
      GatewayAPI.Method.imagePrune, .init(all: all ? true : nil, filters: filters.isEmpty ? nil : filters))
    report.add(
      "Deleted Images", answer.untagged.map { "untagged: \($0)" } + answer.deleted.map { "deleted: \($0)" },
      bytes: answer.spaceReclaimed)
  }
}
