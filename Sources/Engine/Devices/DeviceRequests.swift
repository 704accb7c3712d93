import Faults
import Protocol

/// Docker's `DeviceRequests`: devices by CDI name (`--device vendor.com/class=name`), and GPUs (`--gpus`), which are CDI
/// devices of the kind `nvidia.com/gpu` here.
struct DeviceRequests {
  /// The kind that `--gpus` means.
  static let gpuKind = "nvidia.com/gpu"
  /// What a CDI device of that kind offers, whatever of it is asked for.
  private static let gpuCapabilities: Set<String> = [
    "gpu", "nvidia", "compute", "utility", "graphics", "video", "display", "compat32", "ngx",
  ]

  let requests: [GatewayAPI.DeviceRequest]

  init(_ requests: [GatewayAPI.DeviceRequest]) { self.requests = requests }

  /// What the requested devices change in a container.
  func edits(from registry: CDIRegistry) throws -> DeviceEdits {
    guard !requests.isEmpty else { return DeviceEdits() }
    let found = registry.read()
    return try registry.edits(for: requests.flatMap { try names($0, found) }, in: found)
  }

  private func names(_ request: GatewayAPI.DeviceRequest, _ found: CDIRegistry.Found) throws -> [CDIName] {
    if let option = (request.options ?? [:]).keys.sorted().first {
      throw Fault(.unsupported, "DeviceRequests: the option \"\(option)\" is for drivers that Gantry does not have")
    }
    let driver = request.driver ?? ""
    if driver == "cdi" {
      return try (request.deviceIDs ?? []).map { text in
        guard let name = CDIName(text) else {
          throw Fault(.invalidArgument, "DeviceRequests: \"\(text)\" is no CDI device: give vendor.com/class=name")
        }
        return name
      }
    }
    let sets = request.capabilities ?? []
    let isGPU = sets.contains { $0.contains("gpu") && $0.allSatisfy(Self.gpuCapabilities.contains) }
    guard isGPU, driver.isEmpty || driver == "nvidia", found.has(kind: Self.gpuKind) else {
      let list = sets.map { "[" + $0.joined(separator: " ") + "]" }.joined(separator: " ")
      throw Fault(
        .unsupported,
        "could not select device driver \"\(driver)\" with capabilities: [\(list)]: GPUs are devices of CDI here, and "
          + "neither /etc/cdi nor /var/run/cdi describes a \(Self.gpuKind) (see `nvidia-ctk cdi generate`)")
    }
    let ids: [String]
    if let given = request.deviceIDs, !given.isEmpty {
      guard (request.count ?? 0) == 0 else {
        throw Fault(.invalidArgument, "DeviceRequests: cannot set both Count and DeviceIDs on device request")
      }
      ids = given
    } else {
      let count = request.count ?? 0
      guard count >= -1, count <= 256 else {
        throw Fault(.invalidArgument, "DeviceRequests: Count \(count) is not -1 (all) or a number up to 256")
      }
      ids = count == -1 ? ["all"] : (0..<count).map(String.init)
    }
    return ids.map { CDIName(kind: Self.gpuKind, device: $0) }
  }
}
