internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import Seccomp
internal import SystemPackage

/// Compiled system call filters, kept between processes: compiling one takes longer than all the rest of a start.
///
/// A file holds all that went into its filter before the filter itself: the versions of what compiled it and the whole text
/// of the section. It is used only when that is the same, byte for byte, so that no two sections can be taken for one
/// another; the name, a short hash, only says where to look.
struct FilterStore {
  /// Files that are kept; a machine has few different ones.
  private static let most = 64

  private let folder: FilePath

  init(_ root: StateRoot) { folder = root.path.appending(".filters") }

  /// The filter of a description; nil when it has none.
  func filter(_ description: Description) throws(Fault) -> SeccompProgram? {
    guard let text = description.seccomp else { return nil }
    let input = Self.compiler + text
    let file = folder.appending(Self.name(input))
    if let known = Self.read(file, input) { return known }
    guard let section = try description.seccompSection() else { return nil }
    let program = try SeccompCompiler.compile(section)
    keep(program, input, file)
    return program
  }

  /// What compiles: our own file by its size and time, the version of the library, the kernel's architecture.
  private static var compiler: [UInt8] {
    let own = try? FileStatus("/proc/self/exe", followLinks: true)
    let time = own?.modified ?? FileStatus.Time(seconds: 0, nanoseconds: 0)
    return Array(
      "\(GantryVersion.current) \(own?.size ?? 0) \(time.seconds).\(time.nanoseconds) \(SeccompCompiler.libraryVersion) \(KernelFeatures.machine)\n"
        .utf8)
  }

  /// FNV-1a, 64 bits.
  static func name(_ input: [UInt8]) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in input { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return String(hash, radix: 16)
  }

  /// `length of the input, flags` in four bytes each, the input, the filter.
  private static func read(_ file: FilePath, _ input: [UInt8]) -> SeccompProgram? {
    guard let bytes = try? Files.read(file.string, limit: 32 << 20), bytes.count > 8 + input.count else { return nil }
    let (length, flags) = bytes.withUnsafeBytes {
      ($0.loadUnaligned(as: UInt32.self), $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    }
    guard Int(length) == input.count, bytes[8..<8 + input.count].elementsEqual(input) else { return nil }
    let filter = Array(bytes[(8 + input.count)...])
    return filter.count % 8 == 0 ? SeccompProgram(bytes: filter, flags: flags) : nil
  }

  /// Without room the filter is compiled again the next time: nothing fails.
  private func keep(_ program: SeccompProgram, _ input: [UInt8], _ file: FilePath) {
    _ = try? Files.makeDirectory(folder.string, mode: 0o700)
    if let names = try? Files.list(folder.string), names.count >= Self.most {
      for name in names { try? Files.unlink(folder.appending(name).string) }
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 + input.count + program.bytes.count)
    for number in [UInt32(input.count), program.flags] { withUnsafeBytes(of: number) { bytes += $0 } }
    bytes += input
    bytes += program.bytes
    try? DurableFile.write(file, bytes, durable: false)
  }
}
