internal import Glibc
internal import Linux
internal import SystemPackage

/// `gantry system logs`: what the services said.
struct SystemLogs: Command {
  static let about = About(
    usage: "[OPTIONS] [SERVICE]", summary: "Show what the services logged", arity: .atMost(1), completes: .service,
    discussion: """
      SERVICE is one of gantryd, gantry-imaged, gantry-snapshotd, gantry-taskd (or gateway, image, snapshot, task),
      or supervisor. Without it every log is shown. Under systemd the journal has them: journalctl -u gantryd.
      """,
    examples: [
      ("gantry system logs", "The last lines of every service"),
      ("gantry system logs -f gantryd", "Follow the gateway's log"),
    ])
  static let flags: [Flag<SystemLogs>] = [
    .toggle("follow", "f", "Go on with what comes") { $0.follows = $1 },
    .value("tail", "n", "lines", "How many lines to show from the end, or \"all\" (default 100)") { logs, value in
      logs.lines = value == "all" ? nil : Int(try Quantity.integer(value))
    },
  ]

  var follows = false
  var lines: Int? = 100
  var service: String?

  mutating func take(operands: [String]) throws { service = operands.first }

  func run(in session: Session) throws -> Int32 {
    let places = EnginePlaces(session.options)
    let names =
      try service.map { $0 == "supervisor" ? [$0] : [try EngineService.named($0).program] }
      ?? ["supervisor"] + EngineService.all.map(\.program)
    if Systemd.manages(session.options), places.runningSupervisor() == nil { return try journal(names) }
    guard names.contains(where: { access(places.log($0).string, F_OK) == 0 }) else {
      if access(places.logs.string, R_OK) != 0, errno == EACCES {
        throw CommandFailure("\(places.logs) cannot be read: run `sudo gantry system logs`")
      }
      throw CommandFailure("there are no logs in \(places.logs): start the services with `gantry system start`")
    }
    let prefixed = names.count > 1
    var offsets: [String: UInt64] = [:]
    for name in names {
      offsets[name] = (try? FileStatus(places.log(name).string))?.size ?? 0
      for line in LogFile.tail(places.log(name), lines: lines) { show(line, of: name, prefixed) }
    }
    while follows {
      for name in names { offsets[name] = showNew(places.log(name), name, from: offsets[name] ?? 0, prefixed) }
      poll(nil, 0, 200)
    }
    return 0
  }

  private func show(_ line: some StringProtocol, of name: String, _ prefixed: Bool) {
    Output.write(prefixed ? "\(name): \(line)\n" : "\(line)\n")
  }

  /// Shows the whole lines after `offset` and returns where they end.
  private func showNew(_ path: FilePath, _ name: String, from offset: UInt64, _ prefixed: Bool) -> UInt64 {
    guard let file = try? openat2(nil, path.string, [.readOnly]), let status = try? FileStatus(of: file.rawValue) else {
      return offset
    }
    // A file that became shorter was bounded: it starts anew.
    let start = status.size < offset ? 0 : offset
    guard status.size > start, lseek(file.rawValue, off_t(start), SEEK_SET) >= 0,
      let bytes = try? Files.read(file.rawValue, limit: Int(LogFile.limit) * 4),
      let end = bytes.lastIndex(of: UInt8(ascii: "\n"))
    else { return start }
    let text = String(decoding: bytes[..<end], as: UTF8.self)
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) { show(line, of: name, prefixed) }
    return start + UInt64(end) + 1
  }

  private func journal(_ names: [String]) throws -> Int32 {
    var arguments = ["journalctl", "--no-pager"] + names.flatMap { ["-u", $0] }
    arguments += lines.map { ["-n", String($0)] } ?? []
    if follows { arguments.append("-f") }
    let process = try SpawnRequest(.path("/usr/bin/journalctl"), arguments: arguments).spawn()
    return try process.pidFD.wait()?.shellCode ?? 1
  }
}
