public import Faults
public import FoundationEssentials

/// All methods of one service, ready for a server: protogen's `XDispatch.table(service)` makes it.
public struct RPCTable: Sendable {
  /// Decodes the params, calls the method, encodes the result.
  public typealias Call =
    @Sendable (_ method: String, _ params: Data, _ context: CallContext) async throws(Fault) -> Data

  /// Name of the service: `image`.
  public let name: String
  /// The OpenRPC document, for `rpc.discover`.
  public let document: String
  /// The methods there are.
  public let methods: [String: RPCTraits]
  /// Calls one of them.
  public let call: Call

  /// Takes all parts.
  public init(name: String, document: String, methods: [String: RPCTraits], call: @escaping Call) {
    self.name = name
    self.document = document
    self.methods = methods
    self.call = call
  }

  /// Both tables as one: methods of `other` come second.
  public func joined(with other: RPCTable) -> RPCTable {
    RPCTable(
      name: name, document: document, methods: methods.merging(other.methods) { own, _ in own }
    ) { (method, params, context) async throws(Fault) -> Data in
      if self.methods[method] != nil { return try await call(method, params, context) }
      return try await other.call(method, params, context)
    }
  }
}
