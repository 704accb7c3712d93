/// One field of a struct.
struct Field {
  let name: String
  let type: String
  let isRequired: Bool
  let summary: String
}

/// What a schema becomes.
struct Schema {
  enum Form {
    case structure([Field])
    /// Values of an open set of strings.
    case open([(value: String, summary: String)])
  }

  let name: String
  let summary: String
  let form: Form

  var fields: [Field] { if case .structure(let fields) = form { fields } else { [] } }
}

/// One method of a service.
struct Method {
  let name: String
  let function: String
  let summary: String
  let params: [Field]
  let result: [Field]
  let isUnbounded: Bool
  let isMutating: Bool
  let deadlineMilliseconds: Int?

  var typeName: String { Names.capitalised(function) }
  var fields: [Field] { params + result }
}

/// A message of the server that nobody asked for.
struct Notification {
  let name: String
  let member: String
  let type: String
  let summary: String
}

/// One OpenRPC document, read for generation.
struct Document {
  let file: String
  let text: JSONText
  /// `Image`.
  let service: String
  let summary: String
  let isSynchronous: Bool
  let methods: [Method]
  let notifications: [Notification]
  let schemas: [Schema]

  init(file: String, text: JSONText) throws {
    self.file = file
    self.text = text
    guard let service = text["x-service"]?.string else { throw DocumentError("\(file): x-service is missing") }
    self.service = service
    let noun = text["x-noun"]?.string ?? service.lowercased()
    summary = text["info"]?["description"]?.string ?? ""
    isSynchronous = text["x-synchronous"]?.bool ?? false
    let types = TypeNames(file: file)
    methods = try (text["methods"]?.array ?? []).map { try Method($0, noun: noun, types: types) }
    notifications = try (text["x-notifications"]?.array ?? []).map { text in
      guard let name = text["name"]?.string, let schema = text["params"] else {
        throw DocumentError("\(file): a notification wants name and params")
      }
      return Notification(
        name: name, member: Document.function(name, noun: noun), type: try types.name(of: schema, at: name),
        summary: text["summary"]?.string ?? "")
    }
    schemas = try (text["components"]?["schemas"]?.members ?? []).compactMap {
      try Schema(name: $0.name, text: $0.value, types: types)
    }
  }

  /// `image.resolve` → `resolve` in the image service, `imageResolve` elsewhere.
  static func function(_ name: String, noun: String) -> String {
    let parts = name.split(separator: ".").map(String.init)
    guard parts.count == 2 else { return Names.property(name) }
    return parts[0] == noun ? parts[1] : parts[0] + Names.capitalised(parts[1])
  }
}

extension Method {
  init(_ text: JSONText, noun: String, types: TypeNames) throws {
    guard let name = text["name"]?.string, let result = text["result"]?["schema"] else {
      throw DocumentError("\(types.file): a method wants name and result")
    }
    self.name = name
    function = Document.function(name, noun: noun)
    summary = text["summary"]?.string ?? ""
    params = try (text["params"]?.array ?? []).map { param in
      guard let field = param["name"]?.string, let schema = param["schema"] else {
        throw DocumentError("\(types.file): \(name): a param wants name and schema")
      }
      return Field(
        name: field, type: try types.name(of: schema, at: "\(name).\(field)"),
        isRequired: param["required"]?.bool ?? false, summary: param["description"]?.string ?? "")
    }
    self.result = try types.fields(of: result, at: name)
    isUnbounded = text["x-unbounded"]?.bool ?? false
    isMutating = text["x-mutating"]?.bool ?? false
    deadlineMilliseconds = text["x-deadlineMs"]?.int
  }
}

extension Schema {
  /// nil for a schema that is a Swift type of another module.
  init?(name: String, text: JSONText, types: TypeNames) throws {
    if text["x-swift-type"] != nil { return nil }
    self.name = name
    summary = text["description"]?.string ?? ""
    if text["type"]?.string == "string" {
      let notes = text["x-enum-descriptions"]
      form = .open((text["enum"]?.array ?? []).compactMap(\.string).map { ($0, notes?[$0]?.string ?? "") })
    } else {
      form = .structure(try types.fields(of: text, at: name))
    }
  }
}

/// Names the Swift type of a schema.
struct TypeNames {
  let file: String
  /// Schemas of other files that are Swift types of another module: `types/oci.json#/components/schemas/X`.
  /// Unsafe but right: protogen has one thread.
  nonisolated(unsafe) static var foreign: [String: String] = [:]

  func fields(of schema: JSONText, at place: String) throws -> [Field] {
    guard schema["type"]?.string == "object" else { throw DocumentError("\(file): \(place): must be an object") }
    let required = Set((schema["required"]?.array ?? []).compactMap(\.string))
    return try (schema["properties"]?.members ?? []).map { member in
      Field(
        name: member.name, type: try name(of: member.value, at: "\(place).\(member.name)"),
        isRequired: required.contains(member.name), summary: member.value["description"]?.string ?? "")
    }
  }

  func name(of schema: JSONText, at place: String) throws -> String {
    if let reference = schema["$ref"]?.string {
      guard let name = reference.split(separator: "/").last.map(String.init) else {
        throw DocumentError("\(file): \(place): empty $ref")
      }
      return Self.foreign[name] ?? name
    }
    if let types = schema["type"]?.array, types.count == 2, types[1].string == "null" {
      var members = schema.members.filter { $0.name != "type" }
      members.append(("type", types[0]))
      return try name(of: .object(members), at: place) + "?"
    }
    switch schema["type"]?.string {
    case "string": return "String"
    case "integer": return "Int64"
    case "number": return "Double"
    case "boolean": return "Bool"
    case "array":
      guard let items = schema["items"] else { throw DocumentError("\(file): \(place): an array wants items") }
      return "[" + (try name(of: items, at: place)) + "]"
    case "object":
      if let values = schema["additionalProperties"], values["type"] != nil || values["$ref"] != nil {
        return "[String: " + (try name(of: values, at: place)) + "]"
      }
      if schema["properties"] != nil { throw DocumentError("\(file): \(place): name this object in components") }
      return "JSONValue"
    default: throw DocumentError("\(file): \(place): type is missing or unknown")
    }
  }
}
