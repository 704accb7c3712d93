internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import QuickJSON
internal import SystemPackage

/// Hands the supervisor of a filter with `SCMP_ACT_NOTIFY` its descriptor (OCI runtime specification, "The Container Process
/// State"): one message with the descriptor and who it is for, to the socket that the description names.
///
/// The child cannot send it itself: from the moment the filter is loaded, its calls may wait for the supervisor. It writes
/// one message (write(2), which profiles may therefore not supervise) and waits; the parent copies the descriptor out of
/// it, and answers when the supervisor has it.
struct SeccompListener {
  /// `SECCOMP_FILTER_FLAG_NEW_LISTENER` of linux/seccomp.h.
  static let flag: UInt32 = 8

  let path: String
  let metadata: String?
  let identity: ContainerIdentity
  let spec: RuntimeSpec

  /// The supervisor that a filter with these flags needs; nil when it needs none.
  init?(flags: UInt32, spec: RuntimeSpec, identity: ContainerIdentity?) throws(Fault) {
    guard flags & Self.flag != 0 else { return nil }
    guard let path = spec.linux?.seccomp?.listenerPath, path.hasPrefix("/"), let identity else {
      throw Fault(
        .invalidArgument,
        "the system call filter asks a supervisor (SCMP_ACT_NOTIFY), but linux.seccomp.listenerPath names no socket")
    }
    self.path = path
    metadata = spec.linux?.seccomp?.listenerMetadata
    self.identity = identity
    self.spec = spec
  }

  /// Sends descriptor `number` of the process to the supervisor.
  func hand(_ number: Int32, of pidfd: Int32, pid: Int32, status: String) throws(Fault) {
    var message = CompactJSON()
    message.add("ociVersion", spec.ociVersion)
    message.add("fds", object: "[\"seccompFd\"]")
    message.add("pid", pid)
    message.add("metadata", metadata)
    message.add("state", object: identity.state(status, pid: pid, of: spec))
    let bytes = Array(message.object.utf8)
    try step("give the seccomp supervisor at \(path) its descriptor", code: .unavailable) { () throws(Errno) in
      let listener = OwnedDescriptor(try check(cl_pidfd_getfd(pidfd, number)))
      let socket = try UnixSocket.connect(path: FilePath(path))
      try bytes.withUnsafeBufferPointer { bytes throws(Errno) in
        _ = try UnixSocket.send(
          socket.rawValue, UnsafeRawBufferPointer(bytes), descriptors: [listener.rawValue])
      }
    }
  }
}
