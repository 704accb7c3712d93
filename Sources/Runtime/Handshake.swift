internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// What parent and child tell each other over a pair of packet sockets; the order is drawn in `Init`.
enum Handshake {
  /// The first byte of a message.
  enum Kind: UInt8 {
    /// Parent → child: your user namespace has its maps.
    case mapped = 0x4d
    /// Child → parent, with a pidfd: the container's first process, made by one that has joined its user namespace.
    case born = 0x42
    /// Child → parent: all mounts are made and the old root is still there; run the hooks that want that.
    case prepared = 0x50
    /// Parent → child, with the container's state: they have run; now the child's own.
    case hooked = 0x48
    /// Child → parent, with a descriptor: the terminal's master.
    case console = 0x43
    /// Child → parent: everything is set up, I wait.
    case ready = 0x52
    /// Parent → child: go on.
    case go = 0x47
    /// Child → parent: nothing but the filter and exec are left.
    case executing = 0x58
    /// Child → parent: the descriptor of this number is for the filter's supervisor; answered by `go`.
    case listener = 0x4c
    /// Child → parent: the fault follows; I exit.
    case fault = 0x46
  }

  /// A fault's message is cut here: one packet holds it.
  static let limit = 8192

  /// Sends one message; with a descriptor when given.
  static func send(_ socket: Int32, _ kind: Kind, _ text: [UInt8] = [], descriptor: Int32? = nil) throws(Errno) {
    let bytes = [kind.rawValue] + text
    try bytes.withUnsafeBufferPointer { buffer throws(Errno) in
      _ = try UnixSocket.send(
        socket, UnsafeRawBufferPointer(buffer), descriptors: descriptor.map { [$0] } ?? [])
    }
  }

  /// Reads one message; nil at the end of input.
  static func receive(_ socket: Int32) throws(Errno) -> (kind: Kind, text: [UInt8], descriptor: Int32?)? {
    try withUnsafeTemporaryAllocation(byteCount: limit + 1, alignment: 1) { buffer throws(Errno) in
      let (count, descriptors) = try UnixSocket.receive(socket, into: buffer, maximumDescriptors: 1)
      if count == 0 { return nil }
      guard let kind = Kind(rawValue: buffer[0]) else { throw Errno.ioError }
      return (kind, Array(buffer[1..<count]), descriptors.first)
    }
  }

  /// Child: tells `fault` and leaves it to the caller to exit. Written with write(2), which filters allow most often.
  static func report(_ socket: Int32, _ fault: Fault) {
    var text = fault.code.rawValue + "\0" + fault.message
    for cause in fault.cause { text += "\0" + cause }
    let bytes = [Kind.fault.rawValue] + Array(text.utf8.prefix(limit))
    _ = bytes.withUnsafeBytes { Glibc.write(socket, $0.baseAddress!, $0.count) }
  }

  /// Parent: the fault in a message.
  static func fault(_ text: [UInt8]) -> Fault {
    let parts = text.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
    return Fault(
      FaultCode(rawValue: parts[0]), parts.count > 1 ? parts[1] : "the container did not start",
      cause: Array(parts.dropFirst(2)))
  }
}
