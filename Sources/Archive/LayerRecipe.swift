internal import CZstd
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage
internal import Tar

/// How a layer's tar archive is made again, byte for byte, from the layer's folder: every byte of it that is no file's
/// content, and between them which files' content follows. It is a file beside the folder, so that neither the order of
/// folders nor the places of holes nor the rules of this program's version need to be the same again.
///
///     "GANTRY-LAYER-1\n", then one zstd frame of records:
///     1 length bytes                 bytes as they are
///     2 length path offset length    bytes of the file `path`, from `offset`
///     0 length                       the end: how long the archive is
///
/// Numbers are LEB128. Whoever reads the archive checks its digest, so that a damaged recipe or folder is noticed.
enum LayerRecipe {
  static let magic = Array("GANTRY-LAYER-1\n".utf8)
  enum Record: UInt8 {
    case end = 0
    case bytes = 1
    case file = 2
  }
  /// The most bytes that one record holds.
  static let recordLimit = 64 << 10
  /// The longest path: the kernel's.
  static let pathLimit = 4096
}

/// Writes a recipe.
final class LayerRecipeWriter {
  private let output: Int32
  private let context: OpaquePointer
  private var input: [UInt8] = []
  private let buffer: UnsafeMutableRawBufferPointer
  private var waiting: [UInt8] = []
  private var size: Int64 = 0

  /// Writes to the open file `output`, which stays the caller's.
  init(_ output: Int32) throws {
    self.output = output
    guard let context = ZSTD_createCCtx() else { throw Fault(.internal, "no memory is left for zstd") }
    self.context = context
    buffer = .allocate(byteCount: 128 << 10, alignment: 64)
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 3)
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    try LayerRecipe.magic.withUnsafeBytes { try write($0) }
  }

  deinit {
    ZSTD_freeCCtx(context)
    buffer.deallocate()
  }

  /// These bytes are next.
  func add(_ bytes: UnsafeRawBufferPointer) throws {
    size += Int64(bytes.count)
    waiting += bytes
    if waiting.count >= LayerRecipe.recordLimit / 2 { try endBytes() }
  }

  /// `count` bytes of the file `path` are next.
  func add(file path: [UInt8], _ offset: Int64, _ count: Int64) throws {
    try endBytes()
    input.append(LayerRecipe.Record.file.rawValue)
    number(Int64(path.count))
    input += path
    number(offset)
    number(count)
    size += count
    try compress(ZSTD_e_continue, above: 64 << 10)
  }

  /// Ends the recipe; the file is whole then, and not yet on disk.
  func finish() throws {
    try endBytes()
    input.append(LayerRecipe.Record.end.rawValue)
    number(size)
    try compress(ZSTD_e_end, above: 0)
  }

  private func endBytes() throws {
    var rest = waiting[...]
    while !rest.isEmpty {
      let part = rest.prefix(LayerRecipe.recordLimit)
      input.append(LayerRecipe.Record.bytes.rawValue)
      number(Int64(part.count))
      input += part
      rest = rest.dropFirst(part.count)
    }
    waiting.removeAll(keepingCapacity: true)
    try compress(ZSTD_e_continue, above: 64 << 10)
  }

  private func number(_ value: Int64) {
    var rest = UInt64(value)
    while rest >= 0x80 {
      input.append(UInt8(rest & 0x7f) | 0x80)
      rest >>= 7
    }
    input.append(UInt8(rest))
  }

  private func compress(_ directive: ZSTD_EndDirective, above limit: Int) throws {
    guard input.count > limit || directive == ZSTD_e_end else { return }
    let (context, buffer) = (context, buffer)
    try input.withUnsafeBytes { bytes in
      var source = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
      while true {
        var target = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
        let left = ZSTD_compressStream2(context, &target, &source, directive)
        guard ZSTD_isError(left) == 0 else {
          throw Fault(
            .internal, "a layer's recipe cannot be compressed", cause: [String(cString: ZSTD_getErrorName(left))])
        }
        try write(UnsafeRawBufferPointer(rebasing: buffer[..<target.pos]))
        if directive == ZSTD_e_end ? left == 0 : source.pos == source.size { break }
      }
    }
    input.removeAll(keepingCapacity: true)
  }

  private func write(_ bytes: UnsafeRawBufferPointer) throws {
    do throws(Errno) { try Descriptors.writeAll(output, bytes) } catch {
      throw Fault(unpacking: Array("the layer's recipe".utf8), error)
    }
  }
}
