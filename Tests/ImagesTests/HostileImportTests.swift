import ContentStore
import Faults
import FoundationEssentials
import Glibc
import Images
import Logging
import OCI
import SystemPackage
import Testing

/// Archives that are damaged or meant to harm: one clear fault each, nothing half-visible.
@Suite struct HostileImportTests {
  /// Expects that the import fails with `code`, with a message of bounded length, and leaves nothing.
  private func refused(
    _ archive: Data, _ code: FaultCode, _ words: String = "", limits: ImportLimits = ImportLimits(),
    location: SourceLocation = #_sourceLocation
  ) throws {
    let fixture = try StoreFixture(limits: limits)
    let fault = #expect(throws: Fault.self, sourceLocation: location) { try fixture.load(archive) }
    #expect(fault?.code == code, "\(fault.map { "\($0.code.rawValue): \($0)" } ?? "")", sourceLocation: location)
    #expect(
      words.isEmpty || fault?.description.contains(words) == true, "\(fault?.description ?? "")",
      sourceLocation: location)
    #expect((fault?.description.utf8.count ?? 0) < 1_000, sourceLocation: location)
    #expect(try fixture.isUntouched(), sourceLocation: location)
  }

  @Test func notAnArchive() throws {
    try refused(Data(), .invalidArgument, "not an image archive")
    try refused(Data("hello".utf8), .corrupt)
    try refused(Data(count: 100_000), .invalidArgument, "not an image archive")
    try refused(Data((0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }), .corrupt)
    var tar = Tar()
    tar.add("etc/passwd", Data("x".utf8))
    try refused(tar.finished, .invalidArgument, "docker export")
  }

  /// Cut off at every kind of place.
  @Test(arguments: [100, 512, 700, 1536, 5_000, 100_000, 300_000, 600_000])
  func cutOff(_ length: Int) throws {
    let archive = try TestImage(["one", "two"], padding: 300_000).dockerArchive(["x"]).finished
    #expect(length < archive.count)
    let fixture = try StoreFixture()
    let fault = #expect(throws: Fault.self) { try fixture.load(archive.prefix(length)) }
    #expect([.corrupt, .invalidArgument].contains(fault?.code))
    #expect(try fixture.isUntouched())
  }

  @Test func cutOffGzip() throws {
    let folder = TemporaryFolder()
    let plain = try TestImage(["one"], padding: 300_000).dockerArchive(["x"]).finished
    for command in ["gzip -c", "zstd -qc", "xz -0 -c"] {
      let packed = try filter(plain, command, in: folder)
      try refused(packed.prefix(packed.count / 2), .corrupt)
      var flipped = packed
      flipped[flipped.count / 2] ^= 0x55
      let fixture = try StoreFixture()
      #expect(throws: Fault.self) { try fixture.load(flipped) }
      #expect(try fixture.isUntouched())
    }
  }

  @Test func damagedLayer() throws {
    let image = try TestImage(["one"], padding: 300_000)
    var archive = try image.dockerArchive(["x"]).finished
    let position = try #require(archive.range(of: Data("one".utf8), in: 3000..<archive.count)?.lowerBound)
    archive[position + 1000] ^= 1
    try refused(archive, .corrupt, "the image's configuration says")
  }

  @Test func damagedConfiguration() throws {
    let image = try TestImage(["one"])
    var archive = Tar()
    archive.add("\(image.id.hex).json", image.config + Data(" ".utf8))
    archive.add("l/layer.tar", image.layers[0])
    archive.add(
      "manifest.json", Data(image.json(config: "\(image.id.hex).json", names: [], layers: ["l/layer.tar"]).utf8))
    try refused(archive.finished, .corrupt, "does not have that digest")
  }

  @Test func wrongNumberOfLayers() throws {
    let image = try TestImage(["one"])
    for layers in [[], ["l/layer.tar", "l/layer.tar"]] {
      var archive = Tar()
      archive.add("c.json", image.config)
      archive.add("l/layer.tar", image.layers[0])
      archive.add("manifest.json", Data(image.json(config: "c.json", names: [], layers: layers).utf8))
      try refused(archive.finished, .corrupt, "layers")
    }
  }

  @Test(arguments: ["../../../../etc/passwd", "a/../../b", "/../x"])
  func membersOutside(_ name: String) throws {
    var archive = try TestImage(["one"]).dockerArchive(["x"])
    archive.add(name, Data("x".utf8))
    try refused(archive.finished, .corrupt, "leads out")
  }

  @Test(arguments: [("1", "../../etc/passwd"), ("2", "/etc/passwd"), ("2", "../../../etc/passwd")])
  func linksOutside(_ type: Character, _ target: String) throws {
    let image = try TestImage(["one"])
    var archive = Tar()
    archive.add("c.json", image.config)
    archive.add("l/layer.tar", type: type, link: target)
    archive.add("manifest.json", Data(image.json(config: "c.json", names: [], layers: ["l/layer.tar"]).utf8))
    try refused(archive.finished, .corrupt, "leads out")
  }

  @Test(arguments: ["../../etc/passwd", "/etc/passwd", "missing.json", ""])
  func configurationsOutside(_ name: String) throws {
    let image = try TestImage(["one"])
    var archive = Tar()
    archive.add("l/layer.tar", image.layers[0])
    archive.add("manifest.json", Data(image.json(config: name, names: [], layers: ["l/layer.tar"]).utf8))
    try refused(archive.finished, .corrupt)
  }

  @Test func linksInCircles() throws {
    let image = try TestImage(["one"])
    var archive = Tar()
    archive.add("c.json", image.config)
    archive.add("a", type: "2", link: "b")
    archive.add("b", type: "2", link: "a")
    archive.add("manifest.json", Data(image.json(config: "c.json", names: [], layers: ["a"]).utf8))
    try refused(archive.finished, .corrupt, "circles")
  }

  @Test func twoMembersOfOneName() throws {
    var archive = try TestImage(["one"]).dockerArchive(["x"])
    archive.add("./manifest.json", Data("[]".utf8))
    try refused(archive.finished, .corrupt, "two different members")
  }

  @Test(arguments: [
    "", "{", "[]", "{}", "null", "[{}]", #"[{"Config":1}]"#, #"[{"Config":"c.json","Layers":[1]}]"#,
    String(repeating: "[", count: 500_000),
  ]) func malformedTables(_ json: String) throws {
    var archive = Tar()
    archive.add("manifest.json", Data(json.utf8))
    let fixture = try StoreFixture()
    #expect(throws: Fault.self) { try fixture.load(archive.finished) }
    #expect(try fixture.isUntouched())
  }

  @Test func hugeDocuments() throws {
    let image = try TestImage(["one"])
    var archive = Tar()
    archive.add("c.json", image.config + Data(repeating: 32, count: 5 << 20))
    archive.add("l/layer.tar", image.layers[0])
    archive.add("manifest.json", Data(image.json(config: "c.json", names: [], layers: ["l/layer.tar"]).utf8))
    try refused(archive.finished, .limitExceeded)
    var second = Tar()
    second.add("manifest.json", Data(repeating: 32, count: 5 << 20))
    try refused(second.finished, .limitExceeded)
  }

  @Test(arguments: ["UPPER", "a b", "../x", "x:", "a@sha256:12"])
  func malformedNames(_ name: String) throws {
    try refused(try TestImage(["one"]).dockerArchive([name]).finished, .corrupt, "name")
  }

  @Test func limits() throws {
    let image = try TestImage(["one", "two"], padding: 300_000)
    let archive = try image.dockerArchive(["x"]).finished
    try refused(archive, .limitExceeded, limits: ImportLimits(members: 3))
    try refused(archive, .limitExceeded, limits: ImportLimits(expandedBytes: 400_000))
    try refused(archive, .limitExceeded, limits: ImportLimits(layers: 1))
  }

  @Test func decompressionBomb() throws {
    let folder = TemporaryFolder()
    var tar = Tar()
    tar.add("zeros", Data(count: 64 << 20))
    let bomb = try filter(tar.finished, "gzip -9c", in: folder)
    #expect(bomb.count < 100_000)
    try refused(bomb, .limitExceeded, limits: ImportLimits(expandedBytes: 16 << 20))
  }

  @Test func sparseTerabytes() throws {
    var tar = Tar()
    tar.add("huge", Data(), size: 0o77777777777)
    let fixture = try StoreFixture(limits: ImportLimits(expandedBytes: 1 << 30))
    let fault = #expect(throws: Fault.self) { try fixture.load(tar.finished) }
    #expect(fault?.code == .limitExceeded)
    #expect(try fixture.isUntouched())
  }

  // MARK: Layouts

  @Test func layoutsWithWrongContent() throws {
    let image = try TestImage(["one"], padding: 200_000)
    let good = try layout([try image.descriptor(name: "x:1")], [try image.blobs()])
    for blob in good.keys where blob.hasPrefix("blobs/") {
      var changed = good
      changed[blob]?[10] ^= 1
      try refused(tar(changed).finished, .corrupt)
      var missing = good
      missing[blob] = nil
      try refused(tar(missing).finished, .corrupt)
      // The same in a folder.
      let fixture = try StoreFixture()
      for (name, data) in changed { try fixture.folder.write("layout/\(name)", data) }
      let fault = #expect(throws: Fault.self) { try fixture.store.importPath(fixture.folder.path.appending("layout")) }
      #expect(fault?.code == .corrupt)
      #expect(try fixture.isUntouched())
    }
  }

  @Test func layoutsWithWrongSizes() throws {
    let image = try TestImage(["one"])
    var descriptor = try image.descriptor(name: "x:1")
    descriptor.size += 1
    try refused(tar(try layout([descriptor], [try image.blobs()])).finished, .corrupt, "bytes instead of")
  }

  @Test(arguments: [
    #"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../../etc/passwd","size":1}]}"#,
    #"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"md5:00","size":1}]}"#,
    #"{"schemaVersion":3,"manifests":[]}"#, #"{"schemaVersion":2,"manifests":[]}"#, "{}", "[",
  ]) func hostileIndexes(_ index: String) throws {
    var files = try layout([], [])
    files["index.json"] = Data(index.utf8)
    let fixture = try StoreFixture()
    #expect(throws: Fault.self) { try fixture.load(tar(files).finished) }
    #expect(try fixture.isUntouched())
  }

  @Test func indexesThatReferToOneAnotherForever() throws {
    var files = try layout([], [])
    var top = Descriptor(mediaType: MediaType.ociIndex, digest: Digest.of(Data("end".utf8)), size: 3)
    for _ in 0..<10 {
      let index = try ImageDocument.encode(ImageIndex(manifests: [top]))
      top = Descriptor(mediaType: MediaType.ociIndex, digest: Digest.of(index), size: Int64(index.count))
      files["blobs/sha256/\(top.digest.hex)"] = index
    }
    files["index.json"] = try ImageDocument.encode(ImageIndex(manifests: [top]))
    try refused(tar(files).finished, .corrupt, "levels deep")
  }

  /// A folder whose blob is a link to a file of the host, or a device that never ends.
  @Test(arguments: ["/etc/passwd", "/dev/zero", "../../../../../../etc/passwd"])
  func linksInLayoutFolders(_ target: String) throws {
    let image = try TestImage(["one"], padding: 200_000)
    let files = try layout([try image.descriptor(name: "x:1")], [try image.blobs()])
    let fixture = try StoreFixture()
    for (name, data) in files { try fixture.folder.write("layout/\(name)", data) }
    let layer = fixture.folder.path.appending("layout/blobs/sha256/\(Digest.of(image.layers[0]).hex)").string
    unlink(layer)
    symlink(target, layer)
    let fault = #expect(throws: Fault.self) { try fixture.store.importPath(fixture.folder.path.appending("layout")) }
    #expect(fault?.code == .corrupt)
    #expect(try fixture.isUntouched())
  }

  @Test func foreignLayersAndArtifacts() throws {
    let image = try TestImage(["one"])
    let type = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    let manifest = try image.manifest(layerType: type)
    var files = try layout(
      [Descriptor(mediaType: MediaType.ociManifest, digest: Digest.of(manifest), size: Int64(manifest.count))],
      [try image.blobs(layerType: type)])
    try refused(tar(files).finished, .unsupported, "type")
    let artifact = Data(
      #"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"\#(image.id)","size":2},"layers":[]}"#
        .utf8)
    let descriptor = Descriptor(
      mediaType: MediaType.ociManifest, digest: Digest.of(artifact), size: Int64(artifact.count))
    files = try layout([descriptor], [["blobs/sha256/\(descriptor.digest.hex)": artifact]])
    try refused(tar(files).finished, .unsupported, "not a container image")
  }

  @Test func windowsImages() throws {
    let image = try TestImage(["one"])
    let config = Data(String(decoding: image.config, as: UTF8.self).replacing("\"linux\"", with: "\"windows\"").utf8)
    var archive = Tar()
    archive.add("c.json", config)
    archive.add("l/layer.tar", image.layers[0])
    archive.add("manifest.json", Data(image.json(config: "c.json", names: [], layers: ["l/layer.tar"]).utf8))
    try refused(archive.finished, .unsupported, "windows")
  }

  @Test(.enabled(if: geteuid() == 0, "needs root: mounts a small tmpfs")) func fullDisk() throws {
    let folder = TemporaryFolder()
    let small = folder.path.appending("small")
    mkdir(small.string, 0o700)
    #expect(mount("tmpfs", small.string, "tmpfs", 0, "size=8m") == 0)
    defer { umount2(small.string, 2) }
    let path = try folder.write("archive", try TestImage(["a", "b"], padding: 6 << 20).dockerArchive(["x"]).finished)
    let store = try ImageStore(root: small.appending("image"), log: .init(label: "test"))
    let fault = #expect(throws: Fault.self) { try store.importPath(path) }
    #expect(fault?.code == .noSpace)
    #expect(try store.list().isEmpty)
    #expect(try store.usage().blobs == 0)
    let fits = try folder.write("small-archive", try TestImage(["c"]).dockerArchive(["y"]).finished)
    #expect(try store.importPath(fits).count == 1)
  }
}
