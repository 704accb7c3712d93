import Faults
import FoundationEssentials
import JSONRPC
import Testing

/// The Swift types of one method or notification, to read examples with and write them again.
struct ContractEntry: Sendable, CustomTestStringConvertible {
  let name: String
  let params: @Sendable (Data) throws -> Data
  let result: (@Sendable (Data) throws -> Data)?

  init<Params, Result>(_ method: RPCMethod<Params, Result>) {
    name = method.name
    params = { try RPCCoding.encode(try RPCCoding.decode($0) as Params) }
    result = { try RPCCoding.encode(try RPCCoding.decode($0) as Result) }
  }

  init<Params>(_ notification: RPCNotification<Params>) {
    name = notification.name
    params = { try RPCCoding.encode(try RPCCoding.decode($0) as Params) }
    result = nil
  }

  var testDescription: String { name }
}
