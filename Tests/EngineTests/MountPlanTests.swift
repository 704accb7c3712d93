import Faults
import OCI
import Protocol
import Testing

@testable import Engine

/// Which mounts a request makes, and how the task service is told of them.
@Suite struct MountPlanTests {
  private let planner = MountPlanner(
    volumesFolder: "/v",
    mountsOf: { name in
      guard name == "other" else { throw Fault(.notFound, "No such container: \(name)") }
      return [
        PlannedMount(kind: .volume, source: "/v/shared/_data", destination: "/data", volume: "shared", copies: true),
        PlannedMount(kind: .bind, source: "/srv", destination: "/srv", readOnly: true),
      ]
    })

  private func plan(
    _ host: HostConfig, volumes: [String] = [], image: [String] = []
  ) throws -> MountPlan {
    var config = ContainerConfig(cmd: ["sh"], image: "busybox")
    config.volumes = Dictionary(uniqueKeysWithValues: (volumes + image).map { ($0, .init()) })
    return try planner.plan(config: config, hostConfig: host, imageVolumes: image)
  }

  private func options(_ mount: PlannedMount, _ backing: VolumeBacking = .folder) -> RuntimeSpec.Mount? {
    var input = SpecBuilder.Input(
      id: "i", config: .init(), hostConfig: .init(), mounts: [], files: ContainerFiles(folder: "/f", id: "i"))
    input.volumes = [mount.volume ?? "": backing]
    return MountSpecification(input, mount).mount
  }

  @Test func aNameIsAVolumeAndAPathIsNot() throws {
    let plan = try plan(.init(binds: ["data:/d", "/srv:/s:ro,rslave", "other-1.x:/e:nocopy,ro"]))
    #expect(plan.mounts.map(\.kind) == [.volume, .volume, .bind])
    #expect(plan.volumes == [.init(name: "data"), .init(name: "other-1.x")])
    let data = plan.mounts[0]
    #expect(data.source == "/v/data/_data" && data.copies == true && data.mode == "z" && data.isNamed == true)
    #expect(plan.mounts[1].copies == nil && plan.mounts[1].readOnly && plan.mounts[1].mode == "nocopy,ro")
    #expect(options(data)?.options == ["rbind", "rw", "rprivate"])
    #expect(options(plan.mounts[2])?.options == ["rbind", "rro", "rslave"])
  }

  @Test(arguments: ["a:/d", "a b:/d", "data:/d:rshared", "data:/d:bind", "data:/", "data:d", "data:/d:ro,huh"])
  func badBindsAreRefused(text: String) {
    #expect(throws: Fault.self) { try plan(.init(binds: [text])) }
  }

  @Test func otherContainersVolumesGiveWayToWhatIsAskedFor() throws {
    let plan = try plan(.init(binds: ["own:/data"], volumesFrom: ["other:ro"]), image: ["/srv"])
    #expect(plan.mounts.map(\.destination) == ["/data", "/srv"])
    #expect(plan.mounts[0].volume == "own" && !plan.mounts[0].readOnly)
    #expect(plan.mounts[1].source == "/srv" && plan.mounts[1].mode == "ro")
    #expect(plan.volumes == [.init(name: "own")])
    let inherited = try self.plan(.init(volumesFrom: ["other"]))
    #expect(inherited.volumes == [.init(name: "shared")] && inherited.mounts[0].copies == nil)
    #expect(inherited.mounts[0].readOnly == false && inherited.mounts[1].readOnly)
    for bad in ["nobody", "other:huh", ":ro", ""] {
      #expect(throws: Fault.self) { try self.plan(.init(volumesFrom: [bad])) }
    }
    let fault = #expect(throws: Fault.self) { try self.plan(.init(binds: ["a1:/d", "b1:/d"])) }
    #expect(fault?.message == "Duplicate mount point: /d")
  }

  @Test func mountsOfEveryType() throws {
    let mounts: [GatewayAPI.Mount] = [
      .init(target: "/a", type: .volume, volumeOptions: .init(labels: ["l": "1"])),
      .init(
        target: "/b", source: "named", type: .volume, readOnly: true,
        volumeOptions: .init(noCopy: true, driverConfig: .init(name: "local", options: ["type": "tmpfs"]))),
      .init(target: "/c", source: "named", type: .volume, volumeOptions: .init(subpath: "x/y")),
      .init(
        target: "/d", source: "/srv", type: .bind, readOnly: true,
        bindOptions: .init(propagation: "shared", createMountpoint: true, readOnlyNonRecursive: true)),
      .init(
        target: "/e", type: .tmpfs,
        tmpfsOptions: .init(sizeBytes: 1 << 20, mode: 0o700, options: [["exec"], ["nr_inodes", "5"]])),
    ]
    let plan = try plan(.init(mounts: mounts))
    let made = plan.mounts
    #expect(plan.volumes[0].isAnonymous && plan.volumes[0].labels == ["l": "1"] && made[0].isNamed == nil)
    #expect(plan.volumes[1] == .init(name: "named", options: ["type": "tmpfs"]))
    #expect(made[0].copies == true && made[1].copies == nil && made[2].copies == nil)
    #expect(options(made[1])?.options == ["rbind", "rro", "rprivate"])
    #expect(options(made[2])?.options == ["rbind", "rw", "rprivate", "gantry.subpath=x/y"])
    #expect(made[3].createSource && options(made[3])?.options == ["rbind", "ro", "shared"])
    #expect(made[4].options == ["nosuid", "nodev", "size=1048576", "mode=700", "exec", "nr_inodes=5"])
  }

  @Test(arguments: [
    (GatewayAPI.Mount(target: "/a", type: .npipe), "mount type unknown"),
    (.init(type: .volume), "field Target must not be empty"),
    (.init(target: "/a", type: .bind), "field Source must not be empty"),
    (.init(target: "/a", source: "x", type: .tmpfs), "field Source must not be specified"),
    (.init(target: "/a", source: "/x", type: .bind, volumeOptions: .init()), "field VolumeOptions"),
    (.init(target: "/a", type: .volume, imageOptions: .init()), "field ImageOptions"),
    (.init(target: "/a", source: "vol", type: .volume, volumeOptions: .init(subpath: "../x")), "subpath"),
    (.init(target: "/a", source: "vol", type: .volume, volumeOptions: .init(subpath: "/x")), "subpath"),
    (.init(target: "/a", type: .volume, volumeOptions: .init(driverConfig: .init(name: "nas"))), "plugin \"nas\""),
    (
      .init(target: "/a", source: "/x", type: .bind, bindOptions: .init(readOnlyForceRecursive: true)), "needs ReadOnly"
    ),
    (.init(target: "/a", source: "none", type: .image), "No such image: none"),
  ])
  func badMountsAreRefused(mount: GatewayAPI.Mount, words: String) {
    let fault = #expect(throws: Fault.self) { try plan(.init(mounts: [mount])) }
    #expect(fault?.message.contains(words) == true, "\(fault?.message ?? "")")
  }

  @Test func whatAVolumeIsDecidesTheMount() throws {
    let mount = try plan(.init(binds: ["data:/d"])).mounts[0]
    let bind = try VolumeBacking(options: ["type": "none", "o": "bind,ro,nosuid", "device": "/srv"])
    #expect(options(mount, bind)?.source == "/srv")
    #expect(options(mount, bind)?.options == ["rbind", "ro", "nosuid", "rprivate"])
    let share = try VolumeBacking(options: ["type": "nfs", "o": "addr=192.0.2.1,soft", "device": ":/x"])
    let made = options(mount, share)
    #expect(made?.type == "nfs" && made?.source == ":/x" && made?.options == ["addr=192.0.2.1", "soft", "gantry.host"])
    #expect(share.folder(or: "/own") == nil && bind.folder(or: "/own") == "/srv")
  }
}
