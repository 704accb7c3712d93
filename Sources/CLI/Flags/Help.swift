/// The help texts: of `gantry`, of a group, and of a command.
enum Help {
  /// The help of `gantry` itself.
  static func root() -> String {
    var text = "Usage:  gantry [OPTIONS] COMMAND\n\nA container engine for Linux\n"
    text += section("Common Commands", rows(CommandTree.common))
    text += section("Management Commands", rows(CommandTree.groups))
    text += section("Commands", rows(CommandTree.short))
    text += section("Global Options", flagRows(GlobalOptions.flags))
    return text + "\nRun 'gantry COMMAND --help' for more information on a command.\n"
  }

  /// The help of a group such as `gantry container`.
  static func group(_ node: CommandNode, path: String) -> String {
    var text = "Usage:  \(path) COMMAND\n\n\(node.groupSummary)\n"
    text += section("Commands", rows(node.children))
    return text + "\nRun '\(path) COMMAND --help' for more information on a command.\n"
  }

  /// The help of one command.
  static func command<C: Command>(_ type: C.Type, path: String) -> String {
    let about = type.about
    var text = "Usage:  \(path)\(about.usage.isEmpty ? "" : " " + about.usage)\n\n\(about.summary)\n"
    if !about.discussion.isEmpty { text += "\n\(about.discussion)\n" }
    let flags = type.flags.sorted { $0.long < $1.long }
    text += section("Options", flagRows(flags.filter(\.isBuilt)))
    if !about.examples.isEmpty {
      text += "\nExamples:\n"
      for example in about.examples { text += "  \(example.line)\n      \(example.meaning)\n" }
    }
    let unbuilt = flags.filter { !$0.isBuilt }.map { "--\($0.long)" }
    if !unbuilt.isEmpty {
      text += "\nKnown and not built yet (refused by name):\n" + wrapped(unbuilt, indent: 2)
    }
    return text
  }

  /// The usage line and the pointer to help that follow a wrong command line.
  static func hint<C: Command>(_ type: C.Type, path: String) -> String {
    "\nUsage:  \(path)\(type.about.usage.isEmpty ? "" : " " + type.about.usage)\n\n"
      + "Run '\(path) --help' for more information\n"
  }

  private static func rows(_ nodes: [CommandNode]) -> [(String, String)] {
    nodes.filter { !$0.isHidden }.map { ($0.name, $0.summary) }
  }

  private static func flagRows<C>(_ flags: [Flag<C>]) -> [(String, String)] {
    flags.map { flag in
      let short = flag.short.map { "-\($0), " } ?? "    "
      return (short + "--\(flag.long)" + (flag.placeholder.map { " \($0)" } ?? ""), flag.help)
    }
  }

  private static func section(_ title: String, _ rows: [(String, String)]) -> String {
    guard !rows.isEmpty else { return "" }
    let width = min(rows.map(\.0.count).max() ?? 0, 34)
    var text = "\n\(title):\n"
    for (name, summary) in rows {
      let gap = String(repeating: " ", count: max(width - name.count, 0) + 2)
      text += "  \(name)\(gap)\(summary)\n"
    }
    return text
  }

  private static func wrapped(_ words: [String], indent: Int) -> String {
    let margin = String(repeating: " ", count: indent)
    var lines: [String] = []
    var line = margin
    for word in words {
      if line.count + word.count + 1 > 100, line.count > indent {
        lines.append(line)
        line = margin
      }
      line += (line.count == indent ? "" : " ") + word
    }
    return (lines + [line]).joined(separator: "\n") + "\n"
  }
}
