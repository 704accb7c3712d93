import FoundationEssentials
import JSONRPC
import Synchronization

/// The documents of the repository, as they lie on disk.
enum Documents {
  /// `Protocols`
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Protocols")

  /// Every OpenRPC document, relative to `folder`.
  static let names = ["gateway", "image", "shim", "snapshot", "task", "types/service"].map { $0 + ".openrpc.json" }

  private static let cache = Mutex<[String: JSONValue]>([:])

  static func read(_ name: String) throws -> JSONValue {
    if let known = cache.withLock({ $0[name] }) { return known }
    let document = try JSONValue(parsing: try Data(contentsOf: folder.appending(path: name)))
    cache.withLock { $0[name] = document }
    return document
  }

  /// The value that a `$ref` in `document` leads to, and the document that holds it.
  static func resolve(_ reference: String, from document: String) throws -> (value: JSONValue, document: String)? {
    let parts = reference.split(separator: "#", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2 else { return nil }
    var target = document
    if !parts[0].isEmpty {
      let folder = document.contains("/") ? String(document[...document.lastIndex(of: "/")!]) : ""
      target = folder + parts[0]
    }
    var value: JSONValue? = try read(target)
    for part in parts[1].split(separator: "/") { value = value?[String(part)] }
    return value.map { ($0, target) }
  }

  /// Why `value` does not fit `schema`; empty when it does.
  static func problems(_ value: JSONValue, _ schema: JSONValue, in document: String, at path: String) throws -> [String]
  {
    if let reference = schema["$ref"]?.stringValue {
      guard let target = try resolve(reference, from: document) else { return ["\(path): \(reference) leads nowhere"] }
      return try problems(value, target.value, in: target.document, at: path)
    }
    let types = schema["type"]?.arrayValue?.compactMap(\.stringValue) ?? [schema["type"]?.stringValue ?? "none"]
    if value == .null { return types.contains("null") ? [] : ["\(path): is null"] }
    switch (types[0], value) {
    case ("string", .string), ("integer", .int), ("boolean", .bool), ("number", .int), ("number", .double): return []
    case ("array", .array(let items)):
      return try items.enumerated().flatMap {
        try problems($0.element, schema["items"] ?? .null, in: document, at: "\(path)[\($0.offset)]")
      }
    case ("object", .object(let members)): return try object(members, schema, in: document, at: path)
    default: return ["\(path): is not of type \(types[0])"]
    }
  }

  private static func object(
    _ members: [String: JSONValue], _ schema: JSONValue, in document: String, at path: String
  ) throws -> [String] {
    var found: [String] = []
    for name in schema["required"]?.arrayValue?.compactMap(\.stringValue) ?? [] where members[name] == nil {
      found.append("\(path).\(name): is missing")
    }
    let properties = schema["properties"]?.objectValue ?? [:]
    for (name, value) in members {
      if let property = properties[name] {
        found += try problems(value, property, in: document, at: "\(path).\(name)")
      } else if let values = schema["additionalProperties"] {
        if values != .bool(true) { found += try problems(value, values, in: document, at: "\(path).\(name)") }
      } else {
        found.append("\(path).\(name): is not in the schema")
      }
    }
    return found
  }
}
