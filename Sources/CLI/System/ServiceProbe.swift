internal import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol
internal import SystemPackage

/// Asks a service directly whether it is well, by the calls that every service has.
enum ServiceProbe {
  /// Whether a service answers `service.ping` on `socket` within `milliseconds`.
  static func answers(_ socket: FilePath, milliseconds: Int) -> Bool {
    guard let connection = try? BlockingConnection(path: socket) else { return false }
    let deadline = Deadline.after(milliseconds: milliseconds)
    return (try? connection.call(CommonAPI.Method.ping, .init(), deadline: deadline)) != nil
  }

  /// The state of one service: from its own answer, and from the kernel's view of its process.
  static func status(_ service: EngineService, _ places: EnginePlaces) -> ServiceRow {
    let socket = places.socket(service)
    var row = ServiceRow(name: service.program, socket: socket.string)
    do throws(Fault) {
      let connection = try BlockingConnection(path: socket)
      let info = try connection.call(CommonAPI.Method.info, .init(), deadline: .after(seconds: 2))
      row.healthy = true
      row.version = info.version
      row.pid = Int32(truncatingIfNeeded: info.pid)
      row.started = Moment(rfc3339: info.startedAt)
      row.memory = memory(of: row.pid)
    } catch {
      row.problem = access(socket.string, F_OK) == 0 ? error.message : "not running"
    }
    return row
  }

  /// The share of memory (PSS) of a process in bytes; nil where it may not be read.
  private static func memory(of pid: Int32?) -> Int64? {
    guard let pid, let memory = try? ProcFiles.memory(pid: pid) else { return nil }
    return Int64(memory.proportional)
  }
}
