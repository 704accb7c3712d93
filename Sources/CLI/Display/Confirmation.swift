internal import Glibc
internal import Linux

/// A question before something is lost.
enum Confirmation {
  /// Asks on standard output and reads a line of standard input: whether it is `y` or `yes`.
  static func ask(_ warning: String) -> Bool {
    Output.write(warning + "\nAre you sure you want to continue? [y/N] ")
    let answer = readLine()?.lowercased() ?? ""
    return answer == "y" || answer == "yes"
  }

  /// Asks unless `force`; throws when the answer is no.
  static func require(_ warning: String, force: Bool, _ command: String) throws {
    guard force || ask(warning) else { throw CommandFailure("\(command) has been cancelled") }
  }
}

/// What a prune did, as Docker prints it.
struct PruneReport {
  private var lines = ""
  private var bytes: Int64 = 0

  /// Adds what one kind of thing gave.
  mutating func add(_ title: String, _ lines: [String], bytes: Int64) {
    if !lines.isEmpty { self.lines += "\(title):\n" + lines.map { $0 + "\n" }.joined() + "\n" }
    self.bytes += bytes
  }

  /// All of it, with what was freed.
  var text: String { lines + "Total reclaimed space: \(Human.size(bytes))\n" }

  /// Writes it.
  func write() { Output.write(text) }
}
