import ArchiveFixtures
import Faults
import Protocol
import Testing

extension SnapshotConformance {
  static let layers: [Check] = [
    Check("What is there is not unpacked again, also under another image") { service, scratch in
      let image = try image(scratch)
      _ = try await service.unpack(.init(layers: [image.layers[0]]))
      let second = try await service.unpack(.init(layers: image.layers))
      #expect(second.unpacked == [image.chainID])
      let third = try await service.unpack(.init(layers: image.layers))
      #expect(third.unpacked.isEmpty && third.bytes == 0 && third.chainID == image.chainID)
      #expect(try await service.unpack(.init(layers: [])).chainID == "")
    },
    Check("Calls at the same time unpack each layer once") { service, scratch in
      let image = try image(scratch)
      let unpacked = try await withThrowingTaskGroup(of: [String].self) { group in
        for _ in 0..<8 { group.addTask { try await service.unpack(.init(layers: image.layers)).unpacked } }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(unpacked.sorted() == image.layers.map(\.chainID).sorted())
    },
    Check("The same layer several times in a stack") { service, scratch in
      let tar = Tar { $0.file("a", "a") }
      let image = try ImageFixture(scratch, [tar, Tar { $0.file("b", "b") }, tar, Tar { $0.file(".wh.a") }, tar])
      #expect(try await service.unpack(.init(layers: image.layers)).unpacked.count == 5)
      let mounted = try MountedSnapshot(await service.prepare(.init(key: "x", parent: image.chainID)).mounts)
      #expect(mounted.text("a") == "a" && mounted.text("b") == "b")
      let hidden = try MountedSnapshot(await service.prepare(.init(key: "y", parent: image.layers[3].chainID)).mounts)
      #expect(hidden.text("a") == nil && hidden.text("b") == "b")
    },
    Check("300 layers") { service, scratch in
      let image = try ImageFixture(scratch, (0..<300).map { index in Tar { $0.file("f\(index)", "\(index)") } })
      _ = try await service.unpack(.init(layers: image.layers))
      let mounted = try MountedSnapshot(await service.prepare(.init(key: "a", parent: image.chainID)).mounts)
      #expect(try mounted.names().count == 300)
      #expect(mounted.text("f0") == "0" && mounted.text("f299") == "299")
    },
    Check("An opaque top folder hides all layers below") { service, scratch in
      let image = try ImageFixture(
        scratch,
        [
          Tar { $0.file("old") },
          Tar {
            $0.file(".wh..wh..opq"); $0.file("new")
          },
        ])
      _ = try await service.unpack(.init(layers: image.layers))
      let mounted = try MountedSnapshot(await service.prepare(.init(key: "a", parent: image.chainID)).mounts)
      #expect(try mounted.names() == ["new"])
    },
    Check("A layer that is not what the image says is refused, and leaves nothing") { service, scratch in
      let image = try image(scratch)
      var wrong = image.layers
      wrong[1].diffID = "sha256:" + String(repeating: "0", count: 64)
      await expect(.invalidArgument) { _ = try await service.unpack(.init(layers: wrong)) }
      var swapped = image.layers
      swapped[0].path = image.layers[1].path
      swapped[0].descriptor.size = image.layers[1].descriptor.size
      await expect(.corrupt) { _ = try await service.unpack(.init(layers: swapped)) }
      var short = image.layers
      short[1].descriptor.size -= 512
      await expect(.corrupt) { _ = try await service.unpack(.init(layers: short)) }
      var missing = image.layers
      missing[1].path += "-missing"
      await expect(.notFound) { _ = try await service.unpack(.init(layers: missing)) }
      var relative = image.layers
      relative[0].path = "blob"
      await expect(.invalidArgument) { _ = try await service.unpack(.init(layers: relative)) }
      #expect(try await service.list().snapshots.isEmpty)
      await expect(.notFound) { _ = try await service.prepare(.init(key: "a", parent: image.chainID)) }
      // And nothing is in the way of the right one.
      #expect(try await service.unpack(.init(layers: image.layers)).unpacked.count == 2)
    },
    Check("Pruning keeps what is named, what snapshots stand on, and what is below those") { service, scratch in
      let image = try image(scratch)
      let other = try ImageFixture(scratch, [Tar { $0.file("other") }], prefix: "other")
      _ = try await service.unpack(.init(layers: image.layers))
      _ = try await service.unpack(.init(layers: other.layers))
      _ = try await service.prepare(.init(key: "a", parent: image.chainID))
      #expect(try await service.layerPrune(.init(keep: [other.chainID])).removed.isEmpty)
      #expect(try await service.layerPrune(.init(keep: [])).removed == [other.chainID])
      _ = try await service.remove(.init(keys: ["a"]))
      #expect(try await service.layerPrune(.init(keep: [image.layers[0].chainID])).removed == [image.chainID])
      #expect(try await service.layerPrune(.init(keep: [])).removed == [image.layers[0].chainID])
      #expect(try await service.list().snapshots.isEmpty)
      #expect(try await service.unpack(.init(layers: image.layers)).unpacked.count == 2)
    },
  ]

  static let names: [Check] = [
    Check("Names are unique, and unknown ones are told") { service, scratch in
      let image = try image(scratch)
      _ = try await service.unpack(.init(layers: image.layers))
      _ = try await service.prepare(.init(key: "a", parent: image.chainID))
      await expect(.alreadyExists) { _ = try await service.prepare(.init(key: "a")) }
      await expect(.alreadyExists) { _ = try await service.view(.init(key: "a", parent: image.chainID)) }
      await expect(.notFound) { _ = try await service.prepare(.init(key: "b", parent: "sha256:none")) }
      await expect(.notFound) { _ = try await service.mounts(.init(key: "b")) }
      await expect(.notFound) { _ = try await service.stat(.init(key: "b")) }
      await expect(.notFound) { _ = try await service.usage(.init(key: "b")) }
      await expect(.notFound) {
        _ = try await service.commit(.init(key: "b", chainID: "sha256:" + String(repeating: "0", count: 64)))
      }
      for key in ["", "a b", "a\n", String(repeating: "x", count: 256)] {
        await expect(.invalidArgument) { _ = try await service.prepare(.init(key: key)) }
      }
      // Names are no paths.
      _ = try await service.prepare(.init(key: "../../escape", parent: image.chainID))
      #expect(try await service.stat(.init(key: "../../escape")).snapshot.key == "../../escape")
    },
    Check("A layer in use stays") { service, scratch in
      let image = try image(scratch)
      _ = try await service.unpack(.init(layers: image.layers))
      _ = try await service.view(.init(key: "v", parent: image.chainID))
      await expect(.conflict) { _ = try await service.remove(.init(keys: [image.chainID])) }
      await expect(.conflict) { _ = try await service.remove(.init(keys: [image.layers[0].chainID])) }
      _ = try await service.remove(.init(keys: ["v"]))
      _ = try await service.remove(.init(keys: [image.chainID, image.layers[0].chainID]))
      #expect(try await service.list().snapshots.isEmpty)
    },
    Check("The list has everything with its kind, parent and labels") { service, scratch in
      let image = try image(scratch)
      _ = try await service.unpack(.init(layers: image.layers))
      _ = try await service.prepare(.init(key: "a", parent: image.chainID, labels: ["name": "ünï"]))
      _ = try await service.view(.init(key: "v", parent: image.chainID))
      let list = try await service.list().snapshots
      #expect(list.map(\.key) == image.layers.map(\.chainID) + ["a", "v"])
      #expect(list.map(\.kind) == [.layer, .layer, .active, .view])
      #expect(list.map(\.parent) == [nil, image.layers[0].chainID, image.chainID, image.chainID])
      #expect(list[2].labels == ["name": "ünï"])
      #expect(list[1].bytes == 6)
      for entry in list { #expect(try await service.stat(.init(key: entry.key)).snapshot == entry) }
    },
  ]
}
