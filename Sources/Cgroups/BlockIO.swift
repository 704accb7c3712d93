import Faults
import OCI

extension RuntimeSpec.BlockIO {
  /// Whether any weight or throttle is asked for.
  var setsAnything: Bool {
    (weight ?? 0) != 0 || (leafWeight ?? 0) != 0 || weightDevice?.isEmpty == false
      || throttleReadBpsDevice?.isEmpty == false || throttleWriteBpsDevice?.isEmpty == false
      || throttleReadIOPSDevice?.isEmpty == false || throttleWriteIOPSDevice?.isEmpty == false
  }
}

/// The blkio (v1) and io (v2) controller: weights of 10 to 1,000 and throttles in bytes or operations a second.
enum BlockIO {
  private static let schedulerHint =
    "weights of a disk need the scheduler bfq for it, see /sys/block/NAME/queue/scheduler"

  static func apply(_ blockIO: RuntimeSpec.BlockIO, to folder: ControllerFolder) throws(Fault) {
    switch folder.version {
    case .v1: try applyV1(blockIO, to: folder)
    case .v2: try applyV2(blockIO, to: folder)
    }
  }

  private static func applyV1(_ blockIO: RuntimeSpec.BlockIO, to folder: ControllerFolder) throws(Fault) {
    // The file carries the name of the scheduler that implements it: CFQ before Linux 5.0, BFQ since.
    let prefix = folder.has("blkio.bfq.weight") ? "blkio.bfq" : "blkio"
    if let weight = blockIO.weight, weight != 0 { try folder.write("\(prefix).weight", String(weight)) }
    if let weight = blockIO.leafWeight, weight != 0 { try folder.write("blkio.leaf_weight", String(weight)) }
    for device in blockIO.weightDevice ?? [] {
      if let weight = device.weight, weight != 0 {
        try folder.write(
          "\(prefix).weight_device", "\(device.major):\(device.minor) \(weight)", hint: schedulerHint)
      }
      if let weight = device.leafWeight, weight != 0 {
        try folder.write("blkio.leaf_weight_device", "\(device.major):\(device.minor) \(weight)")
      }
    }
    for (file, devices) in [
      ("read_bps_device", blockIO.throttleReadBpsDevice), ("write_bps_device", blockIO.throttleWriteBpsDevice),
      ("read_iops_device", blockIO.throttleReadIOPSDevice), ("write_iops_device", blockIO.throttleWriteIOPSDevice),
    ] {
      for device in devices ?? [] {
        try folder.write(
          "blkio.throttle.\(file)", "\(device.major):\(device.minor) \(device.rate)",
          hint: "\(device.major):\(device.minor) must be a whole disk")
      }
    }
  }

  private static func applyV2(_ blockIO: RuntimeSpec.BlockIO, to folder: ControllerFolder) throws(Fault) {
    if (blockIO.leafWeight ?? 0) != 0 || blockIO.weightDevice?.contains(where: { ($0.leafWeight ?? 0) != 0 }) == true {
      throw folder.unsupported("a leaf weight")
    }
    if let weight = blockIO.weight, weight != 0 {
      if folder.has("io.bfq.weight") {
        try folder.write("io.bfq.weight", String(weight))
      } else {
        try folder.write("io.weight", "default \(scaled(UInt64(weight)))")
      }
    }
    for device in blockIO.weightDevice ?? [] {
      guard let weight = device.weight, weight != 0 else { continue }
      if folder.has("io.bfq.weight") {
        try folder.write("io.bfq.weight", "\(device.major):\(device.minor) \(weight)", hint: schedulerHint)
      } else {
        try folder.write("io.weight", "\(device.major):\(device.minor) \(scaled(UInt64(weight)))")
      }
    }
    for (key, devices) in [
      ("rbps", blockIO.throttleReadBpsDevice), ("wbps", blockIO.throttleWriteBpsDevice),
      ("riops", blockIO.throttleReadIOPSDevice), ("wiops", blockIO.throttleWriteIOPSDevice),
    ] {
      for device in devices ?? [] {
        try folder.write(
          "io.max", "\(device.major):\(device.minor) \(key)=\(device.rate)",
          hint: "\(device.major):\(device.minor) must be a whole disk")
      }
    }
  }

  /// v1's weight (10 to 1,000) on the scale of io.weight (1 to 10,000), linear.
  static func scaled(_ weight: UInt64) -> UInt64 { 1 + (max(weight, 10) - 10) * 9_999 / 990 }
}
