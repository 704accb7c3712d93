import Faults
import FoundationEssentials
import JSONRPC
import Protocol
import Testing

/// The documents themselves: OpenRPC 1.3, complete, and true to their own schemas.
@Suite struct DocumentTests {
  @Test(arguments: Documents.names)
  func isOpenRPC(_ name: String) throws {
    let document = try Documents.read(name)
    #expect(document["openrpc"]?.stringValue?.hasPrefix("1.3.") == true)
    #expect(document["info"]?["title"]?.stringValue?.isEmpty == false)
    #expect(document["info"]?["version"]?.stringValue == GantryVersion.current)
    let methods = document["methods"]?.arrayValue ?? []
    let names = methods.compactMap { $0["name"]?.stringValue }
    #expect(!names.isEmpty && Set(names).count == names.count && names.count == methods.count)
    for method in methods {
      let name = method["name"]?.stringValue ?? ""
      #expect(method["summary"]?.stringValue?.isEmpty == false, "\(name)")
      #expect(method["paramStructure"] == "by-name", "\(name)")
      #expect(method["examples"]?.arrayValue?.isEmpty == false, "\(name)")
      #expect(method["result"]?["schema"]?["type"] == "object", "\(name)")
      for param in method["params"]?.arrayValue ?? [] {
        #expect(param["name"]?.stringValue != nil && param["schema"]?.objectValue != nil, "\(name)")
      }
    }
  }

  @Test(arguments: Documents.names)
  func examplesFitTheSchemas(_ name: String) throws {
    let document = try Documents.read(name)
    for method in document["methods"]?.arrayValue ?? [] {
      let method = try #require(method.objectValue)
      let place = method["name"]?.stringValue ?? ""
      let params = method["params"]?.arrayValue ?? []
      for example in method["examples"]?.arrayValue ?? [] {
        let given = Set((example["params"]?.arrayValue ?? []).compactMap { $0["name"]?.stringValue })
        for param in params {
          let required = param["required"] == true
          #expect(!required || given.contains(param["name"]?.stringValue ?? ""), "\(place): \(param)")
        }
        for value in example["params"]?.arrayValue ?? [] {
          let param = try #require(params.first { $0["name"] == value["name"] }, "\(place): \(value)")
          #expect(
            try Documents.problems(value["value"] ?? .null, param["schema"] ?? .null, in: name, at: place).isEmpty)
        }
        let found = try Documents.problems(
          example["result"]?["value"] ?? .null, method["result"]?["schema"] ?? .null, in: name, at: place)
        #expect(found.isEmpty)
      }
    }
    for note in document["x-notifications"]?.arrayValue ?? [] {
      for example in note["examples"]?.arrayValue ?? [] {
        let place = note["name"]?.stringValue ?? ""
        #expect(try Documents.problems(example, note["params"] ?? .null, in: name, at: place).isEmpty)
      }
    }
  }

  @Test(arguments: Documents.names)
  func errorsAreThoseOfTheTable(_ name: String) throws {
    for method in try Documents.read(name)["methods"]?.arrayValue ?? [] {
      for error in method["errors"]?.arrayValue ?? [] {
        let code = try #require(error["data"]?["code"]?.stringValue)
        #expect(FaultCode(rawValue: code).number == Int(error["code"]?.intValue ?? 0), "\(code)")
        #expect(FaultCode.all.contains(FaultCode(rawValue: code)), "\(code)")
      }
    }
  }

  @Test func everyErrorHasItsCode() throws {
    let errors = try Documents.read("errors.json")["errors"]?.arrayValue ?? []
    #expect(errors.count == FaultCode.all.count)
    for error in errors {
      let code = FaultCode(rawValue: error["name"]?.stringValue ?? "")
      #expect(FaultCode.all.contains(code))
      #expect(code.number == Int(error["number"]?.intValue ?? 0))
      #expect(code.httpStatus == Int(error["http"]?.intValue ?? 0))
      #expect(code.isRetryable == error["retryable"]?.boolValue)
      #expect(FaultCode(number: code.number) == code)
    }
    #expect(FaultCode(rawValue: "ofTomorrow").number == -32603)
    #expect(FaultCode(number: 7) == .internal)
  }

  /// What rpc.discover gives is complete in itself: every `$ref` leads to something in the same document.
  @Test(arguments: [
    CommonDocument.text, GatewayDocument.text, ImageDocument.text, ShimDocument.text, SnapshotDocument.text,
    TaskDocument.text,
  ])
  func discoveredDocumentStandsAlone(_ text: String) throws {
    let document = try JSONValue(parsing: Data(text.utf8))
    var references: [String] = []
    func collect(_ value: JSONValue) {
      if let reference = value["$ref"]?.stringValue { references.append(reference) }
      value.objectValue?.values.forEach(collect)
      value.arrayValue?.forEach(collect)
    }
    collect(document)
    for reference in references {
      #expect(reference.hasPrefix("#/"))
      var value: JSONValue? = document
      for part in reference.dropFirst(2).split(separator: "/") { value = value?[String(part)] }
      #expect(value != nil, "\(reference)")
    }
    #expect(document["methods"]?.arrayValue?.contains { $0["name"] == "service.ping" } == true)
  }
}
