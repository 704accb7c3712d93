internal import CLinux
internal import Cgroups
internal import Faults
internal import FoundationEssentials
internal import Glibc
internal import Linux
internal import OCI
internal import QuickJSON
internal import Runtime
internal import SystemPackage

/// The folder of all containers of one `--root`, 0700.
struct StateRoot {
  let path: FilePath

  init(_ path: String) { self.path = FilePath(path) }

  /// The folder of the container `id`, which need not exist. Fails with `invalidArgument` on what is no name.
  func container(_ id: String) throws(Fault) -> StateFolder {
    guard (1...1024).contains(id.utf8.count), id.utf8.allSatisfy(Self.isAllowed), id.utf8.first != UInt8(ascii: "."),
      id.utf8.first != UInt8(ascii: "-")
    else {
      throw Fault(
        .invalidArgument,
        "invalid container id format: \"\(id.prefix(100))\": letters, digits, `_`, `+`, `-` and `.` are allowed, and "
          + "neither `.` nor `-` first")
    }
    return StateFolder(id: id, path: path.appending(id))
  }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
      true
    default: false
    }
  }

  /// Every container that has a folder, by id.
  func all() -> [StateFolder] {
    ((try? Files.list(path.string)) ?? []).sorted().compactMap { try? container($0) }
  }

  /// Makes the folder of a new container, locked by its descriptor. `alreadyExists` when the id is taken.
  func make(_ id: String) throws(Fault) -> (folder: StateFolder, lock: Int32) {
    let folder = try container(id)
    do throws(Errno) {
      var isNew = false
      do throws(Errno) {
        isNew = try Files.makeDirectory(folder.path.string, mode: 0o700)
      } catch .noSuchFileOrDirectory {
        try Files.makeDirectories(path, mode: 0o700)
        isNew = try Files.makeDirectory(folder.path.string, mode: 0o700)
      }
      guard isNew else { throw Errno.fileExists }
      let lock = try openat2(nil, folder.path.string, [.readOnly, .directory, .noFollow])
      try check(cl_flock(lock.rawValue, LOCK_EX | LOCK_NB))
      return (folder, lock.take())
    } catch {
      switch error {
      case .fileExists: throw Fault(.alreadyExists, "container with id exists: \(id)")
      case .noSpace: throw Fault(.noSpace, "the folder \(folder.path) cannot be made: the disk is full")
      case .readOnlyFileSystem:
        throw Fault(.readOnly, "the folder \(folder.path) cannot be made: it is read-only there")
      default: throw Fault(.internal, "the folder \(folder.path) cannot be made", cause: ["\(error)"])
      }
    }
  }
}

/// state.json: what is known of a container that exists.
struct ContainerRecord: Codable, Equatable {
  var id: String
  var bundle: String
  var rootfs: String
  /// Its first process, and when that started (clock ticks since boot): together they name one process.
  var pid: Int32
  var startTime: UInt64
  /// RFC 3339.
  var created: String
  /// As `linux.cgroupsPath` names it, with systemd's form resolved.
  var cgroup: String
  /// `SECCOMP_FILTER_FLAG_*` of its filter.
  var filterFlags: UInt32

  /// As JSONEncoder would write it.
  var json: String {
    var json = CompactJSON()
    json.add("id", id)
    json.add("bundle", bundle)
    json.add("rootfs", rootfs)
    json.add("pid", pid)
    json.add("startTime", startTime)
    json.add("created", created)
    json.add("cgroup", cgroup)
    json.add("filterFlags", filterFlags)
    return json.object
  }
}

/// Where a container is in its life (OCI runtime specification, "State", and runc's `paused`).
enum ContainerStatus: String {
  case creating, created, running, paused, stopped
}

/// The folder of one container, and what can be told from it. Readers take no lock: files appear by rename.
struct StateFolder {
  let id: String
  let path: FilePath

  var configFile: FilePath { path.appending("config.json") }
  var recordFile: FilePath { path.appending("state.json") }
  var startSocket: FilePath { path.appending("start.sock") }

  /// The record; nil while the container is being created, or when that was cut off.
  ///
  /// Fails with `notFound` in the words that engines look for when there is no such container.
  func record() throws(Fault) -> ContainerRecord? {
    do {
      return try QuickDecoder.decode(ContainerRecord.self, from: Files.read(recordFile.string))
    } catch Errno.noSuchFileOrDirectory {
      guard (try? FileStatus(path.string)) != nil else {
        throw Fault(.notFound, "container \"\(id)\" does not exist")
      }
      return nil
    } catch {
      throw Fault(.corrupt, "\(recordFile) cannot be understood", cause: ["\(error)"])
    }
  }

  /// The record of a container that has been created.
  func existing() throws(Fault) -> ContainerRecord {
    guard let record = try record() else {
      throw Fault(
        .conflict, "container \"\(id)\" is being created, or was left half created: delete --force removes it")
    }
    return record
  }

  func status(_ record: ContainerRecord?) -> ContainerStatus {
    guard let record else { return .creating }
    guard record.isAlive else { return .stopped }
    if (try? FileStatus(startSocket.string)) != nil, ContainerGate.isWaiting(startSocket) { return .created }
    if let cgroup = try? Cgroup.open(path: record.cgroup), cgroup.isFrozen { return .paused }
    return .running
  }

  /// The description as it was when the container was made, its system call section apart.
  func description() throws(Fault) -> Description { try Description(file: configFile) }

  /// Takes the folder for its removal, waiting for whoever makes the container at most 5 s.
  func lock() throws(Fault) -> OwnedDescriptor {
    do throws(Errno) {
      let descriptor = try openat2(nil, path.string, [.readOnly, .directory, .noFollow])
      for _ in 0..<500 {
        let result = cl_flock(descriptor.rawValue, LOCK_EX | LOCK_NB)
        if result == 0 { return descriptor }
        guard result == -EWOULDBLOCK else { throw Errno(rawValue: -result) }
        usleep(10_000)
      }
    } catch {
      guard error != .noSuchFileOrDirectory else { throw Fault(.notFound, "container \"\(id)\" does not exist") }
      throw Fault(.internal, "the folder \(path) cannot be locked", cause: ["\(error)"])
    }
    throw Fault(.locked, "container \"\(id)\" is being created or deleted by another process")
  }

  /// Removes the folder with its files.
  func remove() throws(Fault) {
    do throws(Errno) {
      for name in try Files.list(path.string) { try Files.unlink(path.appending(name).string) }
      try Files.removeDirectory(path.string)
    } catch {
      guard error != .noSuchFileOrDirectory else { return }
      throw Fault(.internal, "the folder \(path) cannot be removed", cause: ["\(error)"])
    }
  }

  func write(_ file: FilePath, _ text: String) throws(Fault) {
    do throws(Errno) {
      try DurableFile.write(file, Array(text.utf8), durable: false)
    } catch {
      throw Fault(error == .noSpace ? .noSpace : .internal, "\(file) cannot be written", cause: ["\(error)"])
    }
  }
}

extension ContainerRecord {
  /// Whether its first process is the one that was made, and has not ended.
  var isAlive: Bool {
    guard (try? ProcFiles.startTime(pid: pid)) == startTime, let state = try? ProcFiles.state(pid: pid) else {
      return false
    }
    return state != "Z" && state != "X"
  }

  /// The first process, held: whatever is done with it is done to no other. Nil when it has ended.
  func process() -> PidFD? {
    guard let process = try? PidFD(pid: pid), isAlive else { return nil }
    return process
  }
}
