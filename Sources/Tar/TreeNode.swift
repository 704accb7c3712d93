internal import CLinux
internal import Glibc
package import Linux
package import SystemPackage

/// A file of an untrusted tree, held without being opened: what it is cannot change any more under our hands, and opening a
/// device or fifo by mistake is not possible.
package struct TreeNode: ~Copyable {
  let descriptor: OwnedDescriptor
  package let status: FileStatus

  /// What has the name `name`, one part without slashes, in the open folder `parent`: the link itself. Nil when nothing has it.
  package init?(_ parent: Int32, _ name: [UInt8]) throws(Errno) {
    let result = name.withTerminated { openat(parent, $0, Int32(CL_O_PATH) | O_NOFOLLOW | O_CLOEXEC) }
    if result < 0 {
      if errno == ENOENT { return nil }
      throw Errno(rawValue: errno)
    }
    try self.init(OwnedDescriptor(result))
  }

  /// Takes an `O_PATH` descriptor.
  init(_ descriptor: consuming OwnedDescriptor) throws(Errno) {
    status = try FileStatus(of: descriptor.rawValue)
    self.descriptor = descriptor
  }

  /// The path of this very file for calls that take paths, by way of the process's own descriptors.
  ///
  /// - Parameter prefix: `/proc/self/fd/`, or nothing in a process whose working folder that is.
  func path(_ prefix: String) -> String { prefix + String(descriptor.rawValue) }

  /// The descriptor's number, which is its own path where descriptors are the working folder.
  package var number: Int32 { descriptor.rawValue }

  /// The file or folder at a path of this process, the link itself unless `followLinks`.
  package init(path: String, followLinks: Bool) throws(Errno) {
    try self.init(try openat2(nil, path, followLinks ? .path : [.path, .noFollow]))
  }

  /// The value of one extended attribute; nil when it has none.
  package func attribute(_ name: String, _ prefix: String) throws(Errno) -> [UInt8]? {
    let path = path(prefix)
    do throws(Errno) {
      return try Self.bytes(256) { buffer, size in cl_getxattr(path, name, buffer, size) }
    } catch {
      if error == .noData || error == .notSupported { return nil }
      throw error
    }
  }

  /// Opens the plain file or folder for reading.
  package func open(_ prefix: String) throws(Errno) -> OwnedDescriptor {
    try openat2(nil, path(prefix), [.readOnly, .nonBlocking, .noControllingTerminal])
  }

  /// What a symbolic link says.
  package func link() throws(Errno) -> [UInt8] {
    try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer throws(Errno) in
      let count = readlinkat(
        descriptor.rawValue, "", buffer.baseAddress!.assumingMemoryBound(to: CChar.self), buffer.count)
      if count < 0 { throw Errno(rawValue: errno) }
      return Array(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
  }

  /// The extended attributes that archives carry: file capabilities and those of users.
  func attributes(_ prefix: String) throws(Errno) -> [ArchiveEntry.Attribute] {
    try attributes(prefix) { ArchiveEntry.Attribute.isCarried($0) }
  }

  /// All extended attributes that this process may see.
  package func allAttributes(_ prefix: String) throws(Errno) -> [ArchiveEntry.Attribute] {
    if status.kind == .symbolicLink { return [] }
    return try attributes(prefix) { _ in true }
  }

  private func attributes(
    _ prefix: String, where isWanted: (ArraySlice<UInt8>) -> Bool
  ) throws(Errno) -> [ArchiveEntry.Attribute] {
    // The file by its descriptor's link: lgetxattr would ask the link.
    let path = path(prefix)
    var capacity = 0
    let names: [UInt8]
    do throws(Errno) {
      capacity = Int(try check(cl_listxattr(path, nil, 0)))
      if capacity == 0 { return [] }
      names = try Self.bytes(capacity) { cl_listxattr(path, $0?.assumingMemoryBound(to: CChar.self), $1) }
    } catch .notSupported { return [] }
    var attributes: [ArchiveEntry.Attribute] = []
    for name in names.split(separator: 0) where isWanted(name) {
      let name = Array(name)
      do throws(Errno) {
        let value = try Self.bytes(256) { buffer, size in
          name.withTerminated { cl_getxattr(path, $0, buffer, size) }
        }
        attributes.append(.init(name: name, value: value))
      } catch .noData { continue }  // removed meanwhile
    }
    return attributes
  }

  /// Calls with a buffer of `capacity`, then once more with the most that there may be (XATTR_SIZE_MAX, XATTR_LIST_MAX).
  private static func bytes(
    _ capacity: Int, _ call: (UnsafeMutableRawPointer?, Int) -> Int
  ) throws(Errno) -> [UInt8] {
    for capacity in [capacity, 65536] {
      var count = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, initialized in
        count = call(buffer.baseAddress, capacity)
        initialized = max(count, 0)
      }
      if count == -Int(ERANGE), capacity < 65536 { continue }
      try check(count)
      return bytes
    }
    throw Errno.outOfRange
  }
}

extension ArchiveEntry.Attribute {
  /// Whether archives carry the attribute `name` from one file system to another: what only this kernel's security modules
  /// and overlayfs understand stays.
  package static func isCarried(_ name: some Collection<UInt8>) -> Bool {
    name.starts(with: "user.".utf8) && !name.starts(with: "user.overlay.".utf8)
      || name.elementsEqual("security.capability".utf8)
  }

  /// Whether layers carry it: what other archives do, and access lists, which name ids as the layer's owners do.
  package static func isLayered(_ name: some Collection<UInt8>) -> Bool {
    isCarried(name) || name.starts(with: "system.posix_acl_".utf8)
  }
}
