internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
public import OCI
internal import SystemPackage
public import Tar

/// A layer's tar archive made again from its folder and its recipe. What comes out is only trusted by its digest.
public final class RebuiltLayer: ByteSource {
  private let folder: Int32
  private let records: RecipeReader
  private let buffer: UnsafeMutableRawBufferPointer
  /// The file whose content is being given.
  private var file: (path: [UInt8], descriptor: OwnedFile)?
  private var piece: (offset: Int64, left: Int64)?
  /// The bytes given so far.
  public private(set) var bytes: Int64 = 0

  /// Reads the files below the open folder `folder`, by the recipe in the open file `recipe`; both stay the caller's.
  public init(folder: Int32, recipe: Int32) throws {
    self.folder = folder
    records = try RecipeReader(recipe)
    buffer = .allocate(byteCount: 1 << 20, alignment: 64)
  }

  deinit { buffer.deallocate() }

  public func next() throws -> UnsafeRawBufferPointer {
    var used = 0
    while used < buffer.count {
      if let (offset, left) = piece, let file {
        let room = UnsafeMutableRawBufferPointer(rebasing: buffer[used...].prefix(Int(min(left, Int64(buffer.count)))))
        let count = pread(file.descriptor.descriptor, room.baseAddress, room.count, off_t(offset))
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { throw Self.damaged(file.path, count == 0 ? nil : Errno(rawValue: errno)) }
        used += count
        piece = left > Int64(count) ? (offset + Int64(count), left - Int64(count)) : nil
        continue
      }
      // A record of bytes must fit as a whole.
      if buffer.count - used < LayerRecipe.recordLimit { break }
      switch try records.next() {
      case .bytes(let bytes):
        UnsafeMutableRawBufferPointer(rebasing: buffer[used...]).copyMemory(from: bytes)
        used += bytes.count
      case .file(let path, let offset, let count):
        if file?.path != path { file = (path, try open(path)) }
        piece = count > 0 ? (offset, count) : nil
      case .end(let size):
        guard size == bytes + Int64(used) else {
          throw Fault(.corrupt, "the layer's recipe is damaged: it makes \(bytes + Int64(used)) bytes, not \(size)")
        }
        bytes += Int64(used)
        return UnsafeRawBufferPointer(rebasing: buffer[..<used])
      case nil:
        return UnsafeRawBufferPointer(start: nil, count: 0)
      }
    }
    bytes += Int64(used)
    return UnsafeRawBufferPointer(rebasing: buffer[..<used])
  }

  /// The digest of all bytes.
  public func digest(isCancelled: () -> Bool = { false }) throws -> Digest {
    let pipe = DigestPipe()
    while true {
      if isCancelled() { throw Fault(.cancelled, "the layer's digest is not wanted any more") }
      let chunk = try next()
      if chunk.isEmpty { return pipe.finish() }
      pipe.append(chunk)
    }
  }

  private func open(_ path: [UInt8]) throws -> OwnedFile {
    let result = path.withTerminated {
      cl_openat2(
        folder, $0, UInt64(O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), 0,
        UInt64(CL_RESOLVE_BENEATH | CL_RESOLVE_NO_SYMLINKS | CL_RESOLVE_NO_MAGICLINKS))
    }
    if result < 0 { throw Self.damaged(path, Errno(rawValue: -result)) }
    return OwnedFile(OwnedDescriptor(result))
  }

  private static func damaged(_ path: [UInt8], _ error: Errno?) -> Fault {
    Fault(
      .corrupt, "the layer's archive cannot be made again: \(ArchiveEntry.text(path)) is not what it was",
      cause: error.map { ["\($0)"] } ?? [])
  }
}

/// Reads the records of a recipe.
final class RecipeReader {
  enum Record {
    /// Valid until the next call.
    case bytes(UnsafeRawBufferPointer)
    case file([UInt8], Int64, Int64)
    case end(Int64)
  }

  private let source: ZstandardSource
  private var rest = UnsafeRawBufferPointer(start: nil, count: 0)
  private var scratch: [UInt8] = []
  private var isAtEnd = false
  private let record: UnsafeMutableRawBufferPointer

  init(_ recipe: Int32) throws {
    let input = DescriptorSource(recipe, name: "the layer's recipe")
    let peeking = PeekingSource(input)
    guard try peeking.peek(LayerRecipe.magic.count).prefix(LayerRecipe.magic.count).elementsEqual(LayerRecipe.magic)
    else { throw Fault(.corrupt, "the layer's recipe is not one that this version reads") }
    source = try ZstandardSource(SkippingSource(peeking, LayerRecipe.magic.count), windowLog: 23)
    record = .allocate(byteCount: LayerRecipe.recordLimit, alignment: 16)
  }

  deinit { record.deallocate() }

  /// The next record; nil after the end.
  func next() throws -> Record? {
    if isAtEnd { return nil }
    switch LayerRecipe.Record(rawValue: try byte()) {
    case .bytes:
      let count = try number(limit: Int64(LayerRecipe.recordLimit))
      try fill(UnsafeMutableRawBufferPointer(rebasing: record[..<count]))
      return .bytes(UnsafeRawBufferPointer(rebasing: record[..<count]))
    case .file:
      let count = try number(limit: Int64(LayerRecipe.pathLimit))
      try fill(UnsafeMutableRawBufferPointer(rebasing: record[..<count]))
      let path = Array(UnsafeRawBufferPointer(rebasing: record[..<count]))
      return .file(path, Int64(try number(limit: .max)), Int64(try number(limit: .max)))
    case .end:
      isAtEnd = true
      return .end(Int64(try number(limit: .max)))
    case nil: throw Self.damaged
    }
  }

  private func fill(_ target: UnsafeMutableRawBufferPointer) throws {
    var done = 0
    while done < target.count {
      if rest.isEmpty { try refill() }
      let count = min(rest.count, target.count - done)
      UnsafeMutableRawBufferPointer(rebasing: target[done...]).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      done += count
    }
  }

  private func byte() throws -> UInt8 {
    if rest.isEmpty { try refill() }
    defer { rest = UnsafeRawBufferPointer(rebasing: rest[1...]) }
    return rest[0]
  }

  private func number(limit: Int64) throws -> Int {
    var value: UInt64 = 0
    for shift in stride(from: 0, to: 63, by: 7) {
      let byte = try byte()
      value |= UInt64(byte & 0x7f) << UInt64(shift)
      guard byte & 0x80 == 0 else { continue }
      guard value <= UInt64(limit) else { throw Self.damaged }
      return Int(value)
    }
    throw Self.damaged
  }

  private func refill() throws {
    rest = try source.next()
    if rest.isEmpty { throw Self.damaged }
  }

  private static var damaged: Fault { Fault(.corrupt, "the layer's recipe is damaged") }
}

/// A source without its first bytes.
private final class SkippingSource: ByteSource {
  private let upstream: any ByteSource
  private var left: Int

  init(_ upstream: any ByteSource, _ count: Int) {
    self.upstream = upstream
    left = count
  }

  func next() throws -> UnsafeRawBufferPointer {
    while true {
      let chunk = try upstream.next()
      if left == 0 || chunk.isEmpty { return chunk }
      let skipped = min(left, chunk.count)
      left -= skipped
      if skipped < chunk.count { return UnsafeRawBufferPointer(rebasing: chunk[skipped...]) }
    }
  }
}
