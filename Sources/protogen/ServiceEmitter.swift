/// Writes what one document becomes: types, protocol, client, dispatch, and the document itself.
struct ServiceEmitter {
  let document: Document

  private var api: String { "\(document.service)API" }
  private var source: String { "Protocols/\(document.file)" }

  /// Params and results, and the methods as values.
  func methods() -> String {
    var writer = SourceWriter(
      source: source, imports: ["public import JSONRPC"] + TypeEmitter.imports(document.methods.flatMap(\.fields)))
    writer.comment(document.summary.isEmpty ? "Types of the service." : document.summary)
    writer.block("public enum \(api)") { writer in
      for method in document.methods {
        TypeEmitter.structure(
          method.typeName + "Params", "Params of `\(method.name)`: \(method.summary)", method.params, to: &writer)
        TypeEmitter.structure(method.typeName + "Result", "Result of `\(method.name)`.", method.result, to: &writer)
      }
      writer.blank()
      writer.comment("Every method with its types, for callers that send it themselves.")
      writer.block("public enum Method") { writer in
        for method in document.methods {
          writer.comment(method.summary)
          writer.call(
            "public static let \(Names.escaped(method.function)) = RPCMethod<\(method.typeName)Params, "
              + "\(method.typeName)Result>", ["\"\(method.name)\""] + traits(method), "")
        }
      }
      if !document.notifications.isEmpty {
        writer.blank()
        writer.comment("Every message that the service sends unasked.")
        writer.block("public enum Notification") { writer in
          for notification in document.notifications {
            writer.comment(notification.summary)
            writer.line(
              "public static let \(Names.escaped(notification.member)) = RPCNotification<\(notification.type)>("
                + "\"\(notification.name)\")")
          }
        }
      }
    }
    return writer.text
  }

  private func traits(_ method: Method) -> [String] {
    var traits: [String] = []
    if method.isMutating { traits.append("isMutating: true") }
    if method.isUnbounded { traits.append("isUnbounded: true") }
    if let deadline = method.deadlineMilliseconds { traits.append("deadlineMilliseconds: \(deadline)") }
    return traits
  }

  /// The schemas of the document.
  func types() -> String {
    var writer = SourceWriter(source: source, imports: TypeEmitter.imports(document.schemas.flatMap(\.fields)))
    writer.block("extension \(api)") { writer in
      for schema in document.schemas { TypeEmitter.write(schema, to: &writer) }
    }
    return writer.text
  }

  /// The protocol, the client and the dispatch.
  func service() -> String {
    var writer = SourceWriter(
      source: source,
      imports: ["public import Faults", "public import FoundationEssentials", "public import JSONRPC"])
    serviceProtocol(&writer)
    client(&writer)
    dispatch(&writer)
    if document.isSynchronous { synchronous(&writer) }
    return writer.text
  }

  private func serviceProtocol(_ writer: inout SourceWriter) {
    writer.comment(
      "\(document.summary) The local implementation and `\(document.service)Client` both conform to this.")
    writer.block("public protocol \(document.service)Service: Sendable") { writer in
      for method in document.methods {
        writer.comment(method.summary)
        writer.call("func \(Names.escaped(method.function))", parameters(method), tail(method))
      }
    }
    writer.blank()
    writer.block("extension \(document.service)Service") { writer in
      for method in document.methods {
        writer.comment(method.summary)
        let empty = method.params.isEmpty ? " = .init()" : ""
        writer.call(
          "public func \(Names.escaped(method.function))", ["_ params: \(api).\(method.typeName)Params\(empty)"],
          tail(method) + " {")
        writer.nested { $0.line("try await \(Names.escaped(method.function))(params, CallContext())") }
        writer.line("}")
        writer.blank()
      }
    }
    writer.blank()
  }

  private func client(_ writer: inout SourceWriter) {
    writer.comment("Calls the service at the other end of a channel.")
    writer.block("public struct \(document.service)Client: \(document.service)Service") { writer in
      writer.comment("Where the calls go.")
      writer.line("public let channel: any RPCChannel")
      writer.blank()
      writer.comment("Calls go through `channel`.")
      writer.line("public init(_ channel: any RPCChannel) { self.channel = channel }")
      for method in document.methods {
        writer.blank()
        writer.comment(method.summary)
        writer.call("public func \(Names.escaped(method.function))", parameters(method), tail(method) + " {")
        writer.nested {
          $0.line("try await channel.call(\(api).Method.\(Names.escaped(method.function)), params, context)")
        }
        writer.line("}")
      }
    }
    writer.blank()
  }

  private func dispatch(_ writer: inout SourceWriter) {
    writer.comment("Calls the method that a request names.")
    writer.line("public enum \(document.service)Dispatch {")
    writer.nested { writer in
      writer.comment("What a server needs of each method.")
      writer.line("public static let methods: [String: RPCTraits] = [")
      writer.nested { writer in
        for method in document.methods {
          writer.line("\"\(method.name)\": \(api).Method.\(Names.escaped(method.function)).traits,")
        }
      }
      writer.line("]")
      writer.blank()
      writer.comment("Decodes `params`, calls `service` and encodes the result.")
      writer.call(
        "public static func call",
        ["_ service: some \(document.service)Service", "method: String", "params: Data", "context: CallContext"],
        " async throws(Fault) -> Data {")
      writer.nested { writer in
        writer.line("switch method {")
        for method in document.methods {
          writer.line("case \"\(method.name)\":")
          writer.nested {
            $0.line(
              "try RPCCoding.encode(await service.\(Names.escaped(method.function))(try RPCCoding.decode(params), context))"
            )
          }
        }
        writer.line("default: throw RPCCoding.unknownMethod(method)")
        writer.line("}")
      }
      writer.line("}")
      writer.blank()
      writer.comment("All of it for a server.")
      writer.call("public static func table", ["_ service: some \(document.service)Service"], " -> RPCTable {")
      writer.nested { writer in
        writer.line("RPCTable(")
        writer.nested { writer in
          writer.line("name: \"\(document.service.lowercased())\",")
          writer.line("document: \(document.service)Document.text,")
          writer.line("methods: methods")
        }
        writer.line(") { (method, params, context) async throws(Fault) -> Data in")
        writer.nested {
          $0.line("try await call(service, method: method, params: params, context: context)")
        }
        writer.line("}")
      }
      writer.line("}")
    }
    writer.line("}")
  }

  private func synchronous(_ writer: inout SourceWriter) {
    writer.blank()
    writer.comment("The same methods for a process without Swift concurrency.")
    writer.block("public protocol \(document.service)Handler") { writer in
      for method in document.methods {
        writer.comment(method.summary)
        writer.call(
          "func \(Names.escaped(method.function))", ["_ params: \(api).\(method.typeName)Params"],
          " throws(Fault) -> \(api).\(method.typeName)Result")
      }
    }
    writer.blank()
    writer.block("extension \(document.service)Dispatch") { writer in
      writer.comment("Decodes `params`, calls `handler` and encodes the result, without concurrency.")
      writer.call(
        "public static func call",
        ["_ handler: some \(document.service)Handler", "method: String", "params: Data"], " throws(Fault) -> Data {")
      writer.nested { writer in
        writer.line("switch method {")
        for method in document.methods {
          writer.line("case \"\(method.name)\":")
          writer.nested {
            $0.line(
              "try RPCCoding.encode(handler.\(Names.escaped(method.function))(try RPCCoding.decode(params)))")
          }
        }
        writer.line("default: throw RPCCoding.unknownMethod(method)")
        writer.line("}")
      }
      writer.line("}")
    }
  }

  private func parameters(_ method: Method) -> [String] {
    ["_ params: \(api).\(method.typeName)Params", "_ context: CallContext"]
  }

  private func tail(_ method: Method) -> String {
    " async throws(Fault) -> \(api).\(method.typeName)Result"
  }

  /// The document as `rpc.discover` gives it: the shared types and the methods that every service has are part of it.
  func embedded(shared: [(name: String, value: JSONText)], common: Document?) -> String {
    var writer = SourceWriter(source: source, ignoresFormat: true)
    var members = document.text.members
    var schemas = shared
    schemas += document.text["components"]?["schemas"]?.members ?? []
    let methods = (document.text["methods"]?.array ?? []) + (common?.text["methods"]?.array ?? [])
    members = members.map { member in
      switch member.name {
      case "methods": (member.name, .array(methods))
      case "components": (member.name, .object([("schemas", .object(schemas))]))
      default: member
      }
    }
    writer.comment("The document of the service, complete in itself.")
    writer.block("public enum \(document.service)Document") { writer in
      writer.comment("OpenRPC 1.3 as JSON.")
      writer.line("public static let text = ##\"\(Self.local(.object(members)).compact)\"##")
    }
    return writer.text
  }

  /// References into shared files become references into the document itself.
  private static func local(_ value: JSONText) -> JSONText {
    switch value {
    case .array(let items): .array(items.map(local))
    case .object(let members):
      .object(
        members.map { member in
          if member.name == "$ref", let text = member.value.string, let hash = text.firstIndex(of: "#") {
            return (member.name, .string(String(text[hash...])))
          }
          return (member.name, local(member.value))
        })
    default: value
    }
  }
}
