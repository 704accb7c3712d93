import Faults
import Linux
import SystemPackage

extension Engine {
  /// Bytes that ps may print, and milliseconds that it may take.
  private static let mostProcessText = 16 << 20
  private static let mostProcessTime: Int32 = 20_000

  /// A container's processes as the host's ps shows them.
  func top(_ container: Container, arguments: [String]) async throws -> ProcessTable {
    guard container.state.running != nil else {
      throw Fault(.conflict, "container \(container.id) is not running")
    }
    let options = try ProcessTable.options(arguments)
    let pids = try await tasks.processes(.init(id: container.id)).pids
    // Asked for by number first: a machine with many processes is not searched. Some options (f) cannot go with that.
    let chosen = pids.isEmpty ? [] : ["-q" + pids.map(String.init).joined(separator: ",")]
    let text = try await blocking.run {
      if let text = try? Self.processText(chosen + options) { return text }
      return try Self.processText(options)
    }
    return try ProcessTable(text, pids: Set(pids))
  }

  /// What ps prints. Blocks.
  private static func processText(_ options: [String]) throws -> String {
    let program = ["/usr/bin/ps", "/bin/ps"].first(where: Folders.exists)
    guard let program else {
      throw Fault(.unsupported, "the host has no ps: install it (Debian: apt-get install procps)")
    }
    let run: CapturedRun
    do throws(Errno) {
      run = try SpawnRequest(
        .path(FilePath(program)), arguments: ["ps"] + options, environment: ["PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"]
      ).capture(limit: mostProcessText, milliseconds: mostProcessTime)
    } catch {
      throw Fault(.internal, "ps cannot be run", cause: [error.description])
    }
    if run.wasCut { throw Fault(.limitExceeded, "ps printed too much or took too long and was ended") }
    guard run.succeeded else {
      let words = String(decoding: run.errors, as: UTF8.self).split(separator: "\n").first.map(String.init) ?? ""
      throw Fault(.invalidArgument, "ps: \(words.isEmpty ? "exit status \(run.exit.shellCode)" : words)")
    }
    return String(decoding: run.output, as: UTF8.self)
  }
}
