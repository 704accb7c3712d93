internal import JSONRPC
internal import Protocol

/// `gantry system check`: finds damage of images' content and layers, and repairs it.
struct SystemCheck: Command {
  static let about = About(
    usage: "[OPTIONS]", summary: "Check the content and the layers of all images",
    discussion: """
      Reads all content and compares it with its digests, and the files of every unpacked layer with the archive that
      they came from. Exits with 1 when damage is left.
      Fields of --format: Kind, Digest, Problem, Images, Outcome, Reason.
      """,
    examples: [
      ("gantry system check", "Look, and change nothing"),
      ("gantry system check --repair", "Fetch damaged content again, and unpack damaged layers anew"),
      ("gantry system check --repair --remove", "And remove the images that cannot be repaired"),
    ])
  static let flags: [Flag<SystemCheck>] = [
    .value("format", nil, "string", "Format output: 'table', 'table TEMPLATE', 'json', or a Go template") {
      $0.list.format = $1
    },
    .toggle("quiet", "q", "Show only the digests of damaged content and layers") { $0.list.quiet = $1 },
    .toggle("remove", nil, "Remove images that are damaged and cannot be repaired") { $0.remove = $1 },
    .toggle("repair", nil, "Fetch damaged content again and unpack damaged layers anew") { $0.repair = $1 },
  ]

  var list = ListOptions()
  var repair = false
  var remove = false

  func run(in session: Session) throws -> Int32 {
    let progress = list.quiet ? nil : LoadProgress()
    let result = try session.gateway().call(
      GatewayAPI.Method.systemCheck, .init(repair: repair ? true : nil, remove: remove ? true : nil),
      progress: progress.map { shown in { shown.take($0) } })
    progress?.finish()
    let rows = result.damage.map(DamageRow.init)
    if list.quiet || list.format != nil {
      Output.write(try list.text(rows))
    } else {
      if !rows.isEmpty { Output.write(try list.text(rows)) }
      Output.write(
        "Checked \(result.blobs) files of content (\(Human.size(result.bytes))), \(result.layers) layers "
          + "(\(result.files) files): \(Self.verdict(result.damage))\n")
    }
    return result.damage.contains { $0.outcome == "left" } ? 1 : 0
  }

  private static func verdict(_ damage: [GatewayAPI.Damage]) -> String {
    if damage.isEmpty { return "no damage" }
    let counts = ["repaired", "removed", "left"].compactMap { outcome in
      let count = damage.count { $0.outcome == outcome }
      return count == 0 ? nil : "\(count) \(outcome)"
    }
    return "\(damage.count) damaged, \(counts.joined(separator: ", "))"
  }
}

/// One piece of damage.
struct DamageRow: ListDisplayable {
  let damage: GatewayAPI.Damage

  init(_ damage: GatewayAPI.Damage) { self.damage = damage }

  static let quietColumn = "Digest"
  static let columns: [ListColumn<DamageRow>] = [
    ListColumn("Kind", "KIND") { row, _ in row.damage.kind },
    ListColumn("Digest", "DIGEST") { row, whole in whole ? row.damage.digest : Human.shortID(row.damage.digest) },
    ListColumn("Problem", "PROBLEM") { row, _ in row.damage.problem },
    ListColumn("Images", "IMAGES") { row, whole in
      let names = row.damage.images.map { whole || !$0.hasPrefix("sha256:") ? $0 : Human.shortID($0) }
      return names.isEmpty ? "-" : names.joined(separator: ", ")
    },
    ListColumn("Outcome", "OUTCOME") { row, _ in row.damage.outcome },
    ListColumn("Reason", "REASON", isDefault: false) { row, _ in row.damage.reason ?? "" },
  ]
}
