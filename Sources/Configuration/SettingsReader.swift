internal import Faults
internal import FoundationEssentials
internal import JSONRPC

/// One object of a configuration file, read so that every refusal names the file, the key and the value.
struct SettingsReader {
  private let members: [String: JSONValue]
  private let file: String
  private let path: String

  /// - Parameter path: where the object is in the file; empty for the file itself.
  init(_ value: JSONValue, file: String, path: String = "") throws(Fault) {
    guard let members = value.objectValue else {
      throw Fault(
        .invalidArgument,
        path.isEmpty ? "\(file) must be a JSON object: {\"key\": value}" : "\(file): \(path) must be an object")
    }
    self.members = members
    self.file = file
    self.path = path
  }

  private func place(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

  /// The refusal of what `key` holds; `reason` says what would be right.
  func refusal(_ key: String, _ reason: String) -> Fault {
    // Headers may hold secrets: a value is shown only where it stands for itself.
    let first = key.split(separator: ".").first.map(String.init) ?? key
    let shown = first == "headers" ? "" : members[key].map { " \(Self.shown($0))" } ?? ""
    return Fault(.invalidArgument, "\(file): \(place(key))\(shown): \(reason)")
  }

  /// Throws for a key that is not in `known`.
  func refuseUnknown(_ known: Set<String>) throws(Fault) {
    guard let key = members.keys.sorted().first(where: { !known.contains($0) }) else { return }
    throw Fault(
      .invalidArgument,
      "\(file): \(place(key)) is not a setting; there are \(known.sorted().joined(separator: ", "))")
  }

  /// What `read` makes of the value of `key`; nil when it is not there.
  func value<Value>(_ key: String, _ read: (JSONValue) throws(Fault) -> Value) throws(Fault) -> Value? {
    guard let value = members[key] else { return nil }
    do throws(Fault) {
      return try read(value)
    } catch {
      throw refusal(key, error.message)
    }
  }

  /// The list of texts under `key`, each as `read` takes it.
  func strings<Value>(_ key: String, _ read: (String) throws(Fault) -> Value) throws(Fault) -> [Value] {
    guard let value = members[key] else { return [] }
    guard let items = value.arrayValue else { throw refusal(key, "write a list of texts") }
    var values: [Value] = []
    for item in items {
      guard let text = item.stringValue else { throw refusal(key, "write a list of texts") }
      do throws(Fault) {
        values.append(try read(text))
      } catch {
        throw Fault(.invalidArgument, "\(file): \(place(key)): \(Self.shown(item)): \(error.message)")
      }
    }
    return values
  }

  /// The objects under `key` by name.
  func members(_ key: String) throws(Fault) -> [(String, SettingsReader)] {
    guard let value = members[key] else { return [] }
    guard let entries = value.objectValue else { throw refusal(key, "write an object") }
    var readers: [(String, SettingsReader)] = []
    for (name, entry) in entries.sorted(by: { $0.key < $1.key }) {
      readers.append((name, try SettingsReader(entry, file: file, path: "\(place(key)).\(name)")))
    }
    return readers
  }

  /// The texts under `key` by name.
  func pairs(_ key: String) throws(Fault) -> [(String, String)] {
    guard let value = members[key] else { return [] }
    guard let entries = value.objectValue else { throw refusal(key, "write an object of texts") }
    var pairs: [(String, String)] = []
    for (name, entry) in entries {
      guard let text = entry.stringValue else { throw refusal("\(key).\(name)", "write a text") }
      pairs.append((name, text))
    }
    return pairs
  }

  /// A path that means the same wherever the service runs.
  static func absolutePath(_ value: JSONValue) throws(Fault) -> String {
    guard let path = value.stringValue, path.hasPrefix("/"), !path.utf8.contains(0) else {
      throw Fault(.invalidArgument, "write an absolute path")
    }
    return path
  }

  private static func shown(_ value: JSONValue) -> String {
    let text = (try? RPCCoding.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "?"
    return text.count <= 100 ? text : text.prefix(100) + "…"
  }
}
