package import Cgroups
public import Faults
internal import Glibc
internal import Linux
public import OCI
internal import Runtime
internal import SystemPackage

/// `gantry-task.json` beside CRIU's images: what the processes' connections to the outside were called.
///
/// It is read back from a folder that is not trusted: a name that is not of the one form is refused, so that none can say
/// more to CRIU than "this pipe" or "this file".
public struct CheckpointNotes: Codable, Sendable, Equatable {
  /// The file's name.
  public static let file = "gantry-task.json"

  /// Names of descriptors 0, 1 and 2: `pipe:[4711]`, or `file[18:3]` for /dev/null; nil for one that was closed.
  public var streams: [String?]
  /// Where mounts came from outside, in order.
  public var externalMounts: [String]

  public init(streams: [String?], externalMounts: [String]) {
    self.streams = streams
    self.externalMounts = externalMounts
  }

  /// Fails with `corrupt` when these notes are not such as `task.checkpoint` writes.
  public func check() throws(Fault) {
    guard streams.count == 3, streams.allSatisfy({ $0.map(Self.isName) ?? true }) else {
      throw Fault(.corrupt, "\(Self.file) of the checkpoint names streams in a form that no engine writes")
    }
  }

  /// `pipe:[DECIMAL]` or `file[HEX:HEX]`.
  static func isName(_ text: String) -> Bool {
    func digits(_ text: Substring, hex: Bool) -> Bool {
      (1...20).contains(text.utf8.count)
        && text.utf8.allSatisfy { (48...57).contains($0) || hex && (97...102).contains($0) }
    }
    if text.hasPrefix("pipe:["), text.hasSuffix("]") { return digits(text.dropFirst(6).dropLast(), hex: false) }
    guard text.hasPrefix("file["), text.hasSuffix("]") else { return false }
    let parts = text.dropFirst(5).dropLast().split(separator: ":", omittingEmptySubsequences: false)
    return parts.count == 2 && parts.allSatisfy { digits($0, hex: true) }
  }

  /// Where mounts of a container come from outside; see `CheckpointPlan`.
  package static func externalMounts(_ spec: RuntimeSpec, _ cgroup: Cgroup?) throws(Fault) -> [String] {
    try CheckpointPlan.externalMounts(spec, cgroup)
  }

  /// The name that CRIU gives an open file: the number of its mount and of its inode.
  package static func name(ofFile descriptor: Int32) throws(Fault) -> String {
    do throws(Errno) {
      var status = stat()
      if fstat(descriptor, &status) != 0 { throw Errno(rawValue: errno) }
      let info = try Files.readText("/proc/self/fdinfo/\(descriptor)", limit: 4096)
      let mount = info.split(separator: "\n").first { $0.hasPrefix("mnt_id:") }?.split(whereSeparator: \.isWhitespace)
        .last.flatMap { UInt64($0) }
      guard let mount else { throw Errno.ioError }
      return "file[\(String(mount, radix: 16)):\(String(status.st_ino, radix: 16))]"
    } catch {
      throw Fault(.internal, "cannot tell which file a container's input is", cause: [error.description])
    }
  }

  /// The name of the network namespace to CRIU, and whether a container has one of its own.
  package static let network = CheckpointPlan.network
  package static func ownsNetwork(_ spec: RuntimeSpec) -> Bool { CheckpointPlan.ownsNetwork(spec) }

  /// The fault for a run of CRIU that failed, from its log.
  package static func fault(_ what: String, log: String) -> Fault { CriuLog.fault(what, log) }
}

extension Shim {
  /// Puts the processes of a checkpoint back.
  static func restored(
    _ restore: TaskOptions.Restore, _ container: ContainerRequest, in folder: TaskFolder
  ) throws(Fault) -> ContainerProcess {
    let images = FilePath(restore.folder)
    guard let notes = try folder.read(images.appending(CheckpointNotes.file), as: CheckpointNotes.self) else {
      throw Fault(.corrupt, "\(images) is no checkpoint: it has no \(CheckpointNotes.file)")
    }
    try notes.check()
    guard notes.externalMounts == (try CheckpointPlan.externalMounts(container.spec, container.cgroup)) else {
      throw Fault(.conflict, "the checkpoint was made of a container with other mounts")
    }
    let stage = folder.path.appending("stage")
    do throws(Errno) {
      try Files.makeDirectory(stage.string)
    } catch {
      throw Fault(.internal, "the folder \(stage) cannot be made", cause: [error.description])
    }
    defer { rmdir(stage.string) }
    return try Container.restore(
      RestoreRequest(
        container: container, criu: FilePath(restore.criu), images: images, work: folder.path, stage: stage,
        streams: notes.streams))
  }
}
