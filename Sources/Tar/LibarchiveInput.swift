internal import CArchive
package import Faults

/// What libarchive's read callback works on: a source, the error that it threw, and a budget for headers.
///
/// libarchive reads a whole header in one call and bounds only part of what it may hold, so the bytes handed out during
/// that call are counted here.
package final class LibarchiveInput {
  private let source: any ByteSource
  /// What the source threw; libarchive itself can only say that reading failed.
  private(set) var error: (any Error)?
  /// The bytes handed to libarchive so far.
  private(set) var delivered: Int64 = 0
  /// The value of `delivered` that may not be passed; nil outside of headers.
  var headerEnd: Int64?

  package init(_ source: any ByteSource) { self.source = source }

  /// Opens `archive` on this input, which must live until the archive is freed.
  package func open(_ archive: OpaquePointer) -> Int32 {
    archive_read_open(
      archive, Unmanaged.passUnretained(self).toOpaque(), nil,
      { _, context, buffer in
        guard let context, let buffer else { return -1 }
        return Unmanaged<LibarchiveInput>.fromOpaque(context).takeUnretainedValue().read(buffer)
      }, nil)
  }

  private func read(_ buffer: UnsafeMutablePointer<UnsafeRawPointer?>) -> Int {
    if error != nil { return -1 }
    do {
      if let headerEnd, delivered > headerEnd {
        throw Fault(.limitExceeded, "the archive has headers of more than a few megabytes before one entry")
      }
      let chunk = try source.next()
      delivered += Int64(chunk.count)
      buffer.pointee = chunk.baseAddress
      return chunk.count
    } catch {
      self.error = error
      return -1
    }
  }

  /// Why a call of libarchive failed: the source's own error, or libarchive's words.
  package func fault(_ archive: OpaquePointer, _ message: String) -> Fault {
    if let error { return Fault(describing: error) }
    let words = archive_error_string(archive).map { String(cString: $0) } ?? "unknown error"
    return Fault(.corrupt, message, cause: [ArchiveEntry.text(Array(words.utf8))])
  }
}
