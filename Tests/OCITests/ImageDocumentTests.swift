import Faults
import FoundationEssentials
import OCI
import Testing

@Suite struct ImageDocumentTests {
  static let digest = "sha256:" + String(repeating: "ab", count: 32)
  static let descriptor = #"{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"\#(digest)","size":2}"#

  private func manifest(_ json: String, _ mediaType: String = MediaType.ociManifest) throws -> ImageManifest {
    try ImageDocument.manifest(Data(json.utf8), mediaType: mediaType, digest: Digest(parsing: Self.digest))
  }

  @Test func readsManifests() throws {
    let read = try manifest(#"{"schemaVersion":2,"config":\#(Self.descriptor),"layers":[],"unknown":{"a":[1]}}"#)
    #expect(read.layers.isEmpty)
    #expect(read.config.size == 2)
  }

  /// CVE-2021-41190: a document that is a manifest to one reader and an index to another.
  @Test(arguments: [
    #"{"schemaVersion":2,"config":\#(descriptor),"layers":[],"manifests":[]}"#,
    #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","config":\#(descriptor),"layers":[]}"#,
    #"{"schemaVersion":1,"config":\#(descriptor),"layers":[]}"#,
    #"{"schemaVersion":2,"layers":[]}"#,
    #"{"schemaVersion":2,"config":\#(descriptor),"layers":[{"mediaType":"x","digest":"sha256:../x","size":1}]}"#,
    #"{"schemaVersion":2,"config":\#(descriptor),"layers":{}}"#,
    #"{"schemaVersion":2,"config":{"mediaType":"application/x","digest":"\#(digest)","size":2},"layers":[]}"#,
    "[]", "", "{", "null", "\u{0}",
  ]) func refusesManifests(_ json: String) {
    #expect(throws: Fault.self) { try manifest(json) }
  }

  @Test func refusesIndexesWithLayers() throws {
    let digest = try Digest(parsing: Self.digest)
    #expect(throws: Fault.self) {
      try ImageDocument.index(
        Data(#"{"schemaVersion":2,"manifests":[],"layers":[]}"#.utf8), mediaType: MediaType.ociIndex, digest: digest)
    }
    let empty = try ImageDocument.index(
      Data(#"{"schemaVersion":2,"manifests":null}"#.utf8), mediaType: MediaType.ociIndex, digest: digest)
    #expect(empty.manifests.isEmpty)
  }

  @Test func boundsSizeAndDepth() {
    let huge = Data(repeating: UInt8(ascii: " "), count: ImageDocument.sizeLimit + 1)
    let fault = #expect(throws: Fault.self) { try ImageDocument.decode(ImageIndex.self, from: huge, named: "it") }
    #expect(fault?.code == .limitExceeded)
    let deep = Data((String(repeating: "[", count: 1_000_000)).utf8)
    #expect(throws: Fault.self) { try ImageDocument.decode(ImageIndex.self, from: deep, named: "it") }
    let deepValue = Data((#"{"schemaVersion":2,"annotations":"# + String(repeating: #"{"a":"#, count: 200_000)).utf8)
    #expect(throws: Fault.self) { try ImageDocument.decode(ImageIndex.self, from: deepValue, named: "it") }
  }

  @Test func configurationsOfOldProgramsAreRead() throws {
    let json = #"""
      {"architecture":"amd64","os":"linux","config":{"Cmd":null,"Entrypoint":["/x"],"Volumes":null,
       "ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD","x"],"Interval":1000000000},"Unknown":3},
       "rootfs":{"type":"layers","diff_ids":null},"history":null,"container_config":{}}
      """#
    let config = try ImageDocument.decode(ImageConfig.self, from: Data(json.utf8), named: "it")
    #expect(config.config?.cmd == nil)
    #expect(config.config?.entrypoint == ["/x"])
    #expect(config.config?.exposedPorts?.keys.first == "80/tcp")
    #expect(config.config?.healthcheck?.interval == 1_000_000_000)
    #expect(config.rootfs.diffIDs.isEmpty)
    let again = try ImageDocument.decode(ImageConfig.self, from: ImageDocument.encode(config), named: "it")
    #expect(again == config)
  }

  @Test func chainIDsHashParentAndLayer() throws {
    let first = try Digest(parsing: Self.digest)
    let list = ChainID.list([first, first, first]) { text in
      // Stands in for sha256: shows what is hashed.
      Digest(.sha256, bytes: Array(text.utf8.suffix(32)))!
    }
    #expect(list[0] == first)
    #expect(list[1].rawValue != first.rawValue)
    #expect(ChainID.text(parent: first, diffID: first) == "\(first) \(first)")
  }
}
