public import Foundation
public import SystemPackage
import Testing

extension TestImage {
  /// A docker-archive of `large:1`, whose layer has 20 MB that cannot be compressed.
  public static func large() async throws -> FilePath {
    try await made("large.tar") { path in
      _ = try await Command.shell(
        """
        folder=$(mktemp -d '\(path).XXXXXX')
        cd "$folder"
        head -c 20000000 /dev/urandom >filler
        tar cf layer.tar filler
        id=$(sha256sum layer.tar | cut -d' ' -f1)
        printf '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' $id >config.json
        printf '[{"Config":"config.json","RepoTags":["large:1"],"Layers":["layer.tar"]}]' >manifest.json
        tar cf '\(path)' manifest.json config.json layer.tar
        rm -r "$folder"
        """)
    }
  }
}

/// `Tests/TestSupport/push-registry`: a registry to push to that behaves badly, told how by the name of the repository.
public final class PushRegistry: Sendable {
  /// `127.0.0.1:PORT`
  public let host: String
  public let folder: FilePath
  private let process: TestProcess

  public static func start() async throws -> PushRegistry {
    let folder = try Scratch.folder("push")
    let output = Pipe()
    let process = try TestProcess(
      [TestEngine.repository.appending("Tests/TestSupport/push-registry").string, folder.string],
      log: folder.appending("errors"), output: output)
    let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
    let port = try #require(Int(line.trimmingWhitespace()), "the registry did not start")
    return PushRegistry(folder, port, process)
  }

  private init(_ folder: FilePath, _ port: Int, _ process: TestProcess) {
    self.folder = folder
    self.process = process
    host = "127.0.0.1:\(port)"
  }

  /// Sets the other host that `away` names.
  public func set(elsewhere: String) throws {
    try elsewhere.write(toFile: folder.appending("elsewhere").string, atomically: true, encoding: .utf8)
  }

  /// The requests so far: method, path, Authorization or `-`, Content-Range or `-`, bytes of the body.
  public func requests(_ text: String = "") -> [Substring] {
    let log = (try? String(contentsOfFile: folder.appending("log").string, encoding: .utf8)) ?? ""
    return log.split(separator: "\n").filter { text.isEmpty || $0.contains(text) }
  }

  public func stop() throws {
    process.stop()
    try FileManager.default.removeItem(atPath: folder.string)
  }
}
