import FoundationEssentials
import Images
import JSONRPC
import Testing

@Suite struct InspectDocumentTests {
  @Test func dockersShape() throws {
    let fixture = try StoreFixture()
    let image = try TestImage(["one"])
    _ = try fixture.load(try image.dockerArchive(["app:1"]).finished)
    let document = try fixture.store.inspect("app:1").dockerDocument()
    #expect(document["Id"]?.stringValue == image.id.rawValue)
    #expect(document["RepoTags"]?[0]?.stringValue == "app:1")
    #expect(document["Config"]?["Cmd"]?[0]?.stringValue == "sh")
    #expect(document["Config"]?["Entrypoint"] == .null)
    #expect(document["Config"]?["Labels"]?["text"]?.stringValue == "one")
    #expect(document["RootFS"]?["Type"]?.stringValue == "layers")
    #expect(document["RootFS"]?["Layers"]?[0]?.stringValue?.hasPrefix("sha256:") == true)
    #expect(document["Size"]?.intValue == Int64(image.layers[0].count))
    #expect(document["Os"]?.stringValue == "linux")
    #expect(document["Created"]?.stringValue == "2024-01-02T03:04:05Z")
    #expect(document["Metadata"]?["LastTagTime"]?.stringValue.flatMap(Timestamp.seconds) ?? 0 > 1_700_000_000)
  }

  @Test(arguments: [
    ("1970-01-01T00:00:00Z", 0 as Int64?), ("2024-02-29T12:34:56Z", 1_709_210_096),
    ("2024-02-29T12:34:56.123456789Z", 1_709_210_096), ("2024-02-29T13:34:56+01:00", 1_709_210_096),
    ("2024-02-29T07:04:56.5-05:30", 1_709_210_096), ("0001-01-01T00:00:00Z", -62_135_596_800),
    ("2000-03-01T00:00:00Z", 951_868_800), ("", nil), ("2024", nil), ("2024-02-29T12:34:56", nil),
    ("2024-13-01T00:00:00Z", nil), ("yesterday at noon..Z", nil), ("2024-02-29T12:34:56+1", nil),
  ]) func timesAreRead(_ text: String, _ seconds: Int64?) {
    #expect(Timestamp.seconds(text) == seconds)
  }

  @Test func timesAreWritten() {
    #expect(Timestamp.text(seconds: 1_709_210_096.25) == "2024-02-29T12:34:56.250Z")
  }
}
