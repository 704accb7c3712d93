import Faults
import FoundationEssentials
import JSONRPC
import Testing

/// The Swift types of one method or notification, to read examples with and write them again.
struct ContractEntry: Sendable, CustomTestStringConvertible {
  /// The document that describes it.
  let document: String
  let name: String
  let params: @Sendable (Data) throws -> Data
  let result: (@Sendable (Data) throws -> Data)?

  init<Params, Result>(_ document: String, _ method: RPCMethod<Params, Result>) {
    self.document = document
    name = method.name
    params = { try RPCCoding.encode(try RPCCoding.decode($0) as Params) }
    result = { try RPCCoding.encode(try RPCCoding.decode($0) as Result) }
  }

  init<Params>(_ document: String, _ notification: RPCNotification<Params>) {
    self.document = document
    name = notification.name
    params = { try RPCCoding.encode(try RPCCoding.decode($0) as Params) }
    result = nil
  }

  var testDescription: String { "\(document) \(name)" }
}
