/// A path of an archive, cleaned by its text alone: no empty parts, no `.`, and every `..` resolved, none of them above the
/// root. What symbolic links do to it is for who opens it.
package struct EntryPath {
  /// The folder that holds the last part: `a/b`, empty for the root.
  package var parent: [UInt8]
  /// The last part; empty for the root itself.
  package var name: [UInt8]

  package init(_ path: [UInt8]) {
    var parts = Self.parts(path)
    name = parts.popLast().map(Array.init) ?? []
    parent = Self.joined(parts)
  }

  /// The whole path.
  package var bytes: [UInt8] { parent.isEmpty ? name : parent + [slash] + name }

  package static func parts(_ path: some Collection<UInt8>) -> [ArraySlice<UInt8>] {
    var parts: [ArraySlice<UInt8>] = []
    for part in Array(path).split(separator: slash, omittingEmptySubsequences: true) {
      if part.elementsEqual([dot]) { continue }
      if part.elementsEqual([dot, dot]) {
        _ = parts.popLast()
      } else {
        parts.append(part)
      }
    }
    return parts
  }

  package static func joined(_ parts: some Sequence<ArraySlice<UInt8>>) -> [UInt8] {
    Array(parts.joined(separator: [slash]))
  }
}

package let slash = UInt8(ascii: "/")
package let dot = UInt8(ascii: ".")
