import FoundationEssentials
import JSONRPC
import Testing

/// Every example of every document, read into the generated types and written again.
@Suite struct ExampleTests {
  /// Params, result and name of each example of a method or notification.
  private static func examples(_ entry: ContractEntry) throws -> [(params: JSONValue, result: JSONValue?)] {
    let document = try Documents.read(entry.document)
    let name = JSONValue.string(entry.name)
    if let method = document["methods"]?.arrayValue?.first(where: { $0["name"] == name }) {
      return (method["examples"]?.arrayValue ?? []).map { example in
        var params: [String: JSONValue] = [:]
        for param in example["params"]?.arrayValue ?? [] { params[param["name"]?.stringValue ?? ""] = param["value"] }
        return (.object(params), example["result"]?["value"])
      }
    }
    let note = document["x-notifications"]?.arrayValue?.first { $0["name"] == name }
    return (note?["examples"]?.arrayValue ?? []).map { ($0, nil) }
  }

  @Test("survives reading and writing", arguments: contractEntries)
  func roundTrip(_ entry: ContractEntry) throws {
    let examples = try Self.examples(entry)
    #expect(!examples.isEmpty, "\(entry.name) has no example")
    for example in examples {
      let params = try JSONValue(parsing: try entry.params(try RPCCoding.encode(example.params)))
      #expect(params == example.params)
      if let result = example.result, let write = entry.result {
        #expect(try JSONValue(parsing: try write(try RPCCoding.encode(result))) == result)
      }
    }
  }

  @Test func everyMethodHasAnEntry() throws {
    var names: Set<String> = []
    for file in Documents.names {
      let document = try Documents.read(file)
      for list in ["methods", "x-notifications"] {
        for item in document[list]?.arrayValue ?? [] { names.insert("\(file) \(item["name"]?.stringValue ?? "")") }
      }
    }
    #expect(names.count == contractEntries.count)
  }
}
