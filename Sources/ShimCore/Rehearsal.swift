internal import Cgroups
internal import Linux
internal import OCI
internal import Protocol
internal import QuickJSON

/// Goes once through what the start of a container will need, while the shim waits for its task: the first use of code and
/// types costs page faults and the runtime's searches, a millisecond in all.
enum Rehearsal {
  static func run() {
    _ = try? QuickDecoder.decode(RuntimeSpec.self, from: Array(description.utf8))
    _ = try? QuickDecoder.decode(TaskOptions.self, from: Array(options.utf8))
    _ = ShimReady(pid: 1, startedAt: LogTime.now().text, token: "").json
    _ = TaskProgress(shimPid: 1, pid: 1, startedAt: "").json
    // Read once for the life of the process, whenever that is.
    _ = try? CgroupHierarchy.current()
    _ = KernelFeatures.overlayAppendsLayers
  }

  /// A description with the parts that containers usually have.
  private static let description = #"""
    {"ociVersion":"1.2.0","hostname":"a","process":{"args":["true"],"env":["A=b"],"cwd":"/","noNewPrivileges":false,
    "user":{"uid":0,"gid":0,"additionalGids":[1],"username":""},"terminal":false,"oomScoreAdj":0,
    "capabilities":{"bounding":["CAP_KILL"],"effective":["CAP_KILL"],"permitted":["CAP_KILL"]},
    "rlimits":[{"type":"RLIMIT_NOFILE","soft":1,"hard":1}]},"root":{"path":"rootfs","readonly":false},
    "mounts":[{"destination":"/proc","type":"proc","source":"proc","options":["nosuid"]}],"annotations":{"a":"b"},
    "linux":{"cgroupsPath":"/a","namespaces":[{"type":"pid"},{"type":"network","path":"/a"}],"sysctl":{"a":"1"},
    "maskedPaths":["/a"],"readonlyPaths":["/a"],
    "resources":{"devices":[{"allow":false,"type":"c","major":1,"minor":-1,"access":"rwm"}],"memory":{"limit":1},
    "cpu":{"shares":1},"pids":{"limit":1}}}}
    """#

  private static let options = #"""
    {"id":"a","cgroup":"/a","rootfs":[{"type":"overlay","source":"overlay","options":["volatile"]}],"stdin":false,
    "hold":true,"log":{"path":"/a","maxSize":1,"maxFiles":1},"start":true,"useInit":false,"filterFlags":0,
    "attach":{"stdin":false,"stdout":true,"stderr":true}}
    """#
}
