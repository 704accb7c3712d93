internal import CArchive
internal import Faults
internal import Tar

/// xz and bzip2 decompressed by libarchive's filters, without any format on top.
final class FilterSource: ByteSource {
  enum Filter {
    case xz
    case bzip2
  }

  private let archive: OpaquePointer
  private let input: LibarchiveInput
  private let name: String
  private var isAtEnd = false

  init(_ upstream: any ByteSource, _ filter: Filter) throws {
    guard let archive = archive_read_new() else { throw Fault(.internal, "no memory is left for libarchive") }
    self.archive = archive
    input = LibarchiveInput(upstream)
    let result: Int32
    switch filter {
    case .xz:
      name = "xz"
      result = archive_read_support_filter_xz(archive)
    case .bzip2:
      name = "bzip2"
      result = archive_read_support_filter_bzip2(archive)
    }
    // ARCHIVE_WARN would mean that libarchive starts a program of that name: never on input from outside.
    guard result == ARCHIVE_OK else {
      throw Fault(.unsupported, "this machine's libarchive was built without \(name)")
    }
    archive_read_support_format_raw(archive)
    archive_read_support_format_empty(archive)
    guard input.open(archive) == ARCHIVE_OK else { throw input.fault(archive, "the \(name) data cannot be opened") }
    var entry: OpaquePointer?
    switch archive_read_next_header(archive, &entry) {
    case ARCHIVE_OK: break
    case ARCHIVE_EOF: isAtEnd = true
    default: throw input.fault(archive, "the \(name) data is damaged")
    }
  }

  deinit { archive_read_free(archive) }

  func next() throws -> UnsafeRawBufferPointer {
    while !isAtEnd {
      var start: UnsafeRawPointer?
      var count = 0
      var offset: la_int64_t = 0
      switch archive_read_data_block(archive, &start, &count, &offset) {
      case ARCHIVE_OK:
        if count > 0 { return UnsafeRawBufferPointer(start: start, count: count) }
      case ARCHIVE_EOF:
        isAtEnd = true
      default:
        throw input.fault(archive, "the \(name) data is damaged or was cut off")
      }
    }
    return UnsafeRawBufferPointer(start: nil, count: 0)
  }
}
