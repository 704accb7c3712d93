/// `gantry logout`: forgets the credentials of a registry.
struct Logout: Command {
  static let about = About(
    usage: "[SERVER]", summary: "Log out from a registry", arity: .atMost(1), completes: .registry,
    discussion: "Defaults to Docker Hub if no server is specified.",
    examples: [("gantry logout registry.example:5000", "Forget what login has kept")])

  var server: String?

  mutating func take(operands: [String]) throws { server = operands.first }

  func run(in session: Session) throws -> Int32 {
    let key = RegistryServer.key(server)
    guard try session.credentials.erase(key) else {
      Output.write("Not logged in to \(key)\n")
      return 0
    }
    Output.write("Removing login credentials for \(key)\n")
    return 0
  }
}
