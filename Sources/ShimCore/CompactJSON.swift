internal import Protocol

/// Writes the few small JSON objects that lie on the way of a start and an exit.
///
/// JSONEncoder costs the first use about a millisecond in a new process: the runtime looks every type up by its
/// conformances. These objects are flat and few; the tests read them back with JSONDecoder.
struct CompactJSON {
  private var text = "{"

  /// Adds a member; nil adds none.
  mutating func add(_ name: StaticString, _ value: String?) {
    guard let value else { return }
    begin(name)
    Self.quote(value, into: &text)
  }

  /// Adds a member; nil adds none.
  mutating func add(_ name: StaticString, _ value: (some BinaryInteger)?) {
    guard let value else { return }
    begin(name)
    text += String(value)
  }

  /// Adds a member.
  mutating func add(_ name: StaticString, _ value: Bool) {
    begin(name)
    text += value ? "true" : "false"
  }

  /// Adds an object that was written before; nil adds none.
  mutating func add(_ name: StaticString, object: String?) {
    guard let object else { return }
    begin(name)
    text += object
  }

  /// Adds an array of objects that were written before.
  mutating func add(_ name: StaticString, objects: [String]) {
    begin(name)
    text += "[" + objects.joined(separator: ",") + "]"
  }

  /// Adds a member whose name is not known beforehand.
  mutating func add(key: String, object: String) {
    if text.utf8.count > 1 { text += "," }
    Self.quote(key, into: &text)
    text += ":" + object
  }

  /// The object.
  var object: String { text + "}" }

  private mutating func begin(_ name: StaticString) {
    text += text.utf8.count > 1 ? ",\"\(name)\":" : "\"\(name)\":"
  }

  private static func quote(_ value: String, into text: inout String) {
    text += "\""
    for character in value.unicodeScalars {
      switch character {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case _ where character.value < 0x20:
        let digits = String(character.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(character)
      }
    }
    text += "\""
  }
}

extension ExitStatus {
  /// As JSONEncoder would write it.
  var json: String {
    var json = CompactJSON()
    json.add("code", code)
    json.add("signal", signal)
    json.add("oomKilled", oomKilled)
    json.add("finishedAt", finishedAt)
    json.add("error", error)
    return json.object
  }
}

extension HealthState {
  /// As JSONEncoder would write it.
  var json: String {
    var json = CompactJSON()
    json.add("status", status.rawValue)
    json.add("failingStreak", failingStreak)
    json.add(
      "log",
      objects: log.map { result in
        var entry = CompactJSON()
        entry.add("start", result.start)
        entry.add("end", result.end)
        entry.add("exitCode", result.exitCode)
        entry.add("output", result.output)
        return entry.object
      })
    return json.object
  }
}

extension TaskProgress {
  /// As JSONEncoder would write it.
  var json: String {
    var json = CompactJSON()
    json.add("shimPid", shimPid)
    json.add("pid", pid)
    json.add("startedAt", startedAt)
    return json.object
  }
}

extension TaskOutcome {
  /// As JSONEncoder would write it.
  var json: String {
    var ended = CompactJSON()
    for (exec, exit) in execs { ended.add(key: exec, object: exit.json) }
    var json = CompactJSON()
    json.add("pid", pid)
    json.add("startedAt", startedAt)
    json.add("exit", object: exit.json)
    json.add("execs", object: ended.object)
    return json.object
  }
}

extension ShimReady {
  /// As JSONEncoder would write it; only for a container that was made.
  var json: String {
    var json = CompactJSON()
    json.add("pid", pid)
    json.add("startedAt", startedAt)
    json.add("token", token)
    return json.object
  }
}

extension ShimAPI.ShimEvent {
  /// The notification's whole line.
  var line: String {
    var params = CompactJSON()
    params.add("type", type.rawValue)
    params.add("time", time)
    params.add("id", id)
    params.add("exec", exec)
    params.add("pid", pid)
    params.add("exit", object: exit?.json)
    params.add("health", object: health?.json)
    var line = CompactJSON()
    line.add("jsonrpc", "2.0")
    line.add("method", ShimAPI.Notification.event.name)
    line.add("params", object: params.object)
    return line.object
  }
}
