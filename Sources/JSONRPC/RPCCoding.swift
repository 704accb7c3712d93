public import Faults
public import FoundationEssentials

/// Values to JSON and back, with failures in plain words.
public enum RPCCoding {
  /// JSON text of `value`, on one line.
  public static func encode(_ value: some Encodable) throws(Fault) -> Data {
    do {
      let encoder = JSONEncoder()
      encoder.outputFormatting = .withoutEscapingSlashes
      return try encoder.encode(value)
    } catch {
      throw Fault(.internal, "a message cannot be written as JSON", cause: ["\(error)"])
    }
  }

  /// The value that JSON text holds; `.invalidArgument` names the field that does not fit.
  public static func decode<T: Decodable>(_ text: Data) throws(Fault) -> T {
    do {
      return try JSONDecoder().decode(T.self, from: text)
    } catch let error as DecodingError {
      throw Fault(.invalidArgument, words(of: error))
    } catch {
      throw Fault(.invalidArgument, "the JSON value does not fit", cause: ["\(error)"])
    }
  }

  /// The failure for a method that no service has.
  public static func unknownMethod(_ method: String) -> Fault {
    Fault(.unknownMethod, "there is no method \"\(method.prefix(200))\": rpc.discover lists those there are")
  }

  private static func words(of error: DecodingError) -> String {
    switch error {
    case .keyNotFound(let key, let context):
      return "\(path(context.codingPath + [key])): is missing"
    case .valueNotFound(let type, let context):
      return "\(path(context.codingPath)): is null, must be \(name(type))"
    case .typeMismatch(let type, let context):
      return "\(path(context.codingPath)): must be \(name(type))"
    case .dataCorrupted(let context):
      return "\(path(context.codingPath)): \(context.debugDescription)"
    @unknown default:
      return "the JSON value does not fit"
    }
  }

  private static func path(_ keys: [any CodingKey]) -> String {
    var text = ""
    for key in keys {
      if let index = key.intValue { text += "[\(index)]" } else { text += (text.isEmpty ? "" : ".") + key.stringValue }
    }
    return text.isEmpty ? "params" : text
  }

  private static func name(_ type: Any.Type) -> String {
    switch type {
    case is String.Type: return "a string"
    case is Int64.Type, is Int.Type, is Int32.Type, is UInt32.Type, is UInt64.Type: return "a whole number"
    case is Double.Type: return "a number"
    case is Bool.Type: return "true or false"
    default:
      let text = "\(type)"
      return text.hasPrefix("Array") ? "an array" : "an object"
    }
  }
}
