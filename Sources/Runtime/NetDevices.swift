internal import CLinux
internal import Faults
internal import Linux
internal import OCI
internal import SystemPackage

/// A network interface of the host that the container gets (`linux.netDevices`), with its permanent addresses.
struct PlannedInterface {
  let hostName: String
  let name: String
  private let index: Int32
  /// As `cl_interface_addresses` tells them.
  private let addresses: [[UInt8]]

  static func plan(_ devices: [String: RuntimeSpec.NetDevice], hasNetwork: Bool) throws(Fault) -> [PlannedInterface] {
    var planned: [PlannedInterface] = []
    for (hostName, device) in devices.sorted(by: { $0.key < $1.key }) {
      guard hasNetwork else {
        throw Fault(
          .invalidArgument, "the interface \(hostName) cannot be moved: the container has the host's network")
      }
      let name = device.name.flatMap { $0.isEmpty ? nil : $0 } ?? hostName
      for name in [hostName, name] {
        guard (1...15).contains(name.utf8.count), name != ".", name != "..",
          !name.utf8.contains(where: { $0 <= 0x20 || $0 == 0x2f || $0 == 0x3a })
        else { throw Fault(.invalidArgument, "\"\(name)\" is no name of a network interface") }
      }
      guard !planned.contains(where: { $0.name == name }) else {
        throw Fault(.invalidArgument, "two interfaces are to be called \(name) in the container")
      }
      let index = try step("find the interface \(hostName)", code: .notFound) { () throws(Errno) in
        try check(cl_interface_index(hostName))
      }
      planned.append(
        PlannedInterface(hostName: hostName, name: name, index: index, addresses: try addresses(of: index, hostName)))
    }
    return planned
  }

  private static func addresses(of index: Int32, _ name: String) throws(Fault) -> [[UInt8]] {
    var bytes = [UInt8](repeating: 0, count: 16384)
    let count = try step("read the addresses of the interface \(name)") { () throws(Errno) in
      let count = cl_interface_addresses(index, &bytes, bytes.count)
      if count < 0 { throw Errno(rawValue: Int32(-count)) }
      return count
    }
    var rest = bytes[..<count]
    var result: [[UInt8]] = []
    while rest.count >= 4 {
      let size = rest.withUnsafeBytes { Int($0.loadUnaligned(as: UInt32.self)) }
      result.append(Array(rest.dropFirst(4).prefix(size)))
      rest = rest.dropFirst(4 + size)
    }
    return result
  }

  /// In the parent: moves it to the network namespace, where it is off and has no address.
  func move(to namespace: Int32) throws(Fault) {
    try step("move the interface \(hostName) into the container as \(name)", code: .invalidArgument) {
      () throws(Errno) in try check(cl_move_interface(index, namespace, name))
    }
  }

  /// In the child: gives it its addresses back and switches it on.
  func configure() throws(Fault) {
    try step("set up the interface \(name)") { () throws(Errno) in
      let index = try check(cl_interface_index(name))
      for address in addresses { try check(cl_add_address(index, address, address.count)) }
      try check(cl_interface_up(index))
    }
  }
}
