import ContentStore
import Faults
import FoundationEssentials
import Glibc
import Images
import Logging
import OCI
import SystemPackage

/// A folder under /tmp that is gone with this value.
final class TemporaryFolder {
  let path: FilePath

  init() {
    var template = Array("/tmp/gantry-images-XXXXXX".utf8CString)
    mkdtemp(&template)
    path = FilePath(platformString: template)
  }

  deinit { try? FileManager.default.removeItem(atPath: path.string) }

  func names(_ folder: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: path.appending(folder).string))?.sorted() ?? []
  }

  /// Writes a file and returns its path; folders are made.
  @discardableResult
  func write(_ name: String, _ data: Data) throws -> FilePath {
    let file = path.appending(name)
    try FileManager.default.createDirectory(
      atPath: file.removingLastComponent().string, withIntermediateDirectories: true)
    try data.write(to: URL(filePath: file.string))
    return file
  }
}

/// An image store in a folder of its own.
struct StoreFixture {
  let folder = TemporaryFolder()
  let store: ImageStore

  init(limits: ImportLimits = ImportLimits()) throws {
    store = try ImageStore(root: folder.path.appending("image"), limits: limits, log: Logger(label: "test"))
  }

  /// Imports an archive that is in memory.
  func load(_ archive: Data, _ request: ImportRequest = ImportRequest()) throws -> [ImageSummary] {
    try store.importPath(try folder.write("archive", archive), request)
  }

  /// What a failed import must leave: nothing.
  func isUntouched() throws -> Bool {
    try store.list().isEmpty && store.usage().blobs == 0 && folder.names("image/ingest").isEmpty
      && (store.content.readIndex()?.manifests.isEmpty ?? true)
  }
}

/// A tar archive as bytes (POSIX ustar).
struct Tar {
  private(set) var data = Data()

  /// Adds an entry of type `type` ("0" file, "1" hard link, "2" symbolic link, "5" folder).
  mutating func add(
    _ name: String, _ content: Data = Data(), type: Character = "0", link: String = "", size: Int? = nil
  ) {
    var header = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, _ offset: Int) {
      for (position, byte) in text.utf8.enumerated() { header[offset + position] = byte }
    }
    func octal(_ value: Int, _ digits: Int) -> String {
      let text = String(value, radix: 8)
      return String(repeating: "0", count: digits - text.count) + text
    }
    put(String(name.prefix(100)), 0)
    put(octal(0o644, 7), 100)
    put(octal(0, 7), 108)
    put(octal(0, 7), 116)
    put(octal(size ?? content.count, 11), 124)
    put(octal(0, 11), 136)
    put("        ", 148)
    put(String(type), 156)
    put(link, 157)
    put("ustar", 257)
    put("00", 263)
    put(octal(header.reduce(0) { $0 + Int($1) }, 6), 148)
    header[154] = 0
    data.append(contentsOf: header)
    data.append(content)
    data.append(Data(count: (512 - content.count % 512) % 512))
  }

  /// The archive with its end.
  var finished: Data { data + Data(count: 1024) }
}

/// An image to put into archives.
struct TestImage {
  var layers: [Data]
  var config: Data
  var id: Digest { Digest.of(config) }

  /// An image whose layers each have one file with the given text.
  init(_ texts: [String], architecture: String = Platform.host.architecture, padding: Int = 0) throws {
    layers = texts.enumerated().map { position, text in
      var tar = Tar()
      tar.add("file\(position)", Data(text.utf8) + Data(count: padding))
      return tar.finished
    }
    let history = texts.map { ImageConfig.History(created: "2024-01-02T03:04:05Z", createdBy: "RUN \($0)") }
    config = try ImageDocument.encode(
      ImageConfig(
        architecture: architecture, os: "linux", created: "2024-01-02T03:04:05Z",
        config: .init(cmd: ["sh"], labels: ["text": texts.joined()]),
        rootfs: .init(diffIDs: layers.map { Digest.of($0) }),
        history: history + [.init(createdBy: "CMD sh", emptyLayer: true)]))
  }

  /// `docker save` from 1.10 to 24.
  func dockerArchive(_ names: [String], transform: (Data) -> Data = { $0 }) throws -> Tar {
    var tar = Tar()
    tar.add("\(id.hex).json", config)
    var paths: [String] = []
    for (position, layer) in layers.enumerated() {
      paths.append("layer\(position)/layer.tar")
      tar.add("layer\(position)/", type: "5")
      tar.add("layer\(position)/VERSION", Data("1.0".utf8))
      tar.add(paths[position], transform(layer))
    }
    tar.add("manifest.json", Data(json(config: "\(id.hex).json", names: names, layers: paths).utf8))
    return tar
  }

  func json(config: String, names: [String], layers: [String]) -> String {
    func list(_ texts: [String]) -> String { "[" + texts.map { "\"\($0)\"" }.joined(separator: ",") + "]" }
    return #"[{"Config":"\#(config)","RepoTags":\#(list(names)),"Layers":\#(list(layers))}]"#
  }

  /// The OCI manifest.
  func manifest(layerType: String = MediaType.ociLayer, transform: (Data) -> Data = { $0 }) throws -> Data {
    try ImageDocument.encode(
      ImageManifest(
        config: Descriptor(mediaType: MediaType.ociConfig, digest: id, size: Int64(config.count)),
        layers: layers.map {
          let blob = transform($0)
          return Descriptor(mediaType: layerType, digest: Digest.of(blob), size: Int64(blob.count))
        }))
  }

  /// The files of an OCI layout by their names, without index.json and oci-layout.
  func blobs(layerType: String = MediaType.ociLayer, transform: (Data) -> Data = { $0 }) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for blob in [config, try manifest(layerType: layerType, transform: transform)] + layers.map(transform) {
      files["blobs/sha256/\(Digest.of(blob).hex)"] = blob
    }
    return files
  }

  func descriptor(name: String? = nil, platform: Platform? = nil) throws -> Descriptor {
    let data = try manifest()
    return Descriptor(
      mediaType: MediaType.ociManifest, digest: Digest.of(data), size: Int64(data.count),
      annotations: name.map { [AnnotationKey.refName: $0] }, platform: platform)
  }
}

/// The files of a layout with these manifests.
func layout(_ manifests: [Descriptor], _ blobs: [[String: Data]]) throws -> [String: Data] {
  var files = blobs.reduce(into: [String: Data]()) { $0.merge($1) { old, _ in old } }
  files["oci-layout"] = try ImageDocument.encode(ImageLayout())
  files["index.json"] = try ImageDocument.encode(ImageIndex(manifests: manifests))
  return files
}

/// Files as a tar archive, in the order of their names.
func tar(_ files: [String: Data]) -> Tar {
  var tar = Tar()
  for (name, data) in files.sorted(by: { $0.key < $1.key }) { tar.add(name, data) }
  return tar
}

/// The bytes after a program of the machine worked on them: `gzip -c`, `xz -c`, ….
func filter(_ data: Data, _ command: String, in folder: TemporaryFolder) throws -> Data {
  let input = try folder.write("filter.in", data)
  let output = folder.path.appending("filter.out")
  guard system("\(command) < \(input) > \(output)") == 0 else { throw Fault(.internal, "\(command) failed") }
  return try Data(contentsOf: URL(filePath: output.string))
}
