internal import CLinux
public import SystemPackage

/// Attributes of one mount (not of its file system), as mount_setattr(2) takes them.
public struct MountAttributes: OptionSet, Sendable {
  /// The kernel's `MOUNT_ATTR_*` bits.
  public let rawValue: UInt64
  /// Takes the kernel's bits.
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// No write through this mount.
  public static let readOnly = MountAttributes(rawValue: UInt64(CL_MOUNT_ATTR_RDONLY))
  /// Set-user-id bits and file capabilities do nothing.
  public static let noSetUserID = MountAttributes(rawValue: UInt64(CL_MOUNT_ATTR_NOSUID))
  /// Device files cannot be opened.
  public static let noDevices = MountAttributes(rawValue: UInt64(CL_MOUNT_ATTR_NODEV))
  /// Nothing can be executed.
  public static let noExecute = MountAttributes(rawValue: UInt64(CL_MOUNT_ATTR_NOEXEC))
  /// Access times are not kept.
  public static let noAccessTime = MountAttributes(rawValue: UInt64(CL_MOUNT_ATTR_NOATIME))
  /// Access times are kept at every access.
  public static let strictAccessTime = MountAttributes(rawValue: UInt64(CL_MOUNT_ATTR_STRICTATIME))
  /// Access times of folders are not kept.
  public static let noDirectoryAccessTime = MountAttributes(rawValue: UInt64(CL_MOUNT_ATTR_NODIRATIME))
  /// Symbolic links are not followed (kernel 5.10).
  public static let noSymlinkFollow = MountAttributes(rawValue: UInt64(CL_MOUNT_ATTR_NOSYMFOLLOW))
  /// The field that holds the three access time modes; clear it to set one.
  public static let accessTimeField = MountAttributes(rawValue: UInt64(CL_MOUNT_ATTR_ATIME))
}

/// How mounts and unmounts travel between copies of a mount.
public enum MountPropagation: UInt64, Sendable {
  /// Neither way.
  case `private` = 0x40000
  /// Into this copy only.
  case slave = 0x80000
  /// Both ways.
  case shared = 0x100000
  /// Neither way, and it cannot be bound.
  case unbindable = 0x20000
}

/// The mount system calls. Mounts are made detached (a descriptor) and then moved to their place.
public enum Mounts {
  /// Text of mountinfo, in which the kernel writes some bytes as three octal digits behind a backslash (`\\040`, a space).
  public static func unescaped(_ text: Substring) -> String {
    guard text.utf8.contains(UInt8(ascii: "\\")) else { return String(text) }
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "\\"), rest.count >= 3,
        let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
      {
        bytes.append(value)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A new file system of `type` with its parameters in order (`nil` value: a flag), as a detached mount.
  ///
  /// Values longer than 255 bytes do not fit one fsconfig(2) call: `EINVAL`. `FileSystemContext` tells more on failure.
  public static func make(
    _ type: String, source: String? = nil, parameters: [(key: String, value: String?)] = [],
    attributes: MountAttributes = []
  ) throws(Errno) -> OwnedDescriptor {
    let context = try FileSystemContext(type)
    if let source { try context.set("source", source) }
    for parameter in parameters { try context.set(parameter.key, parameter.value) }
    return try context.mount(attributes)
  }

  /// A new overlay of `layers` (folders, topmost first) with further parameters, as a detached mount.
  ///
  /// Kernels before 6.8 take the layers as one text of at most 255 bytes; they are then named by descriptors, of which about
  /// 14 fit: `E2BIG` with more.
  public static func overlay(
    _ layers: [String], parameters: [(key: String, value: String?)] = [], attributes: MountAttributes = []
  ) throws(Errno) -> OwnedDescriptor {
    let context = try FileSystemContext("overlay")
    try context.set("source", "overlay")
    var opened: [Int32] = []
    defer { for descriptor in opened { Descriptors.close(descriptor) } }
    if KernelFeatures.overlayAppendsLayers {
      for layer in layers { try context.set("lowerdir+", layer) }
    } else {
      for layer in layers { opened.append(try openat2(nil, layer, [.path, .directory, .noFollow]).take()) }
      let text = opened.map { "/proc/self/fd/\($0)" }.joined(separator: ":")
      guard text.utf8.count < 256 else { throw Errno(rawValue: 7 /* E2BIG */) }
      try context.set("lowerdir", text)
    }
    for parameter in parameters { try context.set(parameter.key, parameter.value) }
    return try context.mount(attributes)
  }

  /// A detached copy of the mount at `path` (what a bind mount is), with what is mounted below it when `recursive`.
  ///
  /// - Parameters:
  ///   - folder: where `path` starts; with an empty `path` the file or folder that `folder` itself is.
  public static func clone(at folder: Int32? = nil, _ path: String, recursive: Bool = false) throws(Errno)
    -> OwnedDescriptor
  {
    let flags =
      UInt32(CL_OPEN_TREE_CLONE) | UInt32(CL_OPEN_TREE_CLOEXEC)
      | (path.isEmpty ? UInt32(CL_AT_EMPTY_PATH) : 0) | (recursive ? UInt32(CL_AT_RECURSIVE) : 0)
    return OwnedDescriptor(try check(cl_open_tree(folder ?? Int32(CL_AT_FDCWD), path, flags)))
  }

  /// Attaches the detached `mount` on the file or folder that `target` is open on: no path is resolved.
  public static func attach(_ mount: Int32, on target: Int32) throws(Errno) {
    try check(
      cl_move_mount(
        mount, "", target, "", UInt32(CL_MOVE_MOUNT_F_EMPTY_PATH) | UInt32(CL_MOVE_MOUNT_T_EMPTY_PATH)))
  }

  /// Attaches the detached `mount` on `path`, seen from `folder`; symbolic links as last component are not followed.
  public static func attach(_ mount: Int32, at folder: Int32? = nil, _ path: String) throws(Errno) {
    try check(
      cl_move_mount(mount, "", folder ?? Int32(CL_AT_FDCWD), path, UInt32(CL_MOVE_MOUNT_F_EMPTY_PATH)))
  }

  /// Changes attributes and propagation of the mount that `descriptor` is on.
  ///
  /// - Parameters:
  ///   - userNamespace: a user namespace's descriptor, whose maps the mount takes (an idmapped mount).
  public static func change(
    _ descriptor: Int32, set: MountAttributes = [], clear: MountAttributes = [], propagation: MountPropagation? = nil,
    userNamespace: Int32? = nil, recursive: Bool = false
  ) throws(Errno) {
    let idmap = userNamespace == nil ? 0 : UInt64(CL_MOUNT_ATTR_IDMAP)
    try check(
      cl_mount_setattr(
        descriptor, "", UInt32(CL_AT_EMPTY_PATH) | (recursive ? UInt32(CL_AT_RECURSIVE) : 0),
        set.rawValue | idmap, clear.rawValue, propagation?.rawValue ?? 0, UInt64(userNamespace ?? 0)))
  }

  /// mount(2), for what the new interface cannot do on older kernels.
  public static func mount(
    source: String?, target: String, type: String?, flags: UInt = 0, data: String? = nil
  ) throws(Errno) {
    try check(cl_mount(source, target, type, flags, data))
  }

  /// Changes the propagation of every mount of the caller's mount namespace.
  public static func setPropagation(ofAll propagation: MountPropagation) throws(Errno) {
    try check(cl_mount(nil, "/", nil, UInt(CL_MS_REC) | UInt(propagation.rawValue), nil))
  }

  /// Takes the mount at `target` out of sight at once; it ends when nothing uses it.
  public static func detach(_ target: String) throws(Errno) {
    try check(cl_umount(target, Int32(CL_MNT_DETACH)))
  }

  /// pivot_root(2).
  public static func pivotRoot(_ newRoot: String, putOld: String) throws(Errno) {
    try check(cl_pivot_root(newRoot, putOld))
  }
}
