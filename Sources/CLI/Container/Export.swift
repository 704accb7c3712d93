internal import Faults
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol
internal import SystemPackage

/// `gantry export`: a container's whole file system as a tar archive.
struct Export: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER", summary: "Export a container's filesystem as a tar archive", arity: .exactly(1),
    completes: .container,
    discussion: "Volumes are not a part of it. The container may be running; its files are taken one after the other.",
    examples: [
      ("gantry export -o web.tar web", "Into a file"), ("gantry export web | tar -t", "Into a pipe"),
    ])
  static let flags: [Flag<Export>] = [
    .value("output", "o", "string", "Write to a file, instead of STDOUT") { $0.output = $1 }
  ]

  var output = ""
  var container = ""

  mutating func take(operands: [String]) throws { container = operands[0] }

  func run(in session: Session) throws -> Int32 {
    try ArchiveOutput.write(to: output, failing: "failed to export container") { try transfer(session, to: $0) }
    return 0
  }

  private func transfer(_ session: Session, to output: Int32) throws {
    let opened = try session.call(GatewayAPI.Method.containerExport, .init(container: container))
    let stream = try session.open(opened.stream)
    let transfer = Transfer(session: session, copy: opened.copy)
    try transfer.run { try Transfer.pump(stream.rawValue, output) }
    try transfer.finish()
  }
}

/// `gantry diff`: what a container changed of its image.
struct Diff: Command {
  static let about = About(
    usage: "CONTAINER", summary: "Inspect changes to files or directories on a container's filesystem",
    arity: .exactly(1), completes: .container, discussion: "A stands for added, C for changed, D for deleted.",
    examples: [("gantry diff web", "Everything that it wrote outside of volumes")])

  var container = ""

  mutating func take(operands: [String]) throws { container = operands[0] }

  func run(in session: Session) throws -> Int32 {
    let opened = try session.call(GatewayAPI.Method.containerChanges, .init(container: container))
    let stream = try session.open(opened.stream)
    let transfer = Transfer(session: session, copy: opened.copy)
    var rest: [UInt8] = []
    var text: [UInt8] = []
    while true {
      let part = try [UInt8](unsafeUninitializedCapacity: 64 << 10) { buffer, count in
        count = try Descriptors.read(stream.rawValue, into: UnsafeMutableRawBufferPointer(buffer))
      }
      if part.isEmpty { break }
      rest += part
      let records = rest.split(separator: 0, omittingEmptySubsequences: false)
      for record in records.dropLast() where !record.isEmpty {
        text.append(record[record.startIndex])
        text.append(32)
        text += record.dropFirst()
        text.append(10)
      }
      rest = records.last.map(Array.init) ?? []
      try text.withUnsafeBytes { try Descriptors.writeAll(STDOUT_FILENO, $0) }
      text.removeAll(keepingCapacity: true)
    }
    try transfer.finish()
    return 0
  }
}
