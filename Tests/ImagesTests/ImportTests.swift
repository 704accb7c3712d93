import ContentStore
import Faults
import FoundationEssentials
import Glibc
import Images
import OCI
import Synchronization
import SystemPackage
import Testing

/// Every shape of image archive that is accepted.
@Suite struct ImportTests {
  @Test func dockerArchive() throws {
    let fixture = try StoreFixture()
    let image = try TestImage(["one", "two"])
    let images = try fixture.load(try image.dockerArchive(["a/b:c", "busybox"]).finished)
    #expect(images.count == 1)
    #expect(images[0].id == image.id)
    #expect(images[0].repoTags == ["a/b:c", "busybox:latest"])
    #expect(images[0].labels == ["text": "onetwo"])
    #expect(images[0].size == Int64(image.layers.reduce(0) { $0 + $1.count }))
    let resolved = try fixture.store.resolve("busybox")
    #expect(resolved.layers.map(\.diffID) == image.layers.map { Digest.of($0) })
    #expect(resolved.layers.map(\.descriptor.mediaType) == [MediaType.ociLayer, MediaType.ociLayer])
    #expect(resolved.layers[1].chainID == ChainID.list(resolved.layers.map(\.diffID))[1])
    #expect(try Data(contentsOf: URL(filePath: resolved.layers[1].path)) == image.layers[1])
    #expect(resolved.config == image.config)
    #expect(try fixture.store.usage().blobs == 4)
    #expect(fixture.folder.names("image/ingest").isEmpty)
  }

  @Test func largeLayersAreStreamed() throws {
    let fixture = try StoreFixture()
    let image = try TestImage(["large", "larger"], padding: 5 << 20)
    let progress = Recorder()
    let path = try fixture.folder.write("archive", try image.dockerArchive(["big"]).finished)
    _ = try fixture.store.importPath(path, observer: ImportObserver(progress: { progress.add($0) }))
    #expect(try Data(contentsOf: URL(filePath: fixture.store.resolve("big").layers[1].path)) == image.layers[1])
    #expect(progress.all.contains { $0.stage == "read" && $0.current > 8 << 20 && $0.total ?? 0 > 10 << 20 })
    #expect(progress.all.last?.stage == "write")
  }

  @Test(arguments: ["gzip -c", "zstd -qc", "xz -0 -c", "bzip2 -c"])
  func compressedArchives(_ command: String) throws {
    let fixture = try StoreFixture()
    let image = try TestImage(["one"])
    let archive = try filter(try image.dockerArchive(["x:1"]).finished, command, in: fixture.folder)
    #expect(try fixture.load(archive)[0].id == image.id)
  }

  /// gzip and zstd layers stay as they are, the others are stored plain.
  @Test(arguments: [
    ("gzip -nc", MediaType.ociLayerGzip), ("zstd -qc", MediaType.ociLayerZstd), ("xz -0 -c", MediaType.ociLayer),
    ("bzip2 -c", MediaType.ociLayer),
  ]) func compressedLayers(_ command: String, _ mediaType: String) throws {
    let fixture = try StoreFixture()
    let image = try TestImage(["one", "two"], padding: 300_000)
    let archive = try image.dockerArchive(["x:1"]) { (try? filter($0, command, in: fixture.folder)) ?? Data() }
    _ = try fixture.load(archive.finished)
    let resolved = try fixture.store.resolve("x:1")
    #expect(resolved.layers.allSatisfy { $0.descriptor.mediaType == mediaType })
    #expect(resolved.layers.map(\.diffID) == image.layers.map { Digest.of($0) })
    #expect(fixture.folder.names("image/ingest").isEmpty)
    if mediaType != MediaType.ociLayerZstd {
      // gzip tells the size before compression; zstd need not.
      #expect(try fixture.store.list()[0].size == Int64(image.layers.reduce(0) { $0 + $1.count }))
    }
  }

  @Test func aFolderThatIsNoLayout() throws {
    let fixture = try StoreFixture()
    let fault = #expect(throws: Fault.self) { try fixture.store.importPath(fixture.folder.path) }
    #expect(fault?.code == .invalidArgument)
    #expect(fault?.message.contains("not an OCI image layout") == true)
    let missing = #expect(throws: Fault.self) { try fixture.store.importPath("/nonexistent/x") }
    #expect(missing?.code == .notFound)
  }

  @Test func streams() throws {
    let fixture = try StoreFixture()
    let image = try TestImage(["one"], padding: 1 << 20)
    let path = try fixture.folder.write("archive", try image.dockerArchive(["x"]).finished + Data(count: 100_000))
    let pipe = popen("cat \(path)", "r")
    defer { pclose(pipe) }
    let images = try fixture.store.importArchive(descriptor: fileno(pipe))
    #expect(images.map(\.id) == [image.id])
    var byte: UInt8 = 0
    #expect(read(fileno(pipe), &byte, 1) == 0, "the stream is read to its end")
  }

  /// What podman and old Docker write for a layer that several images share: links.
  @Test func linkedAndRepeatedLayers() throws {
    let fixture = try StoreFixture()
    var image = try TestImage(["same", "same"])
    image.layers[1] = image.layers[0]
    let config = try ImageDocument.encode(
      ImageConfig(
        architecture: "amd64", os: "linux",
        rootfs: .init(diffIDs: [Digest.of(image.layers[0]), Digest.of(image.layers[0])])))
    image.config = config
    var archive = Tar()
    archive.add("./\(image.id.hex).json", config)
    archive.add("aaa/layer.tar", image.layers[0])
    archive.add("bbb/layer.tar", type: "2", link: "../aaa/layer.tar")
    archive.add("ccc/layer.tar", type: "1", link: "./bbb/layer.tar")
    archive.add(
      "manifest.json",
      Data(image.json(config: "\(image.id.hex).json", names: ["x"], layers: ["bbb/layer.tar", "ccc/layer.tar"]).utf8))
    // The same member once more changes nothing.
    archive.add("aaa/layer.tar", image.layers[0])
    _ = try fixture.load(archive.finished)
    #expect(try fixture.store.resolve("x").layers.count == 2)
    #expect(try fixture.store.usage().blobs == 3)
  }

  @Test func unusedMembersAreDiscarded() throws {
    let fixture = try StoreFixture()
    let image = try TestImage(["one"])
    var archive = try image.dockerArchive(["x"])
    archive.add("extra/layer.tar", Data(repeating: 7, count: 400_000))
    _ = try fixture.load(archive.finished)
    #expect(try fixture.store.usage().blobs == 3)
    #expect(fixture.folder.names("image/ingest").isEmpty)
  }

  @Test func oldestDockerArchive() throws {
    let fixture = try StoreFixture()
    let layers = try TestImage(["base", "top"]).layers
    var archive = Tar()
    archive.add("repositories", Data(#"{"old/image":{"v1":"top","v2":"top"}}"#.utf8))
    archive.add("base/VERSION", Data("1.0".utf8))
    archive.add(
      "base/json",
      Data(
        #"{"id":"base","created":"2013-01-01T00:00:00Z","container_config":{"Cmd":["/bin/sh","-c","echo base"]}}"#.utf8)
    )
    archive.add("base/layer.tar", layers[0])
    archive.add(
      "top/json",
      Data(
        #"{"id":"top","parent":"base","created":"2014-01-01T00:00:00Z","config":{"Cmd":["run"],"Env":["A=b"]},"architecture":"amd64","os":"linux"}"#
          .utf8))
    archive.add("top/layer.tar", layers[1])
    let images = try fixture.load(archive.finished)
    #expect(images.map(\.repoTags) == [["old/image:v1", "old/image:v2"]])
    let details = try fixture.store.inspect("old/image:v2")
    #expect(details.config.config?.cmd == ["run"])
    #expect(details.layers == layers.map { Digest.of($0) })
    #expect(try fixture.store.history("old/image:v1").map(\.createdBy) == ["", "/bin/sh -c echo base"])
    // The made-up configuration is the same every time.
    #expect(try fixture.load(archive.finished)[0].id == images[0].id)
  }

  @Test func layoutFolderAndArchive() throws {
    let image = try TestImage(["one", "two"], padding: 200_000)
    let files = try layout([try image.descriptor(name: "quay.io/a/b:c")], [try image.blobs()])
    for form in ["folder", "tar", "tar.gz"] {
      let fixture = try StoreFixture()
      let images: [ImageSummary]
      switch form {
      case "folder":
        for (name, data) in files { try fixture.folder.write("layout/\(name)", data) }
        images = try fixture.store.importPath(fixture.folder.path.appending("layout"))
      case "tar": images = try fixture.load(tar(files).finished)
      default: images = try fixture.load(try filter(tar(files).finished, "gzip -c", in: fixture.folder))
      }
      #expect(images.map(\.repoTags) == [["quay.io/a/b:c"]], "\(form)")
      #expect(images.first?.manifest == (try image.descriptor().digest), "the manifest stays as it is")
      #expect(fixture.folder.names("image/ingest").isEmpty)
    }
  }

  @Test func layoutWithBareTagTakesTheFoldersName() throws {
    let fixture = try StoreFixture()
    let image = try TestImage(["one"])
    for (name, data) in try layout([try image.descriptor(name: "latest")], [try image.blobs()]) {
      try fixture.folder.write("MyApp/\(name)", data)
    }
    #expect(try fixture.store.importPath(fixture.folder.path.appending("MyApp"))[0].repoTags == ["myapp:latest"])
  }

  /// Docker 25 and later: a layout and a manifest.json in one archive.
  @Test func archiveOfBothShapes() throws {
    let fixture = try StoreFixture()
    let image = try TestImage(["one"])
    var descriptor = try image.descriptor()
    descriptor.annotations = [
      AnnotationKey.containerdImageName: "docker.io/library/app:1", AnnotationKey.refName: "1",
    ]
    var files = try layout([descriptor], [try image.blobs()])
    let layer = "blobs/sha256/\(Digest.of(image.layers[0]).hex)"
    files["manifest.json"] = Data(
      image.json(config: "blobs/sha256/\(image.id.hex)", names: ["app:1", "app:2"], layers: [layer]).utf8)
    #expect(try fixture.load(tar(files).finished)[0].repoTags == ["app:1", "app:2"])
  }

  @Test func indexOfSeveralPlatforms() throws {
    let own = try TestImage(["own"])
    let other = try TestImage(["other"], architecture: "s390x")
    let index = try ImageDocument.encode(
      ImageIndex(manifests: [
        try other.descriptor(platform: Platform(os: "linux", architecture: "s390x")),
        Descriptor(
          mediaType: MediaType.ociManifest, digest: Digest.of(Data("attestation".utf8)), size: 3,
          annotations: [AnnotationKey.dockerReferenceType: "attestation-manifest"],
          platform: Platform(os: "unknown", architecture: "unknown")),
        try own.descriptor(platform: Platform.host),
      ]))
    let top = Descriptor(
      mediaType: MediaType.ociIndex, digest: Digest.of(index), size: Int64(index.count),
      annotations: [AnnotationKey.refName: "multi:1"])
    let indexFile = ["blobs/sha256/\(Digest.of(index).hex)": index]
    // The other platform's content need not be there.
    let files = try layout([top], [try own.blobs(), indexFile])
    let fixture = try StoreFixture()
    #expect(try fixture.load(tar(files).finished).map(\.id) == [own.id])

    let both = try layout([top], [try own.blobs(), try other.blobs(), indexFile])
    let second = try StoreFixture()
    #expect(try second.load(tar(both).finished, ImportRequest(platform: "linux/s390x")).map(\.id) == [other.id])
    let fault = #expect(throws: Fault.self) {
      try second.load(tar(both).finished, ImportRequest(platform: "linux/mips"))
    }
    #expect(fault?.code == .notFound)
    #expect(fault?.message.contains("linux/s390x") == true)
    let wrong = #expect(throws: Fault.self) {
      try second.store.resolve("multi:1", platform: Platform(parsing: "linux/ppc64le"))
    }
    #expect(wrong?.code == .notFound)
  }

  @Test func namesOfTheRequestReplaceTheArchives() throws {
    let fixture = try StoreFixture()
    let image = try TestImage(["one"])
    #expect(
      try fixture.load(try image.dockerArchive(["a"]).finished, ImportRequest(names: ["b", "c:d"]))[0].repoTags == [
        "b:latest", "c:d",
      ])
    let fault = #expect(throws: Fault.self) {
      try fixture.load(try image.dockerArchive(["a"]).finished, ImportRequest(names: ["B"]))
    }
    #expect(fault?.code == .invalidArgument)
  }

  @Test func aNameMovesToTheNewImage() throws {
    let fixture = try StoreFixture()
    let old = try TestImage(["old"])
    let new = try TestImage(["new"])
    _ = try fixture.load(try old.dockerArchive(["app"]).finished)
    _ = try fixture.load(try new.dockerArchive(["app"]).finished)
    #expect(try fixture.store.resolve("app").id == new.id)
    let list = try fixture.store.list()
    #expect(list.count == 2)
    #expect(list.first { $0.id == old.id }?.isDangling == true)
  }

  @Test func cancellationKeepsNothing() throws {
    let fixture = try StoreFixture()
    let image = try TestImage(["one"], padding: 1 << 20)
    let path = try fixture.folder.write("archive", try image.dockerArchive(["x"]).finished)
    let fault = #expect(throws: Fault.self) {
      try fixture.store.importPath(path, observer: ImportObserver(isCancelled: { true }))
    }
    #expect(fault?.code == .cancelled)
    #expect(try fixture.isUntouched())
  }
}

/// Collects progress.
final class Recorder: Sendable {
  private let list = Mutex<[ImportProgress]>([])
  func add(_ progress: ImportProgress) { list.withLock { $0.append(progress) } }
  var all: [ImportProgress] { list.withLock { $0 } }
}
