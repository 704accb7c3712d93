internal import JSONRPC
internal import Linux
internal import Protocol

/// `gantry __complete WORD...`: what the last word could become, one offer a line with its meaning after a tab. Only the
/// completion scripts call it.
struct Complete: Command {
  static let about = About(
    usage: "WORD...", summary: "Offer completions", arity: .any, stopsAtOperand: true, hidden: true)

  var words: [String] = []

  mutating func take(operands: [String]) throws { words = operands }

  func run(in session: Session) throws -> Int32 {
    let last = words.last ?? ""
    for (text, meaning) in try Self.offers(words.dropLast(), last, session)
    where text.hasPrefix(last) || text == ":files" {
      Output.write("\(text)\t\(meaning)\n")
    }
    return 0
  }

  /// The offers for `last` after `words`.
  static func offers(_ words: [String], _ last: String, _ session: Session) throws -> [(String, String)] {
    var options = GlobalOptions()
    var reader = FlagReader(GlobalOptions.flags, stopsAtOperand: true)
    try reader.read(words, into: &options)
    var node = CommandTree.root
    var rest = reader.operands[...]
    while node.command == nil, let word = rest.first {
      guard let child = node.child(word) else { return [] }
      node = child
      rest.removeFirst()
    }
    guard let command = node.command else {
      if last.hasPrefix("-") { return flagOffers(GlobalOptions.flags) }
      return node.children.filter { !$0.isHidden }.map { ($0.name, $0.summary) }
    }
    return offers(of: command, rest, last, Session(options))
  }

  private static func offers<C: Command>(
    of type: C.Type, _ words: ArraySlice<String>, _ last: String, _ session: Session
  ) -> [(String, String)] {
    // A flag that waits for its value: files are the best guess.
    if let flag = words.last, flag.hasPrefix("-"), !flag.contains("="), takesValue(flag, type.flags) {
      return [(":files", "")]
    }
    if last.hasPrefix("-") { return flagOffers(type.flags) + [("--help", "Show the help of this command")] }
    switch type.about.completes {
    case .nothing: return []
    case .file: return [(":files", "")]
    case .shell: return Completion.shells.map { ($0, "") }
    case .service: return EngineService.all.map { ($0.program, "") } + [("supervisor", "")]
    case .image: return images(session)
    case .registry: return ((try? session.credentials.servers()) ?? []).map { ($0, "") }
    case .imageThenFiles:
      var ignored = C()
      var reader = FlagReader(type.flags, stopsAtOperand: true)
      try? reader.read(words, into: &ignored)
      return reader.operands.isEmpty ? images(session) : [(":files", "")]
    case .container: return containers(session)
    case .volume: return volumes(session)
    case .containerPath:
      // A path of this machine, or a container and a colon; what is in the container the shell cannot see.
      if last.hasPrefix("/") || last.hasPrefix(".") { return [(":files", "")] }
      let offers = containers(session).map { ($0.0 + ":", $0.1) }.filter { $0.0.hasPrefix(last) }
      return offers.isEmpty ? [(":files", "")] : offers
    }
  }

  private static func takesValue<C>(_ word: String, _ flags: [Flag<C>]) -> Bool {
    if word.hasPrefix("--") { return flags.contains { "--" + $0.long == word && $0.takesValue } }
    return flags.contains { $0.short == word.last && $0.takesValue }
  }

  private static func flagOffers<C>(_ flags: [Flag<C>]) -> [(String, String)] {
    flags.filter(\.isBuilt).map { ("--" + $0.long, $0.help) }.sorted { $0.0 < $1.0 }
  }

  private static func containers(_ session: Session) -> [(String, String)] {
    let deadline = Deadline.after(seconds: 2)
    guard
      let answer = try? session.gateway().call(GatewayAPI.Method.containerList, .init(all: true), deadline: deadline)
    else { return [] }
    return answer.containers.flatMap { summary in
      summary.names.map { ($0.hasPrefix("/") ? String($0.dropFirst()) : $0, summary.status) }
    }
  }

  private static func volumes(_ session: Session) -> [(String, String)] {
    let deadline = Deadline.after(seconds: 2)
    guard let answer = try? session.gateway().call(GatewayAPI.Method.volumeList, .init(), deadline: deadline) else {
      return []
    }
    return answer.volumes.map { ($0.name, $0.driver) }
  }

  private static func images(_ session: Session) -> [(String, String)] {
    let deadline = Deadline.after(seconds: 2)
    guard let answer = try? session.gateway().call(GatewayAPI.Method.imageList, .init(), deadline: deadline) else {
      return []
    }
    return answer.images.flatMap { image in image.repoTags.map { ($0, Human.size(image.size)) } }
  }
}
