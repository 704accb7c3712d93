public import Faults
public import FoundationEssentials

/// Any JSON value, where the shape is free or another specification's.
public enum JSONValue: Sendable, Hashable {
  /// `null`
  case null
  /// `true` or `false`
  case bool(Bool)
  /// A whole number that fits 64 bits.
  case int(Int64)
  /// Any other number.
  case double(Double)
  /// Text.
  case string(String)
  /// Values in order.
  case array([JSONValue])
  /// Values by name.
  case object([String: JSONValue])
}

extension JSONValue: Codable {
  /// Reads any value. A wrong guess costs a thrown error: what is frequent is tried first.
  public init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if let text = try? value.decode(String.self) {
      self = .string(text)
    } else if value.decodeNil() {
      self = .null
    } else if let keyed = try? decoder.container(keyedBy: JSONName.self) {
      var members: [String: JSONValue] = [:]
      for key in keyed.allKeys { members[key.stringValue] = try keyed.decode(JSONValue.self, forKey: key) }
      self = .object(members)
    } else if let number = try? value.decode(Int64.self) {
      self = .int(number)
    } else if let on = try? value.decode(Bool.self) {
      self = .bool(on)
    } else if var items = try? decoder.unkeyedContainer() {
      var values: [JSONValue] = []
      while !items.isAtEnd { values.append(try items.decode(JSONValue.self)) }
      self = .array(values)
    } else {
      self = .double(try value.decode(Double.self))
    }
  }

  /// Writes the value.
  public func encode(to encoder: any Encoder) throws {
    switch self {
    case .object(let members):
      var container = encoder.container(keyedBy: JSONName.self)
      for (name, value) in members { try container.encode(value, forKey: JSONName(stringValue: name)) }
    case .array(let values):
      var container = encoder.unkeyedContainer()
      for value in values { try container.encode(value) }
    default:
      var container = encoder.singleValueContainer()
      switch self {
      case .bool(let on): try container.encode(on)
      case .int(let number): try container.encode(number)
      case .double(let number): try container.encode(number)
      case .string(let text): try container.encode(text)
      default: try container.encodeNil()
      }
    }
  }

  private struct JSONName: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }
}

extension JSONValue {
  /// Reads JSON text.
  public init(parsing text: Data) throws(Fault) { self = try RPCCoding.decode(text) }

  /// Any encodable value as free JSON.
  public init(encoding value: some Encodable) throws(Fault) {
    self = try RPCCoding.decode(try RPCCoding.encode(value))
  }

  /// The value as a type of its own.
  public func decode<T: Decodable>(as type: T.Type = T.self) throws(Fault) -> T {
    try RPCCoding.decode(try RPCCoding.encode(self))
  }

  /// The member of that name; nil when there is none or this is no object. Setting works on objects and on `.null`.
  public subscript(name: String) -> JSONValue? {
    get {
      guard case .object(let members) = self else { return nil }
      return members[name]
    }
    set {
      switch self {
      case .object(var members):
        members[name] = newValue
        self = .object(members)
      case .null: self = .object(newValue.map { [name: $0] } ?? [:])
      default: break
      }
    }
  }

  /// The item at `index`; nil when there is none or this is no array.
  public subscript(index: Int) -> JSONValue? {
    guard case .array(let values) = self, values.indices.contains(index) else { return nil }
    return values[index]
  }

  /// The text, if this is a string.
  public var stringValue: String? { if case .string(let text) = self { text } else { nil } }
  /// The number, if this is a whole one.
  public var intValue: Int64? { if case .int(let number) = self { number } else { nil } }
  /// Whether it is true, if this is a truth value.
  public var boolValue: Bool? { if case .bool(let on) = self { on } else { nil } }
  /// The items, if this is an array.
  public var arrayValue: [JSONValue]? { if case .array(let values) = self { values } else { nil } }
  /// The members, if this is an object.
  public var objectValue: [String: JSONValue]? { if case .object(let members) = self { members } else { nil } }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  /// `nil` is `null`.
  public init(nilLiteral: ()) { self = .null }
  /// A truth value.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// A whole number.
  public init(integerLiteral value: Int64) { self = .int(value) }
  /// A number.
  public init(floatLiteral value: Double) { self = .double(value) }
  /// Text.
  public init(stringLiteral value: String) { self = .string(value) }
  /// Values in order.
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  /// Values by name; the last of equal names counts.
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(Dictionary(elements) { _, last in last })
  }
}
