/// One flag of a command of type `C`: its names, what help says of it, and what it does to the command when it is given.
///
/// Flags are read as Docker reads its own (Go's pflag): `--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`,
/// clusters of short switches (`-it`, also with a value at the end: `-ite A=1`), and switches with a value
/// (`--rm=false`). swift-argument-parser knows only some of these forms, and takes 2.4 ms to build the options of `run`
/// where this table takes 0.1: a fifth of the time that a whole `run` may take.
struct Flag<C>: Sendable {
  /// What a flag does with the command it belongs to.
  enum Action: Sendable {
    /// A switch: `true` when it stands alone.
    case toggle(@Sendable (inout C, Bool) throws -> Void)
    /// A flag that takes a value.
    case value(@Sendable (inout C, String) throws -> Void)
    /// A flag of Docker's that Gantry knows and refuses, with the reason; `takesValue` says how to read past it.
    case unbuilt(takesValue: Bool, reason: UnbuiltReason)
  }

  /// The name after the two dashes.
  let long: String
  /// The letter after the single dash, if it has one.
  let short: Character?
  /// How help names the value (`list`, `bytes`); nil for a switch.
  let placeholder: String?
  /// One line for help.
  let help: String
  let action: Action

  /// A switch.
  static func toggle(
    _ long: String, _ short: Character? = nil, _ help: String,
    _ apply: @escaping @Sendable (inout C, Bool) throws -> Void
  ) -> Flag {
    Flag(long: long, short: short, placeholder: nil, help: help, action: .toggle(apply))
  }

  /// A flag with a value; one that may be given again says so by what `apply` does.
  static func value(
    _ long: String, _ short: Character? = nil, _ placeholder: String, _ help: String,
    _ apply: @escaping @Sendable (inout C, String) throws -> Void
  ) -> Flag {
    Flag(long: long, short: short, placeholder: placeholder, help: help, action: .value(apply))
  }

  /// A flag of Docker's that is refused by name.
  static func unbuilt(_ long: String, _ short: Character? = nil, value: String? = nil, _ reason: UnbuiltReason) -> Flag
  {
    Flag(
      long: long, short: short, placeholder: value, help: "(not built yet) " + reason.sentence,
      action: .unbuilt(takesValue: value != nil, reason: reason))
  }

  /// Whether the flag needs a value.
  var takesValue: Bool {
    switch action {
    case .toggle: false
    case .value: true
    case .unbuilt(let takesValue, _): takesValue
    }
  }

  /// Whether help lists the flag among those that work.
  var isBuilt: Bool {
    if case .unbuilt = action { return false }
    return true
  }

  /// The same flag for a command that holds a `C` as a part of itself.
  func embedded<Outer>(
    in part: @escaping @Sendable (inout Outer, (inout C) throws -> Void) throws -> Void
  ) -> Flag<Outer> {
    let action: Flag<Outer>.Action =
      switch self.action {
      case .toggle(let apply): .toggle { outer, on in try part(&outer) { inner in try apply(&inner, on) } }
      case .value(let apply): .value { outer, text in try part(&outer) { inner in try apply(&inner, text) } }
      case .unbuilt(let takesValue, let reason): .unbuilt(takesValue: takesValue, reason: reason)
      }
    return Flag<Outer>(long: long, short: short, placeholder: placeholder, help: help, action: action)
  }
}

/// Why a flag of Docker's is not built: what it waits for.
enum UnbuiltReason: Sendable {
  case network, registry, clusters, sizes, trust
  case windows, engineSocket, terminalOnly, tree

  /// A clause for the refusal: `gantry: --publish is not built yet: <sentence>`.
  var sentence: String {
    switch self {
    case .network: "networks come with a later version"
    case .clusters: "cluster volumes are not a part of Gantry, which runs on one machine"
    case .registry: "pulling from a registry comes with a later version; load the image with `gantry load`"
    case .sizes: "container sizes come with a later version"
    case .trust: "content trust is not a part of Gantry"
    case .windows: "it is for Windows containers, and Gantry runs Linux ones"
    case .engineSocket: "handing the engine's socket to a container comes with a later version; bind it with --mount"
    case .terminalOnly: "it comes with a later version"
    case .tree: "the tree view comes with a later version"
    }
  }
}
