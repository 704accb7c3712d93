internal import Archive
internal import CLinux
internal import Faults
internal import FoundationEssentials
internal import Glibc
internal import Linux
internal import Protocol
internal import Runtime
internal import SystemPackage
internal import Tar

/// The process that works on the files of one container, for one call: it archives them, extracts into them, or lists what
/// changed. The service starts itself again as this.
///
/// A container's files are hostile, and so is an archive from outside. Before the first of their bytes is read, the process
/// 1. has a mount namespace with nothing but the tree in it (`RootView`),
/// 2. has an empty folder as its root: nothing of the host and nothing of the container is found by any path, so neither
///    libraries, name services, locales nor helper programs are loaded from there (CVE-2019-14271, CVE-2026-41567),
/// 3. reaches the tree by one descriptor, below which the kernel resolves every path (CVE-2018-15664),
/// 4. has no right to mount, trace or change namespaces any more.
public enum TreeWorker {
  /// The argument that makes the service's executable this.
  public static let argument = "tree-worker"
  /// Where the control socket is.
  static let control: Int32 = 3

  /// What is kept of the service's capabilities: owners, modes, devices, file capabilities.
  private static let capabilities = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "MKNOD", "SETFCAP",
  ]

  /// Whether this process was started as a worker.
  public static var isWanted: Bool { CommandLine.arguments.count == 2 && CommandLine.arguments[1] == argument }

  /// Does what the control socket says.
  public static func run() -> Never {
    signal(SIGPIPE, SIG_IGN)
    umask(0)
    do {
      try work(Channel.receive())
    } catch {
      Channel.send(TreeReply(Fault(describing: error)))
    }
    exit(0)
  }

  private static func work(_ order: TreeOrder) throws {
    raiseDescriptorLimit()
    // While procfs is in sight.
    let descriptors = try openat2(nil, "/proc/self/fd", [.path, .directory])
    if case .changes(let upper, let lower, let mountPoints) = order.work {
      let changes = try TreeChanges(upper: upper, lower: lower, mountPoints: mountPoints)
      try leaveEverything(but: descriptors.rawValue)
      let stream = try Channel.stream(after: .ready(nil))
      return Channel.send(.done(bytes: try changes.write(to: stream.rawValue)))
    }
    let root = TreeRoot(
      try RootView.enter(
        order.root.view, readOnly: order.readOnly,
        binds: order.mounts.map { mount in
          .init(
            source: mount.source, destination: mount.destination, readOnly: mount.readOnly ?? false,
            recursive: mount.recursive ?? false)
        }))
    try leaveEverything(but: descriptors.rawValue)
    switch order.work {
    case .stat(let path): Channel.send(.ready(try TreeStat.stat(root, path, order.name)))
    case .archive(let path, let contents): try archive(root, path, contents: contents, order.name)
    case .extract(let path, let keepsKind, let user): try extract(root, path, keepsKind: keepsKind, user, order.name)
    case .changes: break  // done above
    }
  }

  private static func archive(_ root: borrowing TreeRoot, _ text: String, contents: Bool, _ name: String) throws {
    let found = try TreeStat.find(root, text, name)
    let stream = try Channel.stream(after: .ready(found.stat))
    let writer = TarWriter(stream.rawValue)
    let path = Array(text.utf8)
    let archiver = TreeArchiver(writer, descriptorPrefix: "")
    try archiver.add(found.node, .init(top: contents ? [] : TreeRoot.Path(path).name(path)))
    try writer.finish()
    Channel.send(.done(bytes: writer.bytes))
  }

  private static func extract(
    _ root: borrowing TreeRoot, _ text: String, keepsKind: Bool, _ user: String?, _ name: String
  ) throws {
    let path = TreeRoot.Path(Array(text.utf8))
    try TreeStat.checkExtractionPoint(root, path, text, name)
    var options = TreeExtractor.Options()
    options.keepsKind = keepsKind
    if let user {
      let (uid, gid) = try RootView.owner(user, in: root.descriptor.rawValue)
      options.owner = .fixed(uid: uid, gid: gid)
    }
    let stream = try Channel.stream(after: .ready(nil))
    let source = CountedSource(DescriptorSource(stream.rawValue, name: "the archive"))
    let extractor = TreeExtractor(root: root, path: path, options: options, descriptorPrefix: "")
    // As much as the disk takes: what is written here is the container's own.
    try extractor.extract(ArchiveReader(source: source, limits: ArchiveLimits(expandedBytes: 1 << 50, entries: .max)))
    // What follows the end of the archive is read too, so that the sender is not cut off.
    while try !source.next().isEmpty {}
    Channel.send(.done(bytes: source.bytes))
  }

  // MARK: Confinement

  /// Makes an empty folder this process's root and gives up what only mounting needs. The working folder becomes that of the
  /// process's own descriptors: a descriptor's number is a path then, and the only one there is.
  private static func leaveEverything(but descriptors: Int32) throws {
    do throws(Errno) {
      let empty = try Mounts.make(
        "tmpfs", source: "empty", parameters: [("mode", "000"), ("size", "4k")],
        attributes: [.readOnly, .noSetUserID, .noDevices, .noExecute])
      if fchdir(empty.rawValue) != 0 || chroot(".") != 0 || fchdir(descriptors) != 0 {
        throw Errno(rawValue: errno)
      }
      guard let kept = CapabilitySet(names: capabilities) else { throw Errno.invalidArgument }
      try Privileges.dropCapabilities(keeping: kept)
    } catch {
      throw Fault(.internal, "cannot give up rights before work on a container's files", cause: ["\(error)"])
    }
  }

  /// One descriptor for each level of folders, and for each layer of it.
  private static func raiseDescriptorLimit() {
    var (soft, hard): (UInt64, UInt64) = (0, 0)
    guard cl_getrlimit(Int32(RLIMIT_NOFILE.rawValue), &soft, &hard) == 0 else { return }
    _ = cl_setrlimit(Int32(RLIMIT_NOFILE.rawValue), min(hard, 1 << 18), hard)
  }

  // MARK: Control

  /// The control socket.
  private enum Channel {
    /// How long a stream may stand still, in seconds: a container is not started while it is written to.
    private static let patience = 60

    static func receive() throws -> TreeOrder {
      var bytes: [UInt8] = []
      while bytes.last != 10 {
        let part = try [UInt8](unsafeUninitializedCapacity: 64 << 10) { buffer, count in
          count = try Descriptors.read(control, into: UnsafeMutableRawBufferPointer(buffer))
        }
        guard !part.isEmpty else { throw Fault(.internal, "the service ended before it said what to do") }
        bytes += part
      }
      return try JSONDecoder().decode(TreeOrder.self, from: Data(bytes))
    }

    static func send(_ reply: TreeReply) {
      guard let line = try? JSONEncoder().encode(reply) else { return }
      // A service that is gone needs no answer.
      _ = (Array(line) + [10]).withUnsafeBytes { try? UnixSocket.send(control, $0) }
    }

    /// Says that the work may begin, and waits for the stream.
    static func stream(after reply: TreeReply) throws -> OwnedDescriptor {
      send(reply)
      var byte: UInt8 = 0
      let received = try withUnsafeMutableBytes(of: &byte) {
        try UnixSocket.receive(control, into: $0, maximumDescriptors: 1)
      }
      guard let socket = received.descriptors.first else { exit(0) }  // not wanted any more
      var pause = timeval(tv_sec: patience, tv_usec: 0)
      for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
        setsockopt(socket, SOL_SOCKET, option, &pause, socklen_t(MemoryLayout<timeval>.size))
      }
      return OwnedDescriptor(socket)
    }
  }
}

extension TreeOrder.Root {
  /// The same for `RootView`.
  var view: RootView.Root {
    switch self {
    case .mounted(let mount): .mounted(.init(type: mount.type, source: mount.source, options: mount.options))
    case .layers(let folders): .layers(folders)
    case .process(let pid, let upper): .process(pid, upper: upper)
    }
  }
}

/// Counts what passes.
private final class CountedSource: ByteSource {
  private let upstream: any ByteSource
  private(set) var bytes: Int64 = 0

  init(_ upstream: any ByteSource) { self.upstream = upstream }

  func next() throws -> UnsafeRawBufferPointer {
    let chunk = try upstream.next()
    bytes += Int64(chunk.count)
    return chunk
  }
}
