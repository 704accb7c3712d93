internal import Faults
internal import SystemPackage

extension Fault {
  /// The fault for a system call that failed on `path` while doing `action` ("write the ingest file").
  ///
  /// A full disk or quota is `noSpace`, a read-only file system `readOnly`, missing rights are `permissionDenied`.
  init(_ errno: Errno, _ action: String, _ path: FilePath) {
    switch errno {
    case .noSpace, .diskQuotaExceeded:
      self.init(
        .noSpace, "cannot \(action) \(path): the disk is full; free some space, or remove images that are not needed",
        cause: ["\(errno)"])
    case .readOnlyFileSystem:
      self.init(
        .readOnly, "cannot \(action) \(path): the file system is read-only; mount it writable", cause: ["\(errno)"])
    case .permissionDenied, .notPermitted:
      self.init(
        .permissionDenied, "cannot \(action) \(path): the service's user may not; give the folder to that user",
        cause: ["\(errno)"])
    case .noSuchFileOrDirectory:
      self.init(.notFound, "cannot \(action) \(path): it does not exist", cause: ["\(errno)"])
    default:
      self.init(.internal, "cannot \(action) \(path): \(errno)", cause: [])
    }
  }

  /// Runs `body` and turns an `Errno` into a fault about `path`.
  static func mapping<Result>(
    _ action: String, _ path: FilePath, _ body: () throws -> Result
  ) throws(Fault) -> Result {
    do {
      return try body()
    } catch let errno as Errno {
      throw Fault(errno, action, path)
    } catch {
      throw Fault(describing: error)
    }
  }
}
