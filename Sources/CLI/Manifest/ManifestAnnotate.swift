internal import OCI

/// `gantry manifest annotate`: corrects the platform of an image in a list.
struct ManifestAnnotate: Command {
  static let about = About(
    usage: "[OPTIONS] MANIFEST_LIST MANIFEST", summary: "Add additional information to a local image manifest",
    arity: .exactly(2),
    examples: [
      (
        "gantry manifest annotate --arch arm64 --variant v8 localhost:5000/box:1 localhost:5000/box:1-arm64",
        "What the image's configuration does not say"
      )
    ])
  static let flags: [Flag<ManifestAnnotate>] = [
    .value("arch", nil, "string", "Set architecture") { $0.architecture = $1 },
    .value("os", nil, "string", "Set operating system") { $0.os = $1 },
    .value("os-features", nil, "strings", "Set operating system feature") {
      $0.features += $1.split(separator: ",").map(String.init)
    },
    .value("os-version", nil, "string", "Set operating system version") { $0.version = $1 },
    .value("variant", nil, "string", "Set architecture variant") { $0.variant = $1 },
  ]

  var architecture: String?
  var os: String?
  var features: [String] = []
  var version: String?
  var variant: String?
  var list = ""
  var image = ""

  mutating func take(operands: [String]) throws {
    list = operands[0]
    image = operands[1]
  }

  func run(in session: Session) throws -> Int32 {
    let target = try Reference(parsing: list).withDefaultTag
    let name = try Reference(parsing: image).withDefaultTag
    let store = try session.manifestStore()
    guard var manifest = try store.manifest(of: name, in: target) else {
      throw CommandFailure("manifest for image \(name.familiar) does not exist in \(target.familiar)")
    }
    var platform = manifest.descriptor.platform ?? Platform(os: "", architecture: "")
    if let os { platform.os = os }
    if let architecture { platform.architecture = architecture }
    if let variant { platform.variant = variant }
    if let version { platform.osVersion = version }
    for feature in features where platform.osFeatures?.contains(feature) != true {
      platform.osFeatures = (platform.osFeatures ?? []) + [feature]
    }
    // The same rule as for a platform that a person writes.
    guard (try? Platform(parsing: "\(platform.os)/\(platform.architecture)")) != nil else {
      throw CommandFailure(
        "manifest entry for image has unsupported os/arch combination: \(platform.os)/\(platform.architecture)")
    }
    manifest.descriptor.platform = platform
    try store.set(manifest, of: name, in: target)
    return 0
  }
}
