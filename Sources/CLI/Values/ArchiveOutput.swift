internal import Glibc
internal import Linux
internal import SystemPackage

/// Where a command's archive goes: standard output, or a file that appears when it is whole.
enum ArchiveOutput {
  /// Calls `body` with the descriptor to write to.
  ///
  /// - Parameters:
  ///   - path: empty for standard output, which must not be a terminal.
  ///   - failing: what failed when the file cannot be written: `failed to save image`.
  static func write(to path: String, failing: String, _ body: (Int32) throws -> Void) throws {
    if path.isEmpty {
      guard !Output.isTerminal() else {
        throw CommandFailure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
      }
      return try body(STDOUT_FILENO)
    }
    do { try LocalFiles.checkOutput(path) } catch let failure as CommandFailure {
      throw CommandFailure("\(failing): \(failure.message)")
    }
    // A device or fifo is written as it is; a file under another name until it is complete.
    if let status = try? FileStatus(path, followLinks: true), status.kind != .regular {
      let file = try openForWriting(path, [.writeOnly], failing)
      return try body(file.rawValue)
    }
    let temporary = "\(path).\(getpid()).part"
    let file = try openForWriting(temporary, [.writeOnly, .create, .exclusive, .noFollow], failing)
    do {
      try body(file.rawValue)
      try Files.rename(temporary, path)
    } catch {
      unlink(temporary)
      throw error
    }
  }

  private static func openForWriting(
    _ path: String, _ flags: OpenFlags, _ failing: String
  ) throws -> OwnedDescriptor {
    do throws(Errno) {
      return try openat2(nil, path, flags, mode: flags.contains(.create) ? 0o600 : 0)
    } catch {
      throw CommandFailure("\(failing): \(path) cannot be written: \(error)")
    }
  }
}
