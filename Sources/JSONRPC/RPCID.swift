/// What ties an answer to its request: a number or a string, chosen by whoever asks.
public enum RPCID: Sendable, Hashable {
  /// A whole number.
  case number(Int64)
  /// A string.
  case string(String)
}
