import Archive
import ArchiveFixtures
import Faults
import Glibc
import Linux
import SystemPackage
import Tar
import Testing

/// Everything about archives and layers.
@Suite struct ArchiveTests {}

/// A layer unpacked into a folder of its own, with something to protect beside it.
struct Unpacked {
  let scratch = Scratch()
  let result: Result<UnpackedLayer, Fault>
  var folder: FilePath { scratch["layer/fs"] }

  /// - Parameters:
  ///   - compress: a command that compresses standard input.
  ///   - prepare: runs before, with the folder beside which nothing may change.
  init(
    _ archive: [UInt8], compress: String? = nil, limits: ArchiveLimits = ArchiveLimits(),
    before prepare: (Scratch) -> Void = { _ in }
  ) throws {
    var blob = scratch.write("blob", archive)
    scratch.folder("layer")
    scratch.folder("layer/fs")
    if let compress {
      let (output, status) = shell("\(compress) <'\(blob)' >'\(scratch["compressed"])'")
      precondition(status == 0, output)
      blob = scratch["compressed"]
    }
    prepare(scratch)
    let target = try openat2(nil, scratch["layer/fs"].string, [.readOnly, .directory])
    result = Result { try LayerUnpacking.unpack(blob: blob, into: target.rawValue, limits: limits) }
      .mapError { Fault(describing: $0) }
  }

  init(limits: ArchiveLimits = ArchiveLimits(), _ build: (inout Tar) -> Void) throws {
    try self.init(Tar(build).archive, limits: limits)
  }

  /// The unpacked layer, or the failure thrown.
  var layer: UnpackedLayer { get throws { try result.get() } }

  /// The code of the failure; nil when there was none.
  var code: FaultCode? { if case .failure(let fault) = result { fault.code } else { nil } }

  func status(_ path: String) -> FileStatus? { try? FileStatus(folder.appending(path).string) }

  func text(_ path: String) -> String? {
    // FilePath.appending would drop the bytes of an absolute path.
    try? Files.readText("\(folder)/\(path)")
  }

  func attribute(_ path: String, _ name: String) -> [UInt8]? {
    (try? ExtendedAttributes.get(folder.appending(path), name)) ?? nil
  }

  func isWhiteout(_ path: String) -> Bool {
    guard let status = status(path) else { return false }
    return status.kind == .characterDevice && status.special == DeviceNumber(major: 0, minor: 0)
  }

  func isOpaque(_ path: String) -> Bool { attribute(path, "trusted.overlay.opaque") == [UInt8(ascii: "y")] }

  /// The names in a folder of the layer, sorted.
  func names(_ path: String = ".") -> [String] {
    ((try? Files.list("\(folder)/\(path)")) ?? []).sorted()
  }
}

let isRoot = geteuid() == 0
