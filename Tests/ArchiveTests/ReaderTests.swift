import Archive
import ArchiveFixtures
import Faults
import Glibc
import Tar
import Testing

extension ArchiveTests {
  /// `ArchiveReader` as importers use it: entries one by one, content as wanted.
  @Suite struct ReaderTests {
    private static let archive = Tar { tar in
      tar.file("manifest.json", "[{}]")
      tar.folder("blobs")
      tar.file("blobs/big", String(repeating: "0123456789", count: 50_000))
      tar.symlink("link", "blobs/big")
      tar.file("last", "end")
    }.archive

    @Test("Entries come in order, whatever is read of them", arguments: [1, 511, 512, 10_000, 1 << 20])
    func order(chunkSize: Int) throws {
      let reader = try ArchiveReader(source: ClosureSource(bytes: Self.archive, chunkSize: chunkSize))
      var names: [String] = []
      var sum = 0
      while let entry = try reader.next() {
        names.append(entry.pathText)
        switch entry.pathText {
        case "manifest.json": #expect(try reader.readAll(limit: 10) == Array("[{}]".utf8))
        case "blobs/big": try reader.forEachChunk { sum += $0.count }
        case "link": #expect(entry.kind == .symbolicLink(Array("blobs/big".utf8)))
        default: break
        }
      }
      #expect(
        names.map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 } == [
          "manifest.json", "blobs", "blobs/big", "link", "last",
        ])
      #expect(sum == 500_000)
      #expect(try reader.next() == nil)
    }

    @Test(
      "Compression is found by the first bytes, in files and pipes", arguments: ["gzip", "zstd", "xz", "bzip2", "none"])
    func compression(_ name: String) throws {
      let scratch = Scratch()
      scratch.write("plain", Self.archive)
      let command = name == "none" ? "cat" : "\(name) -c"
      let made = shell("\(command) <'\(scratch["plain"])' >'\(scratch["file"])'")
      try #require(made.status == 0, "\(made.output)")
      let source = try DecompressedSource(ClosureSource(bytes: Self.bytes(scratch["file"].string), chunkSize: 3))
      #expect(source.compression.rawValue == name)
      #expect(try ArchiveReader(path: scratch["file"]).next()?.pathText == "manifest.json")
      guard let pipe = popen("cat '\(scratch["file"])'", "r") else { return }
      defer { pclose(pipe) }
      let reader = try ArchiveReader(descriptor: fileno(pipe))
      var count = 0
      while try reader.next() != nil { count += 1 }
      #expect(count == 5)
    }

    @Test("A content longer than asked for is refused")
    func contentLimit() throws {
      let reader = try ArchiveReader(source: ClosureSource(bytes: Self.archive))
      _ = try reader.next()
      let fault = #expect(throws: Fault.self) { try reader.readAll(limit: 3) }
      #expect(fault?.code == .limitExceeded)
    }

    @Test("A file that does not exist is told by name")
    func missing() {
      let fault = #expect(throws: Fault.self) { try ArchiveReader(path: "/nowhere/archive.tar") }
      #expect(fault?.code == .notFound)
      #expect(fault?.message.contains("/nowhere/archive.tar") == true)
    }

    @Test("What the source throws comes through")
    func sourceFault() throws {
      let reader = try ArchiveReader(
        source: ClosureSource(bytes: Array(Self.archive.prefix(1024))).failing(Fault(.cancelled, "enough")))
      let fault = #expect(throws: Fault.self) { while try reader.next() != nil {} }
      #expect(fault?.code == .cancelled)
    }

    private static func bytes(_ path: String) throws -> [UInt8] {
      try WholeFile(path).bytes
    }
  }
}

/// A whole file.
private struct WholeFile {
  var bytes: [UInt8] = []

  init(_ path: String) throws {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    defer { close(descriptor) }
    let source = DescriptorSource(descriptor)
    while true {
      let chunk = try source.next()
      if chunk.isEmpty { return }
      bytes += chunk
    }
  }
}

extension ClosureSource {
  /// The same bytes, and then an error in the place of the end.
  fileprivate func failing(_ fault: Fault) -> ClosureSource {
    ClosureSource {
      let chunk = try self.next()
      if chunk.isEmpty { throw fault }
      return Array(chunk)
    }
  }
}
