internal import Faults
internal import FoundationEssentials
internal import Glibc
internal import JSONRPC
internal import Linux
internal import Protocol
internal import SystemPackage
internal import Tar

/// `gantry cp`: files between a container and this machine.
struct Copy: Command {
  static let about = About(
    usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n       gantry cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    summary: "Copy files/folders between a container and the local filesystem", arity: .exactly(2),
    completes: .containerPath,
    discussion: """
      The container may be running or not; its volumes are a part of it. `-` as the source is a tar archive on standard
      input, as the destination one on standard output. `SRC_PATH/.` copies what is in a folder, without the folder.
      """,
    examples: [
      ("gantry cp web:/etc/hosts .", "A file out of a container"),
      ("gantry cp ./site web:/srv", "A folder into one"),
      ("gantry cp web:/var/log/. logs", "What is in a folder"),
      ("tar -c site | gantry cp - web:/srv", "An archive from a pipe"),
    ])
  static let flags: [Flag<Copy>] = [
    .toggle("archive", "a", "Archive mode (copy all uid/gid information)") { $0.keepsOwners = $1 },
    .toggle("follow-link", "L", "Always follow symbol link in SRC_PATH") { $0.followsLinks = $1 },
    .toggle(
      "quiet", "q",
      "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached"
    ) {
      $0.isQuiet = $1
    },
  ]

  var keepsOwners = false
  var followsLinks = false
  var isQuiet = false
  var source = CopyPaths.Side("")
  var destination = CopyPaths.Side("")

  mutating func take(operands: [String]) throws {
    guard !operands[0].isEmpty else { throw CommandFailure("source can not be empty") }
    guard !operands[1].isEmpty else { throw CommandFailure("destination can not be empty") }
    source = CopyPaths.Side(operands[0])
    destination = CopyPaths.Side(operands[1])
  }

  func run(in session: Session) throws -> Int32 {
    switch (source.container.isEmpty, destination.container.isEmpty) {
    case (false, false): throw CommandFailure("copying between containers is not supported")
    case (true, true): throw CommandFailure("must specify at least one container source")
    case (false, true): try copyOut(session)
    case (true, false): try copyIn(session)
    }
    return 0
  }

  // MARK: Out of the container

  private func copyOut(_ session: Session) throws {
    var path = source.path
    var name = ""
    let target = destination.path == "-" ? "-" : CopyPaths.local(destination.path)
    if target != "-" { try LocalFiles.checkOutput(target) }
    if followsLinks,
      let stat = try? session.call(GatewayAPI.Method.containerPathStat, .init(container: source.container, path: path))
        .stat,
      !stat.linkTarget.isEmpty
    {
      (path, name) = CopyPaths.rebased(path, stat.linkTarget)
    }
    let opened = try session.call(GatewayAPI.Method.containerArchive, .init(container: source.container, path: path))
    let stream = try session.open(opened.stream)
    let transfer = Transfer(session: session, copy: opened.copy)
    if target == "-" {
      try transfer.run { try Transfer.pump(stream.rawValue, STDOUT_FILENO) }
      return try transfer.finish()
    }
    let info = CopyPaths.Info(path: path, exists: true, isFolder: opened.stat.mode & 1 << 31 != 0, rebaseName: name)
    // A followed link keeps its name: what the archive calls its top becomes that first.
    let top = CopyPaths.split(path).base
    let plan = try CopyPaths.plan(source: info, destination: LocalFiles.destination(target))
    let progress = CopyProgress(isQuiet ? nil : "Copying from container - ")
    var options = TreeExtractor.Options()
    options.keepsKind = true
    options.owner = keepsOwners && geteuid() == 0 ? .archive : .own
    let folder: OwnedDescriptor
    do throws(Errno) { folder = try openat2(nil, plan.folder, [.path, .directory]) } catch {
      throw CommandFailure("\(plan.folder) cannot be opened: \(error)")
    }
    let extractor = TreeExtractor(beneath: folder.rawValue, name: plan.folder, options: options)
    try transfer.run {
      let source = WatchedSource(DescriptorSource(stream.rawValue, name: "the archive"), progress)
      let limits = ArchiveLimits(expandedBytes: 1 << 50, entries: .max)
      try extractor.extract(ArchiveReader(tar: source, limits: limits)) { path in
        var path = path
        if !name.isEmpty { path = CopyPaths.renamed(path, top, name) }
        if let (old, new) = plan.rename { path = CopyPaths.renamed(path, old, new) }
        return path
      }
      while try !source.next().isEmpty {}
    }
    try transfer.finish()
    progress.finish("Successfully copied \(Human.size(extractor.archiveBytes)) to \(target)\n")
  }

  // MARK: Into the container

  private func copyIn(_ session: Session) throws {
    let container = destination.container
    var info = CopyPaths.Info(path: destination.path)
    func stat(_ path: String) throws -> PathStat? {
      do {
        return try session.call(GatewayAPI.Method.containerPathStat, .init(container: container, path: path)).stat
      } catch let fault as Fault where fault.code == .notFound {
        return nil
      }
    }
    var found = try stat(info.path)
    if let link = found?.linkTarget, !link.isEmpty {
      info.path = link
      found = try stat(link)
    }
    if let found {
      guard found.mode & 1 << 26 == 0 else {
        throw CommandFailure(
          "destination \"\(container):\(destination.path)\" must be a directory or a regular file: got a device")
      }
      info.exists = true
      info.isFolder = found.mode & 1 << 31 != 0
    }
    // A container that does not exist is told of here, not as a folder that is missing.
    if found == nil {
      _ = try session.call(GatewayAPI.Method.containerPathStat, .init(container: container, path: "/"))
    }
    if source.path == "-" {
      guard info.isFolder else {
        throw CommandFailure("destination \"\(container):\(destination.path)\" must be a directory")
      }
      let (transfer, stream) = try open(session, container, info.path)
      try transfer.run { try Transfer.pump(STDIN_FILENO, stream.rawValue) }
      UnixSocket.shutdownWriting(stream.rawValue)
      return try transfer.finish()
    }
    let local = CopyPaths.local(source.path)
    let from = try LocalFiles.source(local, followsLinks: followsLinks)
    let plan = try CopyPaths.plan(source: from, destination: info)
    let node: TreeNode
    do throws(Errno) { node = try TreeNode(path: from.path, followLinks: CopyPaths.assertsFolder(from.path)) } catch {
      throw CommandFailure("\(source.path) cannot be read: \(error)")
    }
    var top = from.rebaseName.isEmpty ? CopyPaths.split(from.path).base : from.rebaseName
    if let (old, new) = plan.rename {
      top = String(decoding: CopyPaths.renamed(Array(top.utf8), old, new), as: UTF8.self)
    }
    let progress = CopyProgress(isQuiet ? nil : "Copying to container - ")
    let (transfer, stream) = try open(session, container, plan.folder)
    let writer = TarWriter(stream.rawValue) { progress.show($0) }
    let naming = TreeArchiver.Naming(top: Array(top.utf8))
    try transfer.run(node) { node in
      try TreeArchiver(writer).add(node, naming)
      try writer.finish()
    }
    UnixSocket.shutdownWriting(stream.rawValue)
    try transfer.finish()
    progress.finish("Successfully copied \(Human.size(writer.plainBytes)) to \(container):\(info.path)\n")
  }

  private func open(_ session: Session, _ container: String, _ path: String) throws -> (Transfer, OwnedSocket) {
    let opened = try session.call(
      GatewayAPI.Method.containerExtract,
      .init(container: container, path: path, noOverwriteDirNonDir: true, copyUIDGID: keepsOwners ? true : nil))
    return (Transfer(session: session, copy: opened.copy), OwnedSocket(try session.open(opened.stream)))
  }
}

/// A socket that is shared by reference.
final class OwnedSocket {
  private let descriptor: OwnedDescriptor
  var rawValue: Int32 { descriptor.rawValue }

  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}

/// One transfer of `cp`, `export` or `diff`: the bytes are moved here, and the engine says whether all of them went through.
struct Transfer {
  let session: Session
  let copy: String

  /// Moves bytes with `body`. When that fails because the other side gave up, its reason is told and not the broken stream.
  func run(_ body: () throws -> Void) throws {
    // A peer that closes is an error of the call, not the end of this process.
    signal(SIGPIPE, SIG_IGN)
    defer { signal(SIGPIPE, SIG_DFL) }
    do { try body() } catch let fault as Fault where [.cancelled, .corrupt, .internal].contains(fault.code) {
      try finish()
      throw fault
    }
  }

  /// The same with something that is given away.
  func run<Value: ~Copyable>(_ value: consuming Value, _ body: (consuming Value) throws -> Void) throws {
    signal(SIGPIPE, SIG_IGN)
    defer { signal(SIGPIPE, SIG_DFL) }
    do { try body(value) } catch let fault as Fault where [.cancelled, .corrupt, .internal].contains(fault.code) {
      try finish()
      throw fault
    }
  }

  /// Waits for the other side's end.
  func finish() throws {
    _ = try session.call(GatewayAPI.Method.containerFinishCopy, .init(copy: copy))
  }

  /// Moves all bytes from one descriptor to another.
  static func pump(_ input: Int32, _ output: Int32) throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
    defer { buffer.deallocate() }
    while true {
      let count: Int
      do throws(Errno) { count = try Descriptors.read(input, into: buffer) } catch {
        throw Fault(.internal, "the archive cannot be read", cause: ["\(error)"])
      }
      if count == 0 { return }
      do throws(Errno) {
        try Descriptors.writeAll(output, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      } catch {
        throw Fault(error == .brokenPipe ? .cancelled : .internal, "the archive cannot be written", cause: ["\(error)"])
      }
    }
  }
}

/// How much was copied, on one moving line of a terminal; elsewhere, and when quiet, only what is said at the end.
final class CopyProgress {
  private let header: String?
  private let moves: Bool
  private var nextDrawing = Deadline.now
  private static let interval = 100

  /// - Parameter header: what stands before the size; nil to be quiet.
  init(_ header: String?) {
    self.header = header
    moves = header != nil && Output.isTerminal(STDERR_FILENO)
  }

  func show(_ bytes: Int64) {
    guard moves, let header else { return }
    guard nextDrawing.hasPassed else { return }
    nextDrawing = .after(milliseconds: Self.interval)
    Output.note("\r\u{1B}[K\(header)\(Human.size(bytes))")
  }

  func finish(_ text: String) {
    guard header != nil else { return }
    Output.note(moves ? "\r\u{1B}[K" + text : text)
  }
}

/// Tells a progress of what passes.
final class WatchedSource: ByteSource {
  private let upstream: any ByteSource
  private let progress: CopyProgress
  private var bytes: Int64 = 0

  init(_ upstream: any ByteSource, _ progress: CopyProgress) {
    self.upstream = upstream
    self.progress = progress
  }

  func next() throws -> UnsafeRawBufferPointer {
    let chunk = try upstream.next()
    bytes += Int64(chunk.count)
    progress.show(bytes)
    return chunk
  }
}
