import Faults
import FoundationEssentials
import JSONRPC
import Testing

@Suite struct JSONValueTests {
  @Test func everyKindSurvives() throws {
    let text = #"{"a":null,"b":[true,false],"c":-9223372036854775808,"d":1.5,"e":"ü\n","f":{},"g":[]}"#
    let value = try JSONValue(parsing: Data(text.utf8))
    #expect(
      value == [
        "a": nil, "b": [true, false], "c": .int(.min), "d": 1.5, "e": "ü\n", "f": [:], "g": [],
      ])
    #expect(try JSONValue(parsing: try RPCCoding.encode(value)) == value)
  }

  @Test func numbersBeyond64BitsBecomeDoubles() throws {
    #expect(try JSONValue(parsing: Data("18446744073709551616".utf8)) == .double(18446744073709551616))
  }

  @Test func membersAreReachedAndSet() {
    var value: JSONValue = ["a": [1, 2]]
    #expect(value["a"]?[1] == 2)
    #expect(value["a"]?[2] == nil)
    #expect(value["b"] == nil)
    value["b"] = "x"
    #expect(value["b"]?.stringValue == "x")
    value["b"] = nil
    #expect(value.objectValue?.count == 1)
  }

  @Test func faultsNameTheField() {
    struct Inner: Codable { var count: Int64 }
    struct Outer: Codable { var items: [Inner] }
    do throws(Fault) {
      let _: Outer = try RPCCoding.decode(Data(#"{"items":[{"count":1},{"count":"x"}]}"#.utf8))
      Issue.record("was read")
    } catch {
      #expect(error == Fault(.invalidArgument, "items[1].count: must be a whole number"))
    }
    do throws(Fault) {
      let _: Outer = try RPCCoding.decode(Data("{}".utf8))
      Issue.record("was read")
    } catch {
      #expect(error == Fault(.invalidArgument, "items: is missing"))
    }
  }
}
