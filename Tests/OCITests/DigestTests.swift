import Faults
import FoundationEssentials
import OCI
import Testing

@Suite struct DigestTests {
  static let hex = String(repeating: "0123456789abcdef", count: 4)

  @Test func readsAndWrites() throws {
    let digest = try Digest(parsing: "sha256:\(Self.hex)")
    #expect(digest.rawValue == "sha256:\(Self.hex)")
    #expect(digest.short == "0123456789ab")
    #expect(try Digest(parsing: "sha512:\(Self.hex)\(Self.hex)").algorithm == .sha512)
    let encoded = try JSONEncoder().encode([digest])
    #expect(try JSONDecoder().decode([Digest].self, from: encoded) == [digest])
    #expect(Digest(.sha256, bytes: [UInt8](repeating: 0xab, count: 32))?.hex == String(repeating: "ab", count: 32))
    #expect(Digest(.sha256, bytes: [1, 2, 3]) == nil)
  }

  /// CVE-2024-3727: digests are used as file names, so only well-formed ones exist.
  @Test(arguments: [
    "", ":", "sha256", "sha256:", "sha256:../../../etc/passwd", "sha256:\(hex.dropLast())", "sha256:\(hex)0",
    "sha256:\(hex.uppercased())", "sha256:\(hex.dropLast())/", "sha256:\(hex.dropLast())g", "SHA256:\(hex)",
    "md5:\(hex)", "../sha256:\(hex)", "sha512:\(hex)", " sha256:\(hex)", "sha256:\(hex)\n",
    "sha256:\(hex.dropLast(2))é",
  ]) func refuses(_ text: String) {
    let fault = #expect(throws: Fault.self) { try Digest(parsing: text) }
    #expect(fault?.code == .invalidArgument)
    #expect(throws: (any Error).self) {
      try JSONDecoder().decode([Digest].self, from: try JSONEncoder().encode([text]))
    }
  }
}
