public import FoundationEssentials

/// One field of a head.
public struct HTTPField: Hashable, Sendable {
  public var name: String
  public var value: String

  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// One request, without what authentication adds.
public struct HTTPRequest: Sendable {
  /// What is sent along.
  public enum Body: Sendable {
    case none
    /// Bytes in memory.
    case data(Data)
    /// `count` bytes of an open file from `offset` on; the descriptor must stay open until the answer is there.
    case file(descriptor: Int32, offset: Int64, count: Int64)
  }

  public var method: String
  public var address: WebAddress
  public var fields: [HTTPField]
  public var body: Body
  /// The most bytes of an answer that is kept in memory; nil for the settings' bound of documents.
  public var answerLimit: Int?
  /// Milliseconds for the whole exchange; nil for the settings' bound of documents, 0 for none but the least speed.
  public var milliseconds: Int?
  /// Milliseconds for a connection; nil for the settings' bound.
  public var connectMilliseconds: Int?
  /// Hears how many bytes of the body have been given to the connection, on the thread of the transport: must not wait.
  public var onSend: (@Sendable (Int64) -> Void)?

  public init(
    _ method: String, _ address: WebAddress, fields: [HTTPField] = [], body: Body = .none, answerLimit: Int? = nil,
    milliseconds: Int? = nil
  ) {
    self.method = method
    self.address = address
    self.fields = fields
    self.body = body
    self.answerLimit = answerLimit
    self.milliseconds = milliseconds
  }
}

/// The head of an answer.
public struct HTTPHead: Sendable {
  public var status: Int
  public var fields: [HTTPField]

  public init(status: Int, fields: [HTTPField] = []) {
    self.status = status
    self.fields = fields
  }

  /// The value of a field; the first, when it is there more than once.
  public subscript(name: String) -> String? {
    fields.first { $0.name.lowercased() == name.lowercased() }?.value
  }

  /// All values of a field.
  public func all(_ name: String) -> [String] {
    fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
  }

  /// The length of the body, when the field says so.
  public var contentLength: Int64? { self["Content-Length"].flatMap { Int64($0) }.flatMap { $0 >= 0 ? $0 : nil } }

  /// The media type, without parameters, in lower case.
  public var contentType: String? {
    self["Content-Type"].map { value in
      let type = value.prefix { $0 != ";" }
      return type.trimmingSpaces.lowercased()
    }
  }
}

/// A whole answer.
public struct HTTPAnswer: Sendable {
  public var head: HTTPHead
  /// The body; empty when a sink took it.
  public var body: Data
  /// Where the answer came from, after redirects.
  public var address: WebAddress
  public var status: Int { head.status }
}

/// What becomes of a piece of a body.
public enum SinkVerdict: Sendable {
  /// It was taken.
  case taken
  /// There is no room: the same piece comes again after `resume`.
  case pause
  /// No more is wanted; the exchange ends with `cancelled`, and the sink knows why.
  case stop
}

/// Takes a body while it comes, on the thread of the transport: it must not wait.
public protocol BodySink: AnyObject, Sendable {
  /// A head has come. False leaves its body to the caller as a bounded document (an explanation, a redirect).
  ///
  /// - Parameter resume: lets an exchange that paused go on; from any thread.
  func begin(_ head: HTTPHead, resume: @escaping @Sendable () -> Void) -> Bool
  /// A piece of the body, in order.
  func receive(_ bytes: UnsafeRawBufferPointer) -> SinkVerdict
}

extension StringProtocol {
  /// Without spaces and tabs at either end.
  var trimmingSpaces: String {
    var rest = self[...]
    while let first = rest.first, first == " " || first == "\t" { rest = rest.dropFirst() }
    while let last = rest.last, last == " " || last == "\t" { rest = rest.dropLast() }
    return String(rest)
  }
}
