public import ArchiveFixtures
public import Faults
public import Protocol
public import Testing

/// What every implementation of `SnapshotService` must do, whichever file system it is built on, in process or remote:
///
///     @Test(arguments: SnapshotConformance.checks)
///     func conforms(_ check: SnapshotConformance.Check) async throws {
///       try await check.run(makeService(), Scratch())
///     }
///
/// Each check gets a service without any snapshot. Mounting needs root.
public enum SnapshotConformance {
  /// One property with its name.
  public struct Check: Sendable, CustomTestStringConvertible {
    /// A sentence.
    public let name: String
    private let body: @Sendable (any SnapshotService, Scratch) async throws -> Void

    init(_ name: String, _ body: @escaping @Sendable (any SnapshotService, Scratch) async throws -> Void) {
      self.name = name
      self.body = body
    }

    /// Checks it on a service without snapshots, with a folder for image files.
    public func run(_ service: any SnapshotService, _ scratch: Scratch) async throws {
      try await body(service, scratch)
    }

    public var testDescription: String { name }
  }

  /// All of them.
  public static let checks = life + layers + names + links

  /// Expects that `call` throws a fault with `code`.
  public static func expect(
    _ code: FaultCode, _ call: () async throws -> Void, _ location: SourceLocation = #_sourceLocation
  )
    async
  {
    do {
      try await call()
      Issue.record("expected \(code.rawValue), but nothing was thrown", sourceLocation: location)
    } catch {
      let fault = Fault(describing: error)
      #expect(fault.code == code, "\(fault)", sourceLocation: location)
    }
  }

  /// Two layers: the upper one replaces, hides and adds.
  static func image(_ scratch: Scratch) throws -> ImageFixture {
    try ImageFixture(
      scratch,
      [
        Tar { tar in
          tar.folder("./", mode: 0o751, uid: 11, gid: 12)
          tar.folder("etc")
          tar.file("etc/kept", "kept")
          tar.file("etc/replaced", "old")
          tar.file("etc/hidden", "old")
          tar.folder("opaque")
          tar.file("opaque/old", "old")
          tar.folder("gone")
          tar.file("gone/file", "old")
        },
        Tar { tar in
          tar.folder("./", mode: 0o751, uid: 11, gid: 12)
          tar.folder("etc")
          tar.file("etc/replaced", "new")
          tar.file("etc/.wh.hidden", "")
          tar.folder("opaque")
          tar.file("opaque/.wh..wh..opq", "")
          tar.file("opaque/new", "new")
          tar.file(".wh.gone", "")
        },
      ])
  }

  static let life: [Check] = [
    Check("A snapshot on nothing is empty and writable") { service, _ in
      let mounts = try await service.prepare(.init(key: "a")).mounts
      let mounted = try MountedSnapshot(mounts)
      #expect(try mounted.names().isEmpty)
      try mounted.write("file", "content")
      #expect(try MountedSnapshot(await service.mounts(.init(key: "a")).mounts).text("file") == "content")
    },
    Check("Layers lie on top of each other: the upper replaces, hides and adds") { service, scratch in
      let image = try image(scratch)
      let result = try await service.unpack(.init(layers: image.layers))
      #expect(result.chainID == image.chainID)
      #expect(result.unpacked == image.layers.map(\.chainID))
      let mounted = try MountedSnapshot(
        await service.prepare(.init(key: "a", parent: image.chainID)).mounts)
      #expect(try mounted.names() == ["etc", "opaque"])
      #expect(try mounted.names("etc") == ["kept", "replaced"])
      #expect(mounted.text("etc/replaced") == "new" && mounted.text("etc/kept") == "kept")
      #expect(try mounted.names("opaque") == ["new"])
      let root = try mounted.status(".")
      #expect(root.permissions == 0o751 && root.uid == 11 && root.gid == 12, "the root folder is the image's")
    },
    Check("What one snapshot writes no other sees, nor its layers") { service, scratch in
      let image = try image(scratch)
      _ = try await service.unpack(.init(layers: image.layers))
      let first = try MountedSnapshot(await service.prepare(.init(key: "a", parent: image.chainID)).mounts)
      try first.write("etc/kept", "changed")
      try first.remove("etc/replaced")
      let second = try MountedSnapshot(await service.prepare(.init(key: "b", parent: image.chainID)).mounts)
      #expect(second.text("etc/kept") == "kept" && second.text("etc/replaced") == "new")
      #expect(try await service.usage(.init(key: "a")).bytes > 0)
    },
    Check("A view shows the same and takes no writes") { service, scratch in
      let image = try image(scratch)
      _ = try await service.unpack(.init(layers: image.layers))
      for (key, parent) in [("v2", image.chainID), ("v1", image.layers[0].chainID)] {
        let mounts = try await service.view(.init(key: key, parent: parent)).mounts
        #expect(mounts.first?.options.contains("ro") == true)
        #expect(try MountedSnapshot(mounts).text("etc/kept") == "kept")
        #expect(mounts == (try await service.mounts(.init(key: key)).mounts))
      }
      let empty = try await service.view(.init(key: "v0")).mounts
      #expect(empty.first?.options.contains("ro") == true)
      #expect(try MountedSnapshot(empty).names().isEmpty)
    },
    Check("A committed snapshot is a layer like any other") { service, scratch in
      let image = try image(scratch)
      _ = try await service.unpack(.init(layers: image.layers))
      do {
        let mounted = try MountedSnapshot(await service.prepare(.init(key: "a", parent: image.chainID)).mounts)
        try mounted.write("etc/added", "added")
        try mounted.remove("etc/kept")
      }
      let name = "sha256:" + String(repeating: "ab", count: 32)
      let result = try await service.commit(.init(key: "a", chainID: name))
      #expect(result.chainID == name && result.bytes > 0)
      await expect(.notFound) { _ = try await service.mounts(.init(key: "a")) }
      let mounted = try MountedSnapshot(await service.prepare(.init(key: "a", parent: name)).mounts)
      #expect(try mounted.names("etc") == ["added", "replaced"])
      await expect(.alreadyExists) {
        _ = try await service.prepare(.init(key: "b", parent: image.chainID))
        _ = try await service.commit(.init(key: "b", chainID: name))
      }
      await expect(.conflict) {
        _ = try await service.view(.init(key: "v", parent: name))
        _ = try await service.commit(.init(key: "v", chainID: "sha256:" + String(repeating: "cd", count: 32)))
      }
      await expect(.invalidArgument) { _ = try await service.commit(.init(key: "b", chainID: "not a digest")) }
    },
    Check("A volatile snapshot says so, and can be mounted again") { service, scratch in
      let image = try image(scratch)
      _ = try await service.unpack(.init(layers: image.layers))
      let mounts = try await service.prepare(.init(key: "a", parent: image.chainID, volatile: true)).mounts
      #expect(mounts.first?.options.contains("volatile") == true)
      do { try MountedSnapshot(mounts).write("file", "one") }
      let again = try await service.mounts(.init(key: "a")).mounts
      #expect(try MountedSnapshot(again).text("file") == "one")
    },
    Check("Removing is for good, and twice is once") { service, scratch in
      let image = try image(scratch)
      _ = try await service.unpack(.init(layers: image.layers))
      _ = try await service.prepare(.init(key: "a", parent: image.chainID))
      _ = try await service.view(.init(key: "b", parent: image.chainID))
      _ = try await service.remove(.init(keys: ["a", "b", "never there"]))
      _ = try await service.remove(.init(keys: ["a"]))
      await expect(.notFound) { _ = try await service.mounts(.init(key: "a")) }
      _ = try await service.prepare(.init(key: "a", parent: image.chainID))
    },
  ]
}
