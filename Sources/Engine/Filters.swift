import Faults

/// The filters of a list or of events: names with their alternatives, as in `{"label":["a=b"],"status":["running"]}`.
struct Filters: Sendable, Equatable {
  private var values: [String: [String]]

  init(_ values: [String: [String]] = [:]) { self.values = values.filter { !$0.value.isEmpty } }

  /// The alternatives of a filter; nil when it was not given.
  subscript(_ name: String) -> [String]? { values[name] }

  var isEmpty: Bool { values.isEmpty }

  /// Throws for the first name that is not in `known`.
  func refuseUnknown(_ known: Set<String>) throws {
    if let name = values.keys.sorted().first(where: { !known.contains($0) }) {
      throw Fault(
        .invalidArgument, "invalid filter '\(name)': known filters are \(known.sorted().joined(separator: ", "))")
    }
  }

  /// The yes-or-no filter `name`; nil when it was not given.
  func boolean(_ name: String) throws -> Bool? {
    guard let given = values[name] else { return nil }
    var result: Bool?
    for value in given {
      switch value.lowercased() {
      case "1", "true", "t": result = true
      case "0", "false", "f": result = false
      default: throw Fault(.invalidArgument, "invalid filter '\(name)=\(value)': it takes true or false")
      }
    }
    return result
  }

  /// Whether every `label` filter (`key` or `key=value`) holds for `labels`, and no `label!` does.
  func matchesLabels(_ labels: [String: String]) -> Bool {
    func holds(_ wanted: String) -> Bool {
      guard let split = wanted.firstIndex(of: "=") else { return labels[wanted] != nil }
      return labels[String(wanted[..<split])] == String(wanted[wanted.index(after: split)...])
    }
    return (values["label"] ?? []).allSatisfy(holds) && !(values["label!"] ?? []).contains(where: holds)
  }

  /// Whether one value of filter `name` is found in one of `sources`, as a regular expression does, or equals it.
  func matchesPattern(_ name: String, _ sources: [String]) -> Bool {
    guard let wanted = values[name] else { return true }
    return wanted.contains { pattern in
      if sources.contains(pattern) { return true }
      // Plain letters, digits and dashes mean themselves: no regular expression needs to be built for them.
      let plain = pattern.utf8.allSatisfy {
        ($0 >= 48 && $0 <= 57) || ($0 >= 65 && $0 <= 90) || ($0 >= 97 && $0 <= 122) || $0 == 45 || $0 == 95 || $0 == 47
      }
      if plain { return sources.contains { $0.contains(pattern) } }
      guard pattern.utf8.count <= 256, let regex = try? Regex(pattern) else { return false }
      return sources.contains { $0.firstMatch(of: regex) != nil }
    }
  }
}
