internal import Protocol
internal import QuickJSON

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
