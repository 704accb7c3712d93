import Faults
import Testing

@testable import Cgroups

/// Reading mountinfo and /proc/self/cgroup of machines of every kind.
struct HierarchyTests {
  static let hybridMounts = """
    31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
    32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
    34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
    35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:10 master:3 - cgroup cgroup rw,memory
    36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
    37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
    40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
    """
  static let hybridOwn = "9:name=systemd:/a\n8:cpu,cpuacct:/\n4:memory:/session/1\n0::/u\n"

  private func parse(
    _ mounts: String, _ own: String, systemd: Bool = false, controllers: String = ""
  ) throws(Fault) -> CgroupHierarchy {
    try CgroupHierarchy.parse(mountInfo: mounts, ownCgroup: own, bootedBySystemd: systemd) { _ in controllers }
  }

  @Test func hybrid() throws {
    let hierarchy = try parse(Self.hybridMounts, Self.hybridOwn, controllers: "hugetlb\n")
    #expect(hierarchy.version == .v1)
    #expect(hierarchy.mount(for: .memory)?.path == "/sys/fs/cgroup/memory")
    #expect(hierarchy.mount(for: .memory)?.own == "/session/1")
    #expect(hierarchy.mount(for: .cpu) == hierarchy.mount(for: .cpuacct))
    #expect(hierarchy.mount(for: .hugetlb)?.version == .v2)
    #expect(hierarchy.mount(for: .devices)?.version == .v1)
    #expect(hierarchy.mount(for: .pids) == nil)
    #expect(hierarchy.mount(for: .systemd) == nil, "systemd's tree is for machines that it booted")
    #expect(hierarchy.unified?.own == "/u")
  }

  @Test func systemdTreeWhereSystemdRuns() throws {
    let hierarchy = try parse(Self.hybridMounts, Self.hybridOwn, systemd: true)
    #expect(hierarchy.mount(for: .systemd)?.own == "/a")
  }

  @Test func unified() throws {
    let hierarchy = try parse(
      "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n", "0::/system.slice/g.service\n",
      controllers: "cpuset cpu io memory hugetlb pids rdma")
    #expect(hierarchy.version == .v2)
    for controller in [Controller.memory, .cpu, .cpuacct, .cpuset, .pids, .devices, .freezer, .blkio, .hugetlb, .rdma] {
      #expect(hierarchy.mount(for: controller)?.path == "/sys/fs/cgroup")
    }
    #expect(hierarchy.mount(for: .networkClass) == nil)
  }

  @Test func insideAContainerWithoutItsOwnNamespace() throws {
    let hierarchy = try parse(
      "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
      "4:memory:/docker/abc/inner\n")
    #expect(hierarchy.mount(for: .memory)?.own == "/inner")
  }

  @Test func escapedMountPoint() throws {
    let hierarchy = try parse("35 31 0:32 / /mnt/with\\040space rw - cgroup2 none rw\n", "0::/\n")
    #expect(hierarchy.unified?.path == "/mnt/with space")
  }

  @Test func nothingMounted() {
    #expect { try parse("22 1 0:2 / /proc rw - proc proc rw\n", "") } throws: {
      ($0 as? Fault)?.code == .unsupported
    }
  }

  @Test(arguments: ["", "/", "//", "/a/../b", "..", "a/./b", "/a\nb"])
  func pathsThatAreNone(path: String) throws {
    let hierarchy = try parse(Self.hybridMounts, Self.hybridOwn)
    #expect(throws: Fault.self) { try Cgroup(path: path, hierarchy: hierarchy) }
  }

  @Test func relativePathsAreBelowTheOwnCgroup() throws {
    let hierarchy = try parse(Self.hybridMounts, Self.hybridOwn)
    let memory = try #require(hierarchy.mount(for: .memory))
    #expect(
      try Cgroup(path: "x/y", hierarchy: hierarchy).folderPath(in: memory) == "/sys/fs/cgroup/memory/session/1/x/y")
    #expect(try Cgroup(path: "/x/y/", hierarchy: hierarchy).folderPath(in: memory) == "/sys/fs/cgroup/memory/x/y")
  }
}
