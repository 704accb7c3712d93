public import Faults

/// Looks at JSON from outside before a decoder does: decoders disagree about a name that comes twice, which lets one program
/// check what another one does not use, and nesting without end costs memory.
public enum StrictJSON {
  /// How deep objects and lists may lie in one another; image documents have five levels.
  public static let depthLimit = 64

  /// Throws `corrupt` for what is not UTF-8, has a name twice in one object, lies too deep, or does not close what it opens.
  /// What remains of the grammar is the decoder's.
  public static func check(_ bytes: UnsafeRawBufferPointer, named name: String) throws(Fault) {
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw Fault(.corrupt, "\(name) is not text in UTF-8")
    }
    var walk = Walk(bytes: bytes)
    if let words = walk.run() { throw Fault(.corrupt, "\(name) is not used: \(words)") }
  }

  private struct Walk {
    /// An open object with the names that it has so far, or an open list.
    private enum Level {
      case object(Set<[UInt8]>)
      case list
    }

    let bytes: UnsafeRawBufferPointer
    private var levels: [Level] = []
    private var position = 0

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// What is wrong; nil when nothing is.
    mutating func run() -> String? {
      while position < bytes.count {
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "{"), UInt8(ascii: "["):
          levels.append(byte == UInt8(ascii: "{") ? .object([]) : .list)
          if levels.count > StrictJSON.depthLimit {
            return "it is nested more than \(StrictJSON.depthLimit) levels deep"
          }
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
          switch (levels.popLast(), byte) {
          case (.object, UInt8(ascii: "}")), (.list, UInt8(ascii: "]")): break
          default: return "its brackets do not match"
          }
        case UInt8(ascii: "\""):
          guard let text = string() else { return "a string does not end" }
          skipSpace()
          guard position < bytes.count, bytes[position] == UInt8(ascii: ":") else { continue }
          guard case .object(var names) = levels.popLast() else { return "a name stands outside of an object" }
          guard names.insert(text).inserted else {
            return "it has the name \"\(String(decoding: text.prefix(60), as: UTF8.self))\" twice in one object"
          }
          levels.append(.object(names))
        default: continue
        }
      }
      return levels.isEmpty ? nil : "it ends in the middle"
    }

    private mutating func skipSpace() {
      while position < bytes.count, [9, 10, 13, 32].contains(bytes[position]) { position += 1 }
    }

    /// The string whose opening mark was read, with its escapes resolved where names could hide behind them.
    private mutating func string() -> [UInt8]? {
      var text: [UInt8] = []
      while position < bytes.count {
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""): return text
        case UInt8(ascii: "\\"):
          guard position < bytes.count else { return nil }
          let escaped = bytes[position]
          position += 1
          guard escaped == UInt8(ascii: "u"), position + 4 <= bytes.count,
            let digits = String(
              validating: UnsafeRawBufferPointer(rebasing: bytes[position..<position + 4]), as: UTF8.self),
            let scalar = UInt32(digits, radix: 16).flatMap(Unicode.Scalar.init)
          else {
            text += [byte, escaped]
            continue
          }
          position += 4
          text += Array(String(Character(scalar)).utf8)
        default:
          text.append(byte)
        }
      }
      return nil
    }
  }
}
