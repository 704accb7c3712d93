import Archive
import ArchiveFixtures
import Faults
import Foundation
import Glibc
import JSONRPC
import Linux
import OCI
import Protocol
import SnapshotConformance
import SystemPackage
import Testing

@testable import Snapshots

extension SnapshotsTests {
  /// `snapshot.capture` and `snapshot.writeBlob`: what a container changed as a layer, and the layer's bytes made again.
  @Suite(.enabled(if: geteuid() == 0, "needs root: owners, nodes and mounts")) struct CaptureTests {
    let scratch = Scratch()

    /// A store with one image, and a snapshot `c` on it whose files `script` changed through a real overlay mount.
    private func changed(_ script: String) async throws -> (SnapshotStore, ImageFixture) {
      let image = try ImageFixture(
        scratch,
        [
          Tar { tar in
            tar.folder("./", mode: 0o755)
            tar.folder("etc")
            tar.file("etc/kept", "kept")
            tar.file("etc/gone", "old")
            tar.folder("dir")
            tar.file("dir/old", "old")
          }
        ])
      let store = try SnapshotStore(root: scratch["root"])
      _ = try await store.unpack(.init(layers: image.layers))
      let mounts = try await store.prepare(.init(key: "c", parent: image.chainID)).mounts
      try work(mounts, script)
      return (store, image)
    }

    private func work(_ mounts: [MountSpec], _ script: String) throws {
      let mount = try #require(mounts.first)
      let place = scratch.folder("mnt-\(UInt32.random(in: 0 ... .max))")
      // mount(8) takes all lower folders in one option.
      let isLower = { (option: String) in option.hasPrefix("lowerdir+=") }
      let lowers = mount.options.filter(isLower).map { $0.dropFirst("lowerdir+=".count) }.joined(separator: ":")
      let options = (mount.options.filter { !isLower($0) } + ["lowerdir=\(lowers)"]).joined(separator: ",")
      let file = scratch.write(
        "script", Array("mount -t \(mount.type) \(mount.source) -o \(options) \(place)\ncd \(place)\n\(script)\n".utf8))
      let result = shell("unshare -m --propagation private sh -eu '\(file)'")
      #expect(result.status == 0, "\(result.output)")
    }

    /// The bytes of a blob as `writeBlob` sends them.
    private func bytes(_ store: SnapshotStore, _ chainID: String, _ digest: String) async throws -> [UInt8] {
      let path = scratch["s\(UInt32.random(in: 0 ... .max))"]
      let listener = try UnixSocket.listen(path: path, mode: 0o600, gid: nil, nonBlocking: false).take()
      let reader = Task.detached { () -> [UInt8] in
        let accepted = try UnixSocket.accept(listener, nonBlocking: false)
        guard let socket = accepted else { return [] }
        return try Files.read(socket.rawValue, limit: 256 << 20)
      }
      let sent = try await store.writeBlob(
        .init(chainID: chainID, digest: digest, stream: .init(socket: path.string, token: "token")))
      let all = try await reader.value
      Descriptors.close(listener)
      #expect(all.prefix(6).elementsEqual("token\n".utf8) && Int64(all.count) == sent.bytes + 6)
      return Array(all.dropFirst(6))
    }

    private static let everything = """
      echo new >file; ln file hard; ln -s file soft; mkfifo fifo; mknod dev c 1 3; mknod blk b 7 0; chown 7:8 file; chmod 4711 hard
      setfattr -n user.note -v value file; cp /bin/true cap; setcap cap_net_raw+ep cap; setfacl -m u:99:r cap
      rm etc/gone; rm -r dir; mkdir dir; echo inside >dir/new; mkdir -p deep/er; touch -d @1000000000.5 deep/er/old
      truncate -s 5M sparse; printf data | dd of=sparse bs=1 seek=2000000 conv=notrunc status=none
      printf 'line' >"$(printf 'na\\nme')"; head -c 3000000 /dev/urandom >big; touch empty; echo more >>etc/kept
      python3 -c 'import socket;socket.socket(socket.AF_UNIX).bind("sock")'
      """

    private static let listing =
      "find . -mindepth 1 -printf '%P|%y|%m|%U:%G|%s|%T@|%l|%n\\n' | grep -v '^sock|' | sort; find . -type f -exec sha256sum {} + | sort; getfattr -Rdm - . 2>/dev/null; getfacl -Rn . | grep -v ^#; stat -c %b sparse"

    @Test("A layer of every kind of file, whose archive unpacks to the same tree and has the digest that was promised")
    func everything() async throws {
      let (store, image) = try await changed(Self.everything)
      let result = try await store.capture(.init(key: "c"))
      let diffID = try #require(result.diffID)
      let again = try await store.capture(.init(key: "c"))
      #expect(again == result, "two captures of the same files are the same layer")
      let archive = try await bytes(store, result.chainID, diffID)
      #expect(Int64(archive.count) == result.size)
      #expect(LayerChain.digest(archive).rawValue == diffID)
      let names = shell("tar -tf '\(scratch.write("layer.tar", archive))' --quoting-style=escape").output
      #expect(names.contains("etc/.wh.gone\n") && names.contains("dir/.wh..wh..opq\n"), "\(names)")
      #expect(names.contains("na\\nme\n") && !names.contains("sock"))
      // A second store, which knows only the archives.
      var layers = image.layers
      layers.append(
        .init(
          descriptor: .init(
            mediaType: MediaType.ociLayer, digest: try Digest(parsing: diffID), size: Int64(archive.count)),
          diffID: diffID, chainID: result.chainID, path: scratch["layer.tar"].string))
      let other = try SnapshotStore(root: scratch["other"])
      _ = try await other.unpack(.init(layers: layers))
      let theirs = scratch["theirs"]
      let ours = scratch["ours"]
      try work(
        try await other.prepare(.init(key: "x", parent: result.chainID)).mounts, "( \(Self.listing) ) >\(theirs)")
      try work(
        try await store.prepare(.init(key: "y", parent: result.chainID)).mounts, "( \(Self.listing) ) >\(ours)")
      let difference = shell("diff '\(ours)' '\(theirs)'")
      #expect(difference.status == 0, "\(difference.output)")
      #expect(shell("grep -c '|' '\(ours)'").output != "0\n")
      try Invariants.check(store)
    }

    @Test("What the runtime made for its mounts is no change, and no change is no layer")
    func nothing() async throws {
      let (store, image) = try await changed("mkdir proc sys; touch etc/hosts etc/resolv.conf")
      let points = ["/proc", "/sys", "/etc/hosts", "/etc/resolv.conf"]
      let result = try await store.capture(.init(key: "c", mountPoints: points))
      #expect(result.diffID == nil && result.chainID == image.chainID && result.size == 0)
      let other = try await store.capture(.init(key: "c"))
      #expect(other.diffID != nil)
    }

    @Test("A folder's mode alone is a change")
    func modeOnly() async throws {
      let (store, _) = try await changed("chmod 700 .")
      let result = try await store.capture(.init(key: "c"))
      #expect(result.diffID != nil)
      _ = try await store.prepare(.init(key: "d", parent: result.chainID))
      let mounted = try MountedSnapshot(await store.mounts(.init(key: "d")).mounts)
      #expect(try mounted.status(".").permissions == 0o700)
    }

    @Test("A name that would mean a deletion elsewhere is refused, and leaves nothing")
    func whiteoutName() async throws {
      let (store, _) = try await changed("touch .wh.etc")
      await SnapshotConformance.expect(.unsupported) { _ = try await store.capture(.init(key: "c")) }
      await store.drain()
      #expect(shell("ls '\(scratch["root"])/ingest' '\(scratch["root"])/trash' | grep -c '^[0-9]'").output == "0\n")
      try Invariants.check(store)
    }

    @Test("A lease keeps a new layer from a prune that does not know it")
    func lease() async throws {
      let (store, image) = try await changed("echo x >new")
      _ = try await store.lease(.init(lease: "commit-1", seconds: 60))
      let result = try await store.capture(.init(key: "c", lease: "commit-1"))
      _ = try await store.layerPrune(.init(keep: [image.chainID]))
      _ = try await store.stat(.init(key: result.chainID))
      _ = try await store.release(.init(lease: "commit-1"))
      _ = try await store.layerPrune(.init(keep: [image.chainID]))
      await SnapshotConformance.expect(.notFound) { _ = try await store.stat(.init(key: result.chainID)) }
    }

    @Test("A damaged recipe or file is told, never sent as if it were right", arguments: ["recipe", "fs/big", "gone"])
    func damaged(what: String) async throws {
      let (store, _) = try await changed("head -c 100000 /dev/urandom >big")
      let result = try await store.capture(.init(key: "c"))
      let folder = "\(scratch["root"])/layers/*"
      switch what {
      case "recipe": #expect(shell("echo junk >$(echo \(folder)/recipe)").status == 0)
      case "gone": #expect(shell("rm \(folder)/fs/big").status == 0)
      default: #expect(shell("truncate -s 10 $(echo \(folder)/fs/big)").status == 0)
      }
      let path = scratch["s"]
      let listener = try UnixSocket.listen(path: path, mode: 0o600, gid: nil, nonBlocking: false)
      await SnapshotConformance.expect(.corrupt) {
        _ = try await store.writeBlob(
          .init(
            chainID: result.chainID, digest: try #require(result.diffID),
            stream: .init(socket: path.string, token: "t")))
      }
      _ = consume listener
    }

    @Test("A layer that came as a blob cannot be made again by its recipe, and says so")
    func cameAsBlob() async throws {
      let (store, image) = try await changed("true")
      await SnapshotConformance.expect(.notFound) {
        _ = try await store.writeBlob(
          .init(chainID: image.chainID, digest: image.layers[0].diffID, stream: .init(socket: "/none", token: "t")))
      }
    }

    @Test("Files that change while they are copied make a layer whose bytes are right all the same")
    func changing() async throws {
      let (store, _) = try await changed("mkdir busy; for i in $(seq 300); do head -c 200000 /dev/zero >busy/$i; done")
      let upper = shell("echo '\(scratch["root"])'/active/*/fs").output.trimmingCharacters(in: .newlines)
      let writer = Task.detached {
        shell(
          "cd \(upper)/busy; for n in 1 2 3; do for i in $(seq 1 3 300); do echo $n >$i; done; for i in $(seq 2 3 300); do rm -f $i; done; for i in $(seq 3 3 300); do echo more >>$i; done; done"
        ).status
      }
      let result = try await store.capture(.init(key: "c"))
      #expect(await writer.value == 0)
      let diffID = try #require(result.diffID)
      #expect(LayerChain.digest(try await bytes(store, result.chainID, diffID)).rawValue == diffID)
    }
  }
}
