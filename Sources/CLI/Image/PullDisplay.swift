internal import FoundationEssentials
internal import Glibc
internal import JSONRPC
internal import Protocol

/// Shows how far a pull is: on a terminal one line for each layer that moves, elsewhere one plain line for each step that a
/// layer has taken.
final class PullDisplay {
  private struct Line {
    var stage: String
    var current: Int64
    var total: Int64?
  }

  /// Milliseconds between two drawings.
  private static let interval: Int64 = 80
  private static let mostLines = 40

  private let output: Int32
  private let moves: Bool
  private var order: [String] = []
  private var lines: [String: Line] = [:]
  private var shown = 0
  private var lastDrawn: Int64 = 0

  /// - Parameter output: where plain lines go; the moving ones too, when it is a terminal.
  init(output: Int32) {
    self.output = output
    moves = Output.isTerminal(output) && EnvironmentVariables.get("TERM") != "dumb"
  }

  /// Takes the progress of a call.
  func take(_ data: Data) {
    guard let step = try? RPCCoding.decode(data) as PullProgress else { return }
    if let layers = step.layers {
      // Another image of several begins below.
      finish()
      order = []
      lines = [:]
      shown = 0
      for layer in layers where lines[layer.descriptor.digest.rawValue] == nil {
        order.append(layer.descriptor.digest.rawValue)
        lines[layer.descriptor.digest.rawValue] = Line(stage: "", current: 0, total: layer.descriptor.size)
        note(layer.descriptor.digest.rawValue, "layer", 0, layer.descriptor.size)
      }
    } else if !step.id.isEmpty {
      note(step.id, step.stage, step.current, step.total)
    }
  }

  /// Draws the last state and leaves it standing.
  func finish() {
    for id in order where lines[id]?.stage != "exists" { note(id, "done", lines[id]?.total ?? 0, lines[id]?.total) }
    if moves, !order.isEmpty { draw() }
  }

  private func note(_ id: String, _ stage: String, _ current: Int64, _ total: Int64?) {
    guard let before = lines[id], Self.rank(stage) >= Self.rank(before.stage) else { return }
    lines[id] = Line(stage: stage, current: current, total: total)
    if moves {
      let now = Clock.milliseconds
      guard now - lastDrawn >= Self.interval || before.stage != stage else { return }
      lastDrawn = now
      draw()
    } else if before.stage != stage, let words = Self.plainWords(stage) {
      say("\(Human.shortID(id)): \(words)\n")
    }
  }

  private func say(_ text: String) {
    if output == STDERR_FILENO { Output.note(text) } else { Output.write(text) }
  }

  private func draw() {
    var text = shown > 0 ? "\u{1B}[\(shown)A" : ""
    let visible = order.suffix(Self.mostLines)
    for id in visible {
      guard let line = lines[id] else { continue }
      let name = Human.shortID(id)
      text += "\r\u{1B}[K"
      switch line.stage {
      case "download": text += LoadProgress.text(name, "Downloading", line.current, line.total)
      case "unpack": text += LoadProgress.text(name, "Extracting", line.current, line.total)
      default: text += "\(name): \(Self.words(line.stage))"
      }
      text += "\n"
    }
    shown = visible.count
    say(text)
  }

  /// A layer is downloaded and unpacked at the same time: what is further on is shown.
  private static func rank(_ stage: String) -> Int {
    switch stage {
    case "": 0
    case "layer": 1
    case "wait": 2
    case "download": 3
    case "unpack": 3
    case "fetched": 4
    case "exists", "done": 5
    default: 0
    }
  }

  /// Docker's words.
  private static func words(_ stage: String) -> String {
    switch stage {
    case "layer": "Pulling fs layer"
    case "wait": "Waiting"
    case "fetched": "Download complete"
    case "exists": "Already exists"
    case "done": "Pull complete"
    default: stage
    }
  }

  /// The steps that plain output tells of.
  private static func plainWords(_ stage: String) -> String? {
    ["layer", "fetched", "exists", "done"].contains(stage) ? words(stage) : nil
  }
}
