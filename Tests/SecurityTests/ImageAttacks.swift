import Foundation
import TestSupport
import Testing

extension SecurityTests {
  /// Layers that try to leave their folder; the engine's own unpack tests hold the whole list, this is the way a person meets it.
  @Test(
    "Unpack: entries that lead out of the layer",
    arguments: [
      [Entry(name: "../canary/escaped", content: "x")],
      [Entry(name: "/../../../../../../canary/escaped", content: "x")],
      [Entry(name: "a", type: "sym", link: "/canary"), Entry(name: "a/escaped", content: "x")],
      [
        Entry(name: "a", type: "sym", link: "../../../../../../../.."), Entry(name: "b", type: "sym", link: "a/canary"),
        Entry(name: "b/escaped", content: "x"),
      ],
      [Entry(name: "passwd", type: "hard", link: "/etc/passwd")],
      [Entry(name: "a", type: "sym", link: "/canary"), Entry(name: "a/.wh.file")],
      [Entry(name: ".wh..."), Entry(name: ".wh..wh..opq")],
      [Entry(name: "a/.wh..")],
    ])
  func unpack(entries: [Entry]) async throws {
    let canary = "/canary"
    _ = try await Command.shell("rm -rf \(canary); mkdir \(canary); echo safe >\(canary)/file")
    let before = try await Command.shell("stat -c '%i %h %Y %a' /etc/passwd \(canary)/file; ls -A \(canary)").stdout
    let (image, output) = try await load([entries], expecting: nil)
    if output.status == 0 { try await engine.gantry("run", "--rm", image, "true", expecting: nil) }
    #expect(
      try await Command.shell("stat -c '%i %h %Y %a' /etc/passwd \(canary)/file; ls -A \(canary)").stdout == before)
    _ = try await Command.shell("rm -rf \(canary)")
  }

  @Test(
    "CVE-2024-3727: digests that are not digests",
    arguments: [
      "sha256:../../../../etc/passwd", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e",
      "sha256:" + String(repeating: "A", count: 64),
      "../../../etc/passwd", "",
    ])
  func digest(text: String) async throws {
    let folder = engine.folder.appending(engine.name("layout"))
    _ = try await Command.shell(
      """
      mkdir -p \(folder)/blobs/sha256
      echo '{"imageLayoutVersion":"1.0.0"}' >\(folder)/oci-layout
      cat >\(folder)/index.json <<'END'
      {"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"\(text)","size":5,
       "annotations":{"org.opencontainers.image.ref.name":"evil:latest"}}]}
      END
      """)
    let output = try await engine.gantry("load", "-i", folder.string, expecting: 1)
    #expect(output.stderr.contains("digest"), "\(output)")
    try await engine.gantry("image", "inspect", "evil", expecting: 1)
  }

  @Test("A blob whose bytes are not its digest's is never visible")
  func wrongBytes() async throws {
    let folder = engine.folder.appending(engine.name("layout"))
    let archive = try await TestImage.busybox()
    _ = try await Command.shell(
      """
      skopeo copy -q docker-archive:\(archive):gantry/busybox:latest oci:\(folder):wrong
      umoci config --image \(folder):wrong --config.label unlike=1
      blob=$(ls -S \(folder)/blobs/sha256 | head -n 1)
      printf X | dd of=\(folder)/blobs/sha256/$blob bs=1 seek=1000 conv=notrunc status=none
      """)
    let own = try await TestEngine.start(image: false)
    let output = try await own.gantry("load", "-i", folder.string, expecting: 1)
    #expect(output.stderr.contains("sha256:"), "\(output)")
    #expect(try await own.gantry("images", "-aq").stdout.isEmpty)
    try await own.stop()
  }
}
