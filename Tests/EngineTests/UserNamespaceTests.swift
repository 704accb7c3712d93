import Faults
import JSONRPC
import Linux
import OCI
import Protocol
import Testing

@testable import Engine

/// Which ids a container gets, and who has them.
@Suite struct UserNamespaceTests {
  typealias Mapping = RuntimeSpec.IDMapping

  private func namespace(
    _ test: TestEngine, _ mode: String, as peer: PeerCredentials? = nil
  ) async throws -> UserNamespace? {
    var host = HostConfig()
    host.usernsMode = mode
    let id = try await test.engine.containerCreate(
      .init(name: nil, config: .init(image: "busybox"), hostConfig: host), CallContext(peer: peer)
    ).id
    return test.engine.directory.container(id: id)?.definition.userNamespace
  }

  @Test func modesAreRead() throws {
    #expect(try UserNamespaceMode("") == .standard && UserNamespaceMode("host") == .host)
    #expect(try UserNamespaceMode("private") == .private)
    #expect(try UserNamespaceMode("auto") == .automatic(.init()))
    #expect(
      try UserNamespaceMode("auto:size=1000,uidmapping=0:5000:2")
        == .automatic(.init(size: 1000, uids: [.init(containerID: 0, hostID: 5000, size: 2)])))
    #expect(try UserNamespaceMode("keep-id:uid=5,gid=6") == .keepID(.init(uid: 5, gid: 6)))
    for text in [
      "none", "auto:", "auto:size=0", "auto:size=x", "auto:gidmapping=1:2", "auto:uidmapping=0:0:0", "keep-id:size=",
      "keep-id:user=5", "private:size=5", "host:x", "auto:uidmapping=0:4294967295:2",
    ] where text != "auto:" {
      let fault = #expect(throws: Fault.self, "\(text)") { try UserNamespaceMode(text) }
      #expect(fault?.message.contains(text) == true)
    }
  }

  @Test func explicitMappingsAreCutOutOfTheRest() throws {
    let mapping = IDMappings.cover(
      10, explicit: [.init(containerID: 4, hostID: 7, size: 2)], from: [100...103, 200...209])
    #expect(
      mapping == [
        .init(containerID: 0, hostID: 100, size: 4), .init(containerID: 4, hostID: 7, size: 2),
        .init(containerID: 6, hostID: 200, size: 4),
      ])
    #expect(IDMappings.cover(10, explicit: [], from: [100...108]) == nil)
    #expect(throws: Fault.self) {
      try IDMappings.check([.init(containerID: 0, hostID: 5, size: 5), .init(containerID: 9, hostID: 9, size: 1)], "x")
    }
  }

  @Test func freeRangesAreFoundAroundTakenOnes() {
    #expect(TakenRanges.free(in: [100...199], without: [], count: 10) == [100...109])
    #expect(TakenRanges.free(in: [100...199], without: [100...109, 130...199], count: 20) == [110...129])
    #expect(TakenRanges.free(in: [100...199], without: [110...189], count: 15) == [100...109, 190...194])
    #expect(TakenRanges.free(in: [100...199], without: [50...250], count: 1) == nil)
  }

  @Test func automaticRangesNeverOverlapAlsoAfterARestart() async throws {
    let test = try TestEngine()
    let first = try #require(await namespace(test, "auto"))
    let second = try #require(await namespace(test, "auto:size=1000"))
    #expect(first.uids == [.init(containerID: 0, hostID: 2_147_483_648, size: 65536)])
    #expect(second.uids == [.init(containerID: 0, hostID: 2_147_483_648 + 65536, size: 1000)])
    let later = try TestEngine(after: test)
    try await later.engine.load()
    let third = try #require(await namespace(later, "auto"))
    #expect(!third.reserved.contains { range in (first.reserved + second.reserved).contains { $0.overlaps(range) } })
    for container in later.engine.directory.all where container.definition.userNamespace == first {
      try await later.engine.remove(container, force: true, volumes: true)
    }
    #expect(try await namespace(later, "auto") == first, "what is free again is given again")
  }

  @Test func theRemapIsForAllButThoseThatWantTheHost() async throws {
    let test = try TestEngine(remap: "default")
    let common = try #require(await namespace(test, ""))
    #expect(common.uids == [.init(containerID: 0, hostID: 500_000, size: 65536)])
    #expect(common.gids == [.init(containerID: 0, hostID: 600_000, size: 65536)])
    #expect(try await namespace(test, "private") == common)
    #expect(try await namespace(test, "host") == nil)
    let fault = await #expect(throws: Fault.self) { try await test.run(host: { $0.privileged = true }) }
    #expect(fault?.message.contains("--userns=host") == true)
    let nobody = #expect(throws: Fault.self) { try TestEngine(remap: "nobody-has-this") }
    #expect(nobody?.message.contains("subuid") == true)
  }

  @Test func keepIDKeepsTheCallersIDs() async throws {
    let test = try TestEngine()
    let caller = PeerCredentials(pid: 1, uid: 1000, gid: 1000)
    let kept = try #require(await namespace(test, "keep-id", as: caller))
    #expect(
      kept.uids == [
        .init(containerID: 0, hostID: 700_000, size: 1000), .init(containerID: 1000, hostID: 1000, size: 1),
        .init(containerID: 1001, hostID: 701_000, size: 64535),
      ])
    #expect(kept.user == "1000:1000" && !kept.mapsBinds)
    let moved = try #require(await namespace(test, "keep-id:uid=0,gid=0", as: caller))
    #expect(moved.uids.first == .init(containerID: 0, hostID: 1000, size: 1) && moved.user == "0:0")
    let root = await #expect(throws: Fault.self) {
      try await namespace(test, "keep-id", as: .init(pid: 1, uid: 0, gid: 0))
    }
    #expect(root?.message.contains("root") == true)
    let poor = await #expect(throws: Fault.self) {
      try await namespace(test, "keep-id", as: .init(pid: 1, uid: 77, gid: 77))
    }
    #expect(poor?.message.contains("subuid") == true)
  }

  @Test func theSpecificationMapsIDsAndBinds() async throws {
    let test = try TestEngine()
    _ = try await test.run(host: {
      $0.usernsMode = "auto:size=5"
      $0.binds = ["/tmp:/data"]
    })
    let spec = try #require(test.tasks.state.withLock { $0.created.last?.spec })
    #expect(spec.linux?.uidMappings == [.init(containerID: 0, hostID: 2_147_483_648, size: 5)])
    #expect(spec.linux?.namespaces?.contains { $0.type == "user" } == true)
    #expect(spec.mounts?.first { $0.destination == "/data" }?.options?.contains("idmap") == true)
    #expect(spec.mounts?.first { $0.destination == "/etc/hosts" }?.options?.contains("idmap") == true)
    #expect(spec.mounts?.first { $0.destination == "/dev/pts" }?.options?.contains("gid=5") == false)
    #expect(spec.linux?.sysctl?["net.ipv4.ping_group_range"] == "0 4")
  }

  @Test func namespacesOfOtherContainersAreJoinedByTheirProcess() async throws {
    let test = try TestEngine()
    let donor = try await test.run(name: "donor", host: { $0.ipcMode = "shareable" })
    let pid = test.engine.directory.container(id: donor)?.state.running?.pid ?? 0
    let id = try await test.run(host: {
      $0.pidMode = "container:donor"
      $0.ipcMode = "container:donor"
    })
    let spec = try #require(test.tasks.state.withLock { $0.created.last?.spec })
    #expect(spec.linux?.namespaces?.first { $0.type == "pid" }?.path == "/proc/\(pid)/ns/pid")
    #expect(spec.linux?.namespaces?.first { $0.type == "ipc" }?.path == "/proc/\(pid)/ns/ipc")
    let memory = spec.mounts?.first { $0.destination == "/dev/shm" }
    #expect(memory?.type == "bind" && memory?.options?.contains("namespace=/proc/\(pid)/ns/mnt") == true)
    #expect(test.engine.directory.container(id: id)?.definition.hostConfig.pidMode == "container:\(donor)")
    _ = try await test.run(name: "closed")
    for (mode, words) in [("container:closed", "non-shareable"), ("container:none", "No such container")] {
      let fault = await #expect(throws: Fault.self) { try await test.run(host: { $0.ipcMode = mode }) }
      #expect(fault?.message.contains(words) == true, "\(fault?.message ?? "")")
    }
    _ = try await test.create(name: "idle")
    let idle = await #expect(throws: Fault.self) { try await test.run(host: { $0.pidMode = "container:idle" }) }
    #expect(idle?.message.contains("non running") == true)
    let mapped = await #expect(throws: Fault.self) {
      try await test.run(host: {
        $0.pidMode = "container:donor"
        $0.usernsMode = "auto"
      })
    }
    #expect(mapped?.message.contains("user namespace") == true)
  }
}
