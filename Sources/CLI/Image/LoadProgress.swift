internal import FoundationEssentials
internal import Glibc
internal import JSONRPC
internal import Protocol

/// Shows how far a load is: lines that move on a terminal, one for the archive and one for each layer; elsewhere one plain
/// line for each step that begins.
final class LoadProgress {
  /// One line: what it is about, what is being done, and how much of it.
  private struct Line {
    var name: String
    var words: String
    var current: Int64
    var total: Int64?
    var isDone = false
  }

  /// How far one layer is unpacked, as the gateway passes it on.
  private struct Layer: Decodable {
    /// Digest of the layer uncompressed.
    var layer: String
    /// Bytes of the blob that were read, and all of them.
    var current: Int64
    var total: Int64?
  }

  /// Milliseconds between two drawings.
  private static let interval: Int64 = 80
  private static let mostLines = 20

  private var order: [String] = []
  private var lines: [String: Line] = [:]
  private var shown = 0
  private var lastDrawn: Int64 = 0
  private let moves = Output.isTerminal(STDERR_FILENO) && EnvironmentVariables.get("TERM") != "dumb"

  /// Takes the progress of a call: the import's (`stage`) or the unpacking's (`layer`).
  func take(_ data: Data) {
    if let progress = try? RPCCoding.decode(data) as ImportProgress {
      let name = progress.id.isEmpty ? "Archive" : Human.shortID(progress.id)
      note(name, Self.words(progress.stage), progress.current, progress.total, isDone: progress.stage == "done")
    } else if let progress = try? RPCCoding.decode(data) as Layer {
      let isDone = progress.total.map { $0 > 0 && progress.current >= $0 } ?? false
      note(Human.shortID(progress.layer), "Unpacking", progress.current, progress.total, isDone: isDone)
    }
  }

  /// Draws the last state and leaves it standing.
  func finish() {
    for name in order { lines[name]?.isDone = true }
    if moves, !order.isEmpty { draw() }
  }

  private func note(_ name: String, _ words: String, _ current: Int64, _ total: Int64?, isDone: Bool) {
    let before = lines[name]
    if before == nil { order.append(name) }
    lines[name] = Line(name: name, words: words, current: current, total: total, isDone: isDone)
    if moves {
      let now = Clock.milliseconds
      guard now - lastDrawn >= Self.interval || isDone else { return }
      lastDrawn = now
      draw()
    } else if before?.words != words {
      Output.note("\(name): \(words)\n")
    }
  }

  private func draw() {
    var text = shown > 0 ? "\u{1B}[\(shown)A" : ""
    let visible = order.suffix(Self.mostLines)
    for name in visible {
      guard let line = lines[name] else { continue }
      text += "\r\u{1B}[K"
      text += line.isDone ? "\(name): Done" : Self.text(name, line.words, line.current, line.total)
      text += "\n"
    }
    shown = visible.count
    Output.note(text)
  }

  /// A line with a bar where the whole is known, with the bytes so far where it is not.
  static func text(_ name: String, _ words: String, _ current: Int64, _ total: Int64?) -> String {
    guard let total, total > 0 else { return "\(name): \(words)" + (current > 0 ? " \(Human.size(current))" : "") }
    let share = min(max(Double(current) / Double(total), 0), 1)
    let filled = Int(share * 30)
    let bar = String(repeating: "=", count: filled) + (filled < 30 ? ">" : "")
    let rest = String(repeating: " ", count: max(29 - filled, 0))
    return "\(name): \(words) [\(bar)\(rest)] \(Human.size(current))/\(Human.size(total))"
  }

  private static func words(_ stage: String) -> String {
    switch stage {
    case "read": "Reading"
    case "check": "Verifying"
    case "write": "Writing"
    case "unpack": "Unpacking"
    case "done": "Done"
    default: stage
    }
  }
}
