import Faults
import OCI

/// The rdma controller: handles and objects by device name, with the same file on v1 and v2.
enum RDMA {
  static func apply(_ limits: [String: RuntimeSpec.RDMA], to folder: ControllerFolder) throws(Fault) {
    for (device, limit) in limits.sorted(by: { $0.key < $1.key }) {
      var line = device
      if let handles = limit.hcaHandles { line += " hca_handle=\(handles)" }
      if let objects = limit.hcaObjects { line += " hca_object=\(objects)" }
      if line != device { try folder.write("rdma.max", line) }
    }
  }
}
