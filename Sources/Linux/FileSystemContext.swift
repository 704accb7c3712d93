internal import CLinux
public import SystemPackage

/// A file system being configured (fsopen(2)) until it becomes a detached mount.
public struct FileSystemContext: ~Copyable {
  private let descriptor: OwnedDescriptor

  /// A file system of `type`; `ENODEV` when the kernel has none of that name.
  public init(_ type: String) throws(Errno) {
    descriptor = OwnedDescriptor(try check(cl_fsopen(type, UInt32(CL_FSOPEN_CLOEXEC))))
  }

  /// Sets a parameter; without a value it is a flag. Values are at most 255 bytes.
  public borrowing func set(_ key: String, _ value: String?) throws(Errno) {
    if let value {
      try check(cl_fsconfig(descriptor.rawValue, UInt32(CL_FSCONFIG_SET_STRING), key, value, 0))
    } else {
      try check(cl_fsconfig(descriptor.rawValue, UInt32(CL_FSCONFIG_SET_FLAG), key, nil, 0))
    }
  }

  /// Sets a parameter that names a file or folder, by an open descriptor of it.
  public borrowing func set(_ key: String, opened: Int32) throws(Errno) {
    try check(cl_fsconfig(descriptor.rawValue, UInt32(CL_FSCONFIG_SET_FD), key, nil, opened))
  }

  /// Makes the file system and a detached mount of it.
  public borrowing func mount(_ attributes: MountAttributes = []) throws(Errno) -> OwnedDescriptor {
    try check(cl_fsconfig(descriptor.rawValue, UInt32(CL_FSCONFIG_CMD_CREATE), nil, nil, 0))
    return OwnedDescriptor(
      try check(cl_fsmount(descriptor.rawValue, UInt32(CL_FSMOUNT_CLOEXEC), UInt32(attributes.rawValue))))
  }

  /// What the kernel has said about the parameters so far, each message once: why the last call failed.
  public borrowing func messages() -> [String] {
    var messages: [String] = []
    withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
      while let count = try? Descriptors.read(descriptor.rawValue, into: buffer), count > 0 {
        // "e overlay: text" with e, w or i for the severity.
        let text = String(decoding: UnsafeRawBufferPointer(buffer).prefix(count), as: UTF8.self)
        messages.append(text.split(separator: "\n").joined(separator: " "))
      }
    }
    return messages
  }
}
