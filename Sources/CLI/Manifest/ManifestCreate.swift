internal import OCI

/// `gantry manifest create`: begins a list of manifests that are at a registry.
struct ManifestCreate: Command {
  static let about = About(
    usage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
    summary: "Create a local manifest list for annotating and pushing to a registry", arity: .atLeast(2),
    discussion: """
      The images must be at the registry; their platforms are taken from their configurations. The list is kept in
      ~/.docker/manifests until `gantry manifest push` makes it one image for several platforms.
      """,
    examples: [
      (
        "gantry manifest create localhost:5000/box:1 localhost:5000/box:1-amd64 localhost:5000/box:1-arm64",
        "One name for two images"
      )
    ])
  static let flags: [Flag<ManifestCreate>] = [
    .toggle("amend", "a", "Amend an existing manifest list") { $0.amends = $1 },
    .toggle("insecure", nil, "Allow communication with an insecure registry") { $0.insecure = $1 },
  ]

  var amends = false
  var insecure = false
  var list = ""
  var images: [String] = []

  mutating func take(operands: [String]) throws {
    list = operands[0]
    images = Array(operands.dropFirst())
  }

  func run(in session: Session) throws -> Int32 {
    let target = try Reference(parsing: list).withDefaultTag
    let store = try session.manifestStore()
    if try store.manifests(of: target) != nil, !amends {
      throw CommandFailure("refusing to amend an existing manifest list with no --amend flag")
    }
    // All are fetched before one is kept: a list is made whole or not at all.
    let found = try images.map { text in
      let name = try Reference(parsing: text).withDefaultTag
      return (name, try store.manifest(of: name, in: target) ?? session.listedManifest(name, insecure: insecure))
    }
    for (name, manifest) in found { try store.set(manifest, of: name, in: target) }
    Output.write("Created manifest list \(target.canonical)\n")
    return 0
  }
}
