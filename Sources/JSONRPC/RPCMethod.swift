/// A method of a service with the types of its params and result; protogen writes one for each method of a document.
public struct RPCMethod<Params: Codable & Sendable, Result: Codable & Sendable>: Sendable {
  /// The name on the wire, such as `image.resolve`.
  public let name: String
  /// What a server needs to know of it.
  public let traits: RPCTraits

  /// Takes the name and the traits.
  public init(
    _ name: String, isMutating: Bool = false, isUnbounded: Bool = false, deadlineMilliseconds: Int? = nil
  ) {
    self.name = name
    traits = RPCTraits(
      isMutating: isMutating, isUnbounded: isUnbounded, deadlineMilliseconds: deadlineMilliseconds)
  }
}

/// What a server needs to know of a method besides its types.
public struct RPCTraits: Sendable, Equatable {
  /// It changes something: an audit line names the caller.
  public var isMutating: Bool
  /// It waits for something outside (an exit, a person's upload): no deadline unless the caller sets one.
  public var isUnbounded: Bool
  /// A deadline of its own when the caller sets none.
  public var deadlineMilliseconds: Int?

  /// Takes all three.
  public init(isMutating: Bool = false, isUnbounded: Bool = false, deadlineMilliseconds: Int? = nil) {
    self.isMutating = isMutating
    self.isUnbounded = isUnbounded
    self.deadlineMilliseconds = deadlineMilliseconds
  }

  /// When a call that is made now must be over; nil for an unbounded one.
  public var usualDeadline: Deadline? {
    if let deadlineMilliseconds { return .after(milliseconds: deadlineMilliseconds) }
    return isUnbounded ? nil : .after(milliseconds: 60_000)
  }
}

/// A message that a server sends unasked, with the type of its params.
public struct RPCNotification<Params: Codable & Sendable>: Sendable {
  /// The name on the wire, such as `task.event`.
  public let name: String

  /// Takes the name.
  public init(_ name: String) { self.name = name }
}
