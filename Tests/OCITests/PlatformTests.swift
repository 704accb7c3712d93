import Faults
import FoundationEssentials
import OCI
import Testing

@Suite struct PlatformTests {
  @Test(arguments: [
    ("linux/amd64", "linux/amd64"), ("linux/x86_64", "linux/amd64"), ("amd64", "linux/amd64"),
    ("linux/arm64/v8", "linux/arm64"), ("aarch64", "linux/arm64"), ("linux/arm", "linux/arm/v7"),
    ("linux/arm/6", "linux/arm/v6"), ("armhf", "linux/arm/v7"), ("Linux/AMD64", "linux/amd64"),
    ("linux/amd64/v3", "linux/amd64/v3"), ("windows/amd64", "windows/amd64"), ("linux/riscv64", "linux/riscv64"),
    ("i686", "linux/386"),
  ]) func reads(_ text: String, _ expected: String) throws {
    #expect(try Platform(parsing: text).description == expected)
  }

  @Test func bareSystemIsThisMachines() throws {
    #expect(try Platform(parsing: "linux") == Platform.host.normalized)
  }

  @Test(arguments: ["", "/", "linux/", "/amd64", "linux/amd64/v1/x", "linux amd64", "linux/../x", "a//b"])
  func refuses(_ text: String) {
    #expect(throws: Fault.self) { try Platform(parsing: text) }
  }

  @Test(arguments: [
    ("linux/amd64", "linux/amd64", 0 as Int?), ("linux/386", "linux/amd64", 100), ("linux/arm64", "linux/amd64", nil),
    ("linux/amd64/v3", "linux/amd64", nil), ("linux/amd64", "linux/amd64/v3", 2),
    ("linux/amd64/v2", "linux/amd64/v3", 1),
    ("linux/arm64/v8", "linux/arm64", 0), ("linux/arm/v7", "linux/arm64", 101), ("linux/arm/v6", "linux/arm/v7", 1),
    ("linux/arm/v7", "linux/arm/v6", nil), ("windows/amd64", "linux/amd64", nil), ("linux/s390x", "linux/s390x", 0),
  ]) func distance(_ own: String, _ wanted: String, _ expected: Int?) throws {
    #expect(try Platform(parsing: own).distance(from: Platform(parsing: wanted)) == expected)
  }

  @Test func emptyPlatformMatchesNothing() throws {
    let platform = try JSONDecoder().decode(Platform.self, from: Data("{}".utf8))
    #expect(platform.distance(from: .host) == nil)
  }
}
