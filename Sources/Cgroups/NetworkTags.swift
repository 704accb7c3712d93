import Faults
import OCI

/// The v1 controllers net_cls and net_prio, which mark a container's packets with a class and a priority.
enum NetworkTags {
  static func applyClass(_ network: RuntimeSpec.Network, to folder: ControllerFolder) throws(Fault) {
    if let identifier = network.classID { try folder.write("net_cls.classid", String(identifier)) }
  }

  static func applyPriorities(_ network: RuntimeSpec.Network, to folder: ControllerFolder) throws(Fault) {
    for entry in network.priorities ?? [] {
      try folder.write("net_prio.ifpriomap", "\(entry.name) \(entry.priority)", hint: "the interface must exist")
    }
  }
}
