internal import FoundationEssentials
internal import JSONRPC
internal import Protocol

/// Shows how far a push is, in Docker's words: a line for each blob, which moves on a terminal; elsewhere one plain line for
/// each step. The line of a tag follows when its manifest is there.
final class PushDisplay {
  /// Milliseconds between two drawings.
  private static let interval: Int64 = 80

  private var order: [String] = []
  private var lines: [String: String] = [:]
  private var shown = 0
  private var lastDrawn: Int64 = 0
  private let moves = Output.isTerminal() && EnvironmentVariables.get("TERM") != "dumb"

  /// Takes the progress of `image.push`.
  func take(_ data: Data) {
    guard let progress = try? RPCCoding.decode(data) as PushProgress else { return }
    let id = Human.shortID(progress.id)
    switch progress.stage {
    case "prepare": set(id, "Preparing")
    case "exists": set(id, "Layer already exists")
    case "mount": set(id, "Mounted from \(progress.source ?? "another repository")")
    case "done": set(id, "Pushed")
    case "upload": move(id, progress.current, progress.total)
    case "tag":
      draw()
      // What has been drawn stays; another tag has lines of its own.
      (order, lines, shown) = ([], [:], 0)
      Output.write("\(progress.tag ?? id): digest: \(progress.id) size: \(progress.total ?? 0)\n")
    default: break
    }
  }

  private func set(_ id: String, _ words: String) {
    if lines.updateValue(words, forKey: id) == nil { order.append(id) }
    if !moves { return Output.write("\(id): \(words)\n") }
    draw()
  }

  private func move(_ id: String, _ sent: Int64, _ total: Int64?) {
    if !moves {
      if lines[id] != "Pushing" { set(id, "Pushing") }
      return
    }
    if lines[id] == nil { order.append(id) }
    lines[id] = String(LoadProgress.text(id, "Pushing", sent, total).dropFirst(id.count + 2))
    let now = Clock.milliseconds
    guard now - lastDrawn >= Self.interval else { return }
    lastDrawn = now
    draw()
  }

  private func draw() {
    guard moves, !order.isEmpty else { return }
    var text = shown > 0 ? "\u{1B}[\(shown)A" : ""
    for id in order { text += "\r\u{1B}[K\(id): \(lines[id] ?? "")\n" }
    shown = order.count
    Output.write(text)
  }
}
