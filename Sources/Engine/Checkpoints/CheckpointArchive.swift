import Crypto
import Faults
import FoundationEssentials
import Glibc
import Linux
import SystemPackage

/// Checkpoints outside the engine's own folders (`--checkpoint-dir`), where anybody may have changed them.
///
/// What a checkpoint holds becomes processes with the rights, memory and open files that it says: nothing in it can be
/// checked one by one. So the engine signs what it writes outside (`seal.json`: size and SHA-256 of every file, and an HMAC
/// over the list with a key of this engine), reads nothing but what it has signed, and gives CRIU a private copy that was
/// hashed while it was made. Files are opened in the folder alone, no link is followed, nothing but regular files is read.
struct CheckpointArchive {
  /// The list of files and its signature.
  struct Seal: Codable, Equatable {
    var files: [File]
    /// HMAC-SHA-256 over `text`, in hexadecimal digits.
    var signature: String

    struct File: Codable, Equatable {
      var name: String
      var size: Int64
      /// SHA-256, in hexadecimal digits.
      var digest: String
    }

    static let file = "seal.json"
    /// More files than this are no checkpoint of ours.
    static let mostFiles = 100_000

    /// What is signed.
    var text: String { files.map { "\($0.name) \($0.size) \($0.digest)\n" }.joined() }
  }

  let key: SymmetricKey

  /// Takes the key at `path`, made when it is missing.
  init(keyPath path: String) throws {
    let bytes = 32
    if !Folders.exists(path) {
      var generator = SystemRandomNumberGenerator()
      try DurableFile.write(
        FilePath(path), (0..<bytes).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }
    let secret = try Files.read(path, limit: bytes + 1)
    guard secret.count == bytes else {
      throw Fault(.corrupt, "\(path) is no key for checkpoints: it must hold \(bytes) bytes; restore it, or delete it")
    }
    key = SymmetricKey(data: secret)
  }

  /// Copies the private folder `from` to the new folder `name` in `folder`, and signs it.
  func export(_ from: String, to folder: String, name: String) throws {
    let parent = try Self.open(folder: folder)
    let isNew: Bool
    do throws(Errno) {
      isNew = try Files.makeDirectory(at: parent.rawValue, name, mode: 0o700)
    } catch {
      throw Self.failure("cannot be made", "\(folder)/\(name)", error)
    }
    guard isNew else { throw Fault(.alreadyExists, "checkpoint with name \(name) already exists in \(folder)") }
    do {
      let target = try openat2(
        parent.rawValue, name, [.readOnly, .directory, .noFollow], resolve: [.beneath, .noSymlinks])
      let source = try openat2(nil, from, [.readOnly, .directory, .noFollow])
      var files: [Seal.File] = []
      for file in try Files.list(source.rawValue).sorted() {
        files.append(try Self.copy(file, from: source.rawValue, to: target.rawValue, limit: nil))
      }
      var seal = Seal(files: files, signature: "")
      seal.signature = sign(seal.text)
      let descriptor = try openat2(
        target.rawValue, Seal.file, [.writeOnly, .create, .exclusive], mode: 0o600, resolve: [.beneath, .noSymlinks])
      try Array(JSONEncoder().encode(seal)).withUnsafeBytes { try Descriptors.writeAll(descriptor.rawValue, $0) }
      try DurableFile.sync(descriptor.rawValue)
      try DurableFile.sync(target.rawValue)
    } catch {
      try? RemoveTree.remove(at: parent.rawValue, name)
      throw error
    }
  }

  /// Copies the checkpoint `name` in `folder` to the empty private folder `to`, and checks every byte.
  ///
  /// Fails with `notFound`, and with `corrupt` for what this engine has not signed.
  func `import`(from folder: String, name: String, to private: String) throws {
    let parent = try Self.open(folder: folder)
    let source: OwnedDescriptor
    do throws(Errno) {
      source = try openat2(
        parent.rawValue, name, [.readOnly, .directory, .noFollow], resolve: [.beneath, .noSymlinks])
    } catch {
      guard error == .noSuchFileOrDirectory else { throw Self.failure("cannot be opened", "\(folder)/\(name)", error) }
      throw Fault(.notFound, "checkpoint \(name) does not exist in \(folder)")
    }
    let target = try openat2(nil, `private`, [.readOnly, .directory, .noFollow])
    let seal = try self.seal(source.rawValue, "\(folder)/\(name)")
    for file in seal.files {
      let copied = try Self.copy(file.name, from: source.rawValue, to: target.rawValue, limit: file.size)
      guard copied == file else {
        throw Fault(.corrupt, "\(folder)/\(name)/\(file.name) was changed after the checkpoint was made: it is refused")
      }
    }
  }

  /// The signed list in an open folder.
  private func seal(_ folder: Int32, _ path: String) throws -> Seal {
    let seal: Seal
    do {
      let file = try Self.openRegular(Seal.file, in: folder)
      seal = try JSONDecoder().decode(Seal.self, from: Data(Files.read(file.rawValue, limit: 64 << 20)))
    } catch {
      throw Fault(.corrupt, "\(path) is no checkpoint that an engine has signed", cause: ["\(error)"])
    }
    let names = Set(seal.files.map(\.name))
    guard
      let signature = Self.bytes(seal.signature),
      HMAC<SHA256>.isValidAuthenticationCode(signature, authenticating: Data(seal.text.utf8), using: key)
    else {
      throw Fault(
        .corrupt,
        "\(path) was not made by this engine: a checkpoint becomes processes with all the rights that it says, so only "
          + "signed ones are started. To move one, copy gateway/checkpoint.key of the engine that made it")
    }
    guard seal.files.count <= Seal.mostFiles, names.count == seal.files.count,
      names.allSatisfy({ CheckpointName.isPlain($0) && $0 != Seal.file })
    else { throw Fault(.corrupt, "\(path)/\(Seal.file) names files that no checkpoint has") }
    return seal
  }

  private func sign(_ text: String) -> String {
    Self.hex(HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: key))
  }

  /// Copies one regular file and tells its size and digest. `limit`: more bytes than this are not read.
  private static func copy(_ name: String, from source: Int32, to target: Int32, limit: Int64?) throws -> Seal.File {
    do {
      let input = try openRegular(name, in: source)
      let output = try openat2(
        target, name, [.writeOnly, .create, .exclusive], mode: 0o600, resolve: [.beneath, .noSymlinks])
      var hash = SHA256()
      var size: Int64 = 0
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
      defer { buffer.deallocate() }
      while true {
        let count = try Descriptors.read(input.rawValue, into: buffer)
        if count == 0 { break }
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        size += Int64(count)
        if let limit, size > limit { break }
        hash.update(bufferPointer: bytes)
        try Descriptors.writeAll(output.rawValue, bytes)
      }
      try DurableFile.sync(output.rawValue)
      return Seal.File(name: name, size: size, digest: hex(hash.finalize()))
    } catch let error as Errno {
      throw failure("cannot be copied", name, error)
    }
  }

  /// A regular file of the folder itself: no link, no device, no pipe that would hold the reader.
  private static func openRegular(_ name: String, in folder: Int32) throws -> OwnedDescriptor {
    let file = try openat2(
      folder, name, [.readOnly, .noFollow, .nonBlocking, .noControllingTerminal],
      resolve: [.beneath, .noSymlinks, .noCrossDevice])
    guard try FileStatus(of: file.rawValue).kind == .regular else {
      throw Fault(.corrupt, "\(name) of a checkpoint is no regular file: it is refused")
    }
    return file
  }

  private static func open(folder: String) throws -> OwnedDescriptor {
    guard folder.hasPrefix("/"), !folder.utf8.contains(0) else {
      throw Fault(.invalidArgument, "the checkpoint folder \"\(folder)\" must be an absolute path")
    }
    do throws(Errno) {
      return try openat2(nil, folder, [.readOnly, .directory], resolve: .noMagicLinks)
    } catch {
      throw failure("cannot be opened", folder, error)
    }
  }

  private static func failure(_ what: String, _ path: String, _ error: Errno) -> Fault {
    let code: FaultCode
    switch error {
    case .noSuchFileOrDirectory, .notDirectory: code = .notFound
    case .noSpace, .diskQuotaExceeded: code = .noSpace
    case .readOnlyFileSystem: code = .readOnly
    case .tooManySymbolicLinkLevels, .improperLink: code = .corrupt
    default: code = .invalidArgument
    }
    return Fault(code, "\(path) \(what): \(error)")
  }

  private static func hex(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  private static func bytes(_ text: String) -> [UInt8]? {
    guard text.utf8.count == 64 else { return nil }
    var result: [UInt8] = []
    var rest = text[...]
    while !rest.isEmpty {
      guard let byte = UInt8(rest.prefix(2), radix: 16) else { return nil }
      result.append(byte)
      rest = rest.dropFirst(2)
    }
    return result
  }
}
