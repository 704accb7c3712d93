internal import JSONRPC
internal import Protocol

/// `gantry commit`: an image of a container.
struct Commit: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]", summary: "Create a new image from a container's changes",
    arity: .between(1, 2), completes: .container,
    discussion: """
      What the container wrote becomes a layer on its image's; volumes are not a part of it. A running container is frozen
      while its files are copied. Changes are CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER,
      VOLUME and WORKDIR, as in a Dockerfile. Prints the image's id.
      """,
    examples: [
      ("gantry commit web web:2", "As it is now"),
      (
        "gantry commit -m 'with data' -a 'me' -c 'CMD [\"httpd\", \"-f\"]' -c 'EXPOSE 80' web web:2",
        "Also what it runs"
      ),
      ("gantry commit --pause=false web", "Without freezing it, and without a name"),
    ])
  static let flags: [Flag<Commit>] = [
    .value("author", "a", "string", "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")") { $0.author = $1 },
    .value("change", "c", "list", "Apply Dockerfile instruction to the created image") { $0.changes.append($1) },
    .value("message", "m", "string", "Commit message") { $0.message = $1 },
    .toggle("pause", "p", "Pause container during commit (default true)") { $0.pauses = $1 },
    .toggle("no-pause", nil, "Disable pausing container during commit") { $0.pauses = !$1 },
  ]

  var author: String?
  var changes: [String] = []
  var message: String?
  var pauses = true
  var container = ""
  var reference: String?

  mutating func take(operands: [String]) throws {
    container = operands[0]
    reference = operands.count > 1 ? operands[1] : nil
  }

  func run(in session: Session) throws -> Int32 {
    let answer = try session.call(
      GatewayAPI.Method.containerCommit,
      .init(
        container: container, reference: reference, author: author, comment: message, pause: pauses ? nil : false,
        changes: changes.isEmpty ? nil : changes))
    Output.write(answer.id + "\n")
    return 0
  }
}
