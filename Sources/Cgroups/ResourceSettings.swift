import Faults
import OCI

extension RuntimeSpec.Resources {
  /// The controllers that a limit in these resources needs.
  var neededControllers: Set<Controller> {
    var needed: Set<Controller> = []
    if memory?.setsAnything == true { needed.insert(.memory) }
    if cpu?.setsTime == true { needed.insert(.cpu) }
    if cpu?.cpus?.isEmpty == false || cpu?.mems?.isEmpty == false { needed.insert(.cpuset) }
    if let limit = pids?.limit, limit > 0 { needed.insert(.pids) }
    if blockIO?.setsAnything == true { needed.insert(.blkio) }
    if hugepageLimits?.isEmpty == false { needed.insert(.hugetlb) }
    if network?.classID != nil { needed.insert(.networkClass) }
    if network?.priorities?.isEmpty == false { needed.insert(.networkPriority) }
    if rdma?.isEmpty == false { needed.insert(.rdma) }
    for key in (unified ?? [:]).keys {
      let name = key.prefix { $0 != "." }
      if let controller = Controller.allCases.first(where: { $0.unifiedName == String(name) }) {
        needed.insert(controller)
      }
    }
    return needed
  }
}

extension Cgroup {
  /// Sets every part of `resources` that is present, one controller after the other. Devices come last, so that a refused
  /// limit leaves no program attached.
  func apply(_ resources: RuntimeSpec.Resources, creating: Bool) throws(Fault) {
    if let memory = resources.memory, let folder = folders[.memory] { try Memory.apply(memory, to: folder) }
    if let cpu = resources.cpu {
      if let folder = folders[.cpu] { try CPU.apply(cpu, to: folder) }
      if let folder = folders[.cpuset] { try CPUSet.apply(cpu, to: folder) }
    }
    if let limit = resources.pids?.limit, let folder = folders[.pids] { try Pids.apply(limit: limit, to: folder) }
    if let blockIO = resources.blockIO, let folder = folders[.blkio] { try BlockIO.apply(blockIO, to: folder) }
    if let limits = resources.hugepageLimits, let folder = folders[.hugetlb] {
      try HugePages.apply(limits, to: folder)
    }
    if let network = resources.network {
      if let folder = folders[.networkClass] { try NetworkTags.applyClass(network, to: folder) }
      if let folder = folders[.networkPriority] { try NetworkTags.applyPriorities(network, to: folder) }
    }
    if let rdma = resources.rdma, let folder = folders[.rdma] { try RDMA.apply(rdma, to: folder) }
    if let values = resources.unified, !values.isEmpty { try applyUnified(values) }
    if let folder = folders[.devices], creating || resources.devices != nil {
      let rules = DeviceRules(resources.devices ?? [])
      switch folder.version {
      case .v1: try DevicesV1.apply(rules, to: folder, creating: creating)
      case .v2: try DevicesV2.apply(rules, to: folder)
      }
    }
  }

  /// Writes the raw files of cgroup v2 that `linux.resources.unified` names.
  private func applyUnified(_ values: [String: String]) throws(Fault) {
    guard let unified, version == .v2 else {
      throw Fault(.unsupported, "linux.resources.unified needs cgroup v2 and this machine has v1; leave it out")
    }
    for (file, value) in values.sorted(by: { $0.key < $1.key }) {
      guard file.contains("."), !file.contains("/"), !file.hasPrefix("cgroup.") else {
        throw Fault(
          .invalidArgument, "\"\(file)\" in linux.resources.unified is no controller file such as memory.high")
      }
      var folder = unified
      let name = String(file.prefix { $0 != "." })
      if let controller = Controller.allCases.first(where: { $0.unifiedName == name }) {
        folder.controller = controller
      }
      for line in value.split(separator: "\n") { try folder.write(file, String(line)) }
    }
  }
}
