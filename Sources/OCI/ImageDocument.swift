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
      path.isEmpty ? "the document" : path.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
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
