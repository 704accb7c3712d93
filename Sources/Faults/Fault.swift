/// An error as every part of Gantry reports it, in process and on the wire.
///
/// `code` says what kind of failure it is and never changes on the way up; `message` names the thing and the fix in plain
/// words; `cause` holds the words of the layer below. Sources wrap a fault to add words (`wrapped`), never to change its code.
public struct Fault: Error, Sendable, Equatable {
  /// What kind of failure this is; an open set, because a newer peer may know more.
  public var code: FaultCode
  /// One sentence or two for a person: the thing, its value, and what to do about it.
  public var message: String
  /// What the layer below said, outermost first.
  public var cause: [String]

  /// Makes a fault of `code` that says `message`.
  public init(_ code: FaultCode, _ message: String, cause: [String] = []) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  /// The same failure told by an outer layer: the code stays, `message` becomes the first cause.
  public func wrapped(_ message: String) -> Fault {
    Fault(code, message, cause: [self.message] + cause)
  }

  /// Any error as a fault: a fault stays as it is, everything else becomes `internal` with its description.
  public init(describing error: any Error) {
    if let fault = error as? Fault {
      self = fault
    } else {
      self.init(.internal, "\(error)")
    }
  }
}

extension Fault: CustomStringConvertible {
  /// The message followed by its causes, separated by colons.
  public var description: String { ([message] + cause).joined(separator: ": ") }
}

/// The name of a kind of failure, as in `Protocols/errors.json`. Unknown names are kept, never trapped on.
public struct FaultCode: RawRepresentable, Hashable, Sendable {
  /// The name, such as `notFound`.
  public let rawValue: String

  /// Takes any name.
  public init(rawValue: String) { self.rawValue = rawValue }
}
