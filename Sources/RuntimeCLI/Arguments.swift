internal import Faults

/// One option of a command.
struct FlagDescription: Sendable {
  /// Without dashes.
  let name: String
  /// One letter, where it has one.
  let letter: Character?
  let takesValue: Bool
  let help: String

  static func value(_ name: String, _ letter: Character? = nil, _ help: String) -> FlagDescription {
    FlagDescription(name: name, letter: letter, takesValue: true, help: help)
  }

  static func toggle(_ name: String, _ letter: Character? = nil, _ help: String) -> FlagDescription {
    FlagDescription(name: name, letter: letter, takesValue: false, help: help)
  }
}

/// A command line as Go's flag package reads it, which runc's callers write for: one dash or two, `--flag value` and
/// `--flag=value`, `--toggle=false`.
struct Arguments {
  private(set) var operands: [String] = []
  private(set) var wantsHelp = false
  private var values: [String: [String]] = [:]

  /// Reads `words`; with `stopsAtOperand` everything from the first operand on is an operand.
  init(_ words: [String], _ flags: [FlagDescription], stopsAtOperand: Bool) throws(Fault) {
    var rest = words[...]
    while let word = rest.popFirst() {
      if word == "--" {
        operands += rest
        return
      }
      guard word.hasPrefix("-"), word != "-" else {
        operands.append(word)
        if stopsAtOperand {
          operands += rest
          return
        }
        continue
      }
      let body = word.drop { $0 == "-" }
      let equals = body.firstIndex(of: "=")
      let name = String(body[..<(equals ?? body.endIndex)])
      if name == "help" || name == "h" {
        wantsHelp = true
        continue
      }
      guard let flag = flags.first(where: { $0.name == name || (name.count == 1 && $0.letter == name.first) }) else {
        throw Fault(.invalidArgument, "flag provided but not defined: -\(name)")
      }
      var value = equals.map { String(body[body.index(after: $0)...]) }
      if flag.takesValue {
        value = value ?? rest.popFirst()
        guard value != nil else { throw Fault(.invalidArgument, "flag needs an argument: -\(name)") }
      } else if let text = value, Self.truth(text) == nil {
        throw Fault(.invalidArgument, "--\(name) is \"\(text)\": it must be true or false")
      }
      values[flag.name, default: []].append(value ?? "true")
    }
  }

  /// Every value of a flag that may be repeated.
  func all(_ name: String) -> [String] { values[name] ?? [] }

  /// The last value of a flag; nil when it was not given.
  subscript(_ name: String) -> String? { values[name]?.last }

  /// Whether a toggle is on.
  func isOn(_ name: String) -> Bool { self[name].flatMap(Self.truth) ?? false }

  /// A number of at least 0 as the value of a flag.
  func number(_ name: String) throws(Fault) -> Int? {
    guard let text = self[name] else { return nil }
    guard let number = Int(text), number >= 0 else {
      throw Fault(.invalidArgument, "--\(name) is \"\(text)\": it must be a whole number")
    }
    return number
  }

  /// The only operand, or the first of several: the container's id.
  func id() throws(Fault) -> String {
    guard let id = operands.first else { throw Fault(.invalidArgument, "container id cannot be empty") }
    return id
  }

  /// Refuses more operands than a command takes.
  func atMost(_ count: Int) throws(Fault) {
    guard operands.count <= count else {
      throw Fault(.invalidArgument, "\"\(operands[count])\" is one argument too many")
    }
  }

  /// The values that Go's strconv.ParseBool takes.
  private static func truth(_ text: String) -> Bool? {
    switch text {
    case "1", "t", "T", "true", "TRUE", "True": true
    case "0", "f", "F", "false", "FALSE", "False": false
    default: nil
    }
  }
}

/// What comes before the command.
struct GlobalOptions {
  let root: String
  let logFile: String?
  let logsJSON: Bool
  let debug: Bool
  /// Whether cgroup paths are written as systemd's slices and scopes.
  let systemdCgroup: Bool
  let wantsVersion: Bool
  let wantsHelp: Bool
  let command: String?
  let rest: [String]

  static let flags: [FlagDescription] = [
    .value("root", nil, "the folder of all containers (/run/gantry-runtime)"),
    .value("log", nil, "a file for messages besides standard error"),
    .value("log-format", nil, "text or json (text)"),
    .toggle("debug", nil, "tell more in the log"),
    .toggle("systemd-cgroup", nil, "read cgroup paths as SLICE:PREFIX:NAME, on machines where systemd does not run"),
    .value("rootless", nil, "true, false or auto: only root can make containers, so true is refused"),
    .value("criu", nil, "refused: containers are not checkpointed"),
    .toggle("version", "v", "print the version"),
  ]

  init(_ words: [String]) throws(Fault) {
    let arguments = try Arguments(words, Self.flags, stopsAtOperand: true)
    root = arguments["root"] ?? "/run/gantry-runtime"
    guard root.hasPrefix("/"), !root.utf8.contains(0) else {
      throw Fault(.invalidArgument, "--root is \"\(root)\": give an absolute path")
    }
    logFile = arguments["log"].flatMap { $0.isEmpty ? nil : $0 }
    switch arguments["log-format"] {
    case nil, "", "text": logsJSON = false
    case "json": logsJSON = true
    case let other?: throw Fault(.invalidArgument, "--log-format is \"\(other)\": it must be text or json")
    }
    debug = arguments.isOn("debug")
    systemdCgroup = arguments.isOn("systemd-cgroup")
    switch arguments["rootless"] {
    case nil, "false", "auto": break
    case let other?:
      throw Fault(.unsupported, "--rootless=\(other) is not supported: gantry-runtime makes containers as root")
    }
    guard arguments["criu"] == nil else {
      throw Fault(.unsupported, "--criu is not supported: gantry-runtime does not checkpoint containers")
    }
    wantsVersion = arguments.isOn("version")
    wantsHelp = arguments.wantsHelp
    command = arguments.operands.first
    rest = Array(arguments.operands.dropFirst())
  }
}
