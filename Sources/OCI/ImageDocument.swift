public import Faults
public import FoundationEssentials

/// Reads and writes the JSON documents of images: bounded, with faults in plain words.
public enum ImageDocument {
  /// The greatest length of a manifest, index or configuration, in bytes; registries and containerd use the same bound.
  public static let sizeLimit = 4 << 20

  /// Decodes `data`, which `name` says what it is ("the manifest sha256:…").
  ///
  /// Throws `limitExceeded` beyond `sizeLimit`, `corrupt` when it is not such a document.
  public static func decode<Document: Decodable>(
    _ type: Document.Type, from data: Data, named name: String
  ) throws(Fault) -> Document {
    guard data.count <= sizeLimit else {
      throw Fault(.limitExceeded, "\(name) has \(data.count) bytes; more than \(sizeLimit) are not accepted")
    }
    try checkForm(data, name)
    do {
      return try JSONDecoder().decode(type, from: data)
    } catch let fault as Fault {
      throw Fault(.corrupt, "\(name) is not valid", cause: [fault.message] + fault.cause)
    } catch let error as DecodingError {
      throw Fault(.corrupt, "\(name) is not valid", cause: [describe(error)])
    } catch {
      throw Fault(.corrupt, "\(name) is not valid", cause: ["\(error)"])
    }
  }

  private static func checkForm(_ data: Data, _ name: String) throws(Fault) {
    let result = data.withUnsafeBytes { bytes in
      Result { () throws(Fault) in try StrictJSON.check(bytes, named: name) }
    }
    try result.get()
  }

  /// Decodes an image's manifest that a descriptor called `mediaType`.
  ///
  /// Throws `corrupt` for a document that could be read as both a manifest and an index, or as another type than it was
  /// called (CVE-2021-41190), `unsupported` for what is no image.
  public static func manifest(_ data: Data, mediaType: String, digest: Digest) throws(Fault) -> ImageManifest {
    let name = "the manifest \(digest)"
    let shape = try decode(Shape.self, from: data, named: name)
    guard shape.manifests == nil else {
      throw Fault(.corrupt, "\(name) has a list of manifests as well; it is not used")
    }
    try check(shape, mediaType, name)
    guard MediaType.isManifest(shape.mediaType ?? mediaType) else {
      throw Fault(.unsupported, "\(name) is of type \(mediaType.prefix(120)), which is not an image's manifest")
    }
    let manifest = try decode(ImageManifest.self, from: data, named: name)
    guard MediaType.isConfig(manifest.config.mediaType) else {
      throw Fault(
        .unsupported, "\(name) describes a \(manifest.config.mediaType.prefix(120)), which is not a container image")
    }
    return manifest
  }

  /// Decodes an index that a descriptor called `mediaType`; faults as `manifest`.
  public static func index(_ data: Data, mediaType: String, digest: Digest) throws(Fault) -> ImageIndex {
    let name = "the index \(digest)"
    let shape = try decode(Shape.self, from: data, named: name)
    guard shape.layers == nil, shape.config == nil else {
      throw Fault(.corrupt, "\(name) has layers of its own as well; it is not used")
    }
    try check(shape, mediaType, name)
    return try decode(ImageIndex.self, from: data, named: name)
  }

  private static func check(_ shape: Shape, _ mediaType: String, _ name: String) throws(Fault) {
    guard shape.schemaVersion == 2 else {
      throw Fault(.unsupported, "\(name) has schema version \(shape.schemaVersion ?? 0); only version 2 is read")
    }
    guard shape.mediaType == nil || shape.mediaType == mediaType else {
      throw Fault(
        .corrupt, "\(name) says it is a \(shape.mediaType?.prefix(120) ?? "") but was called a \(mediaType.prefix(120))"
      )
    }
  }

  /// What tells a manifest from an index.
  private struct Shape: Decodable {
    struct Anything: Decodable {
      init(from decoder: any Decoder) throws {}
    }

    var schemaVersion: Int?
    var mediaType: String?
    var manifests: Anything?
    var layers: Anything?
    var config: Anything?
  }

  /// Encodes `document` with sorted keys, so that equal documents have equal digests.
  public static func encode(_ document: some Encodable) throws(Fault) -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      return try encoder.encode(document)
    } catch {
      throw Fault(.internal, "an image document cannot be written as JSON", cause: ["\(error)"])
    }
  }

  /// The place and the kind of a decoding failure, without the content.
  private static func describe(_ error: DecodingError) -> String {
    func place(_ path: [any CodingKey]) -> String {
      path.isEmpty
        ? "the document" : path.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
    }
    switch error {
    case .keyNotFound(let key, let context):
      return "\(place(context.codingPath + [key])) is missing"
    case .valueNotFound(_, let context):
      return "\(place(context.codingPath)) is null"
    case .typeMismatch(let type, let context):
      return "\(place(context.codingPath)) is not of type \(type)"
    case .dataCorrupted(let context):
      return "\(place(context.codingPath)): \(context.debugDescription)"
    @unknown default:
      return "it cannot be decoded"
    }
  }
}
