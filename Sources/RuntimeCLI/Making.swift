internal import Cgroups
internal import Faults
internal import Glibc
internal import Linux
internal import OCI
internal import Runtime
internal import SystemPackage

/// What `create` and `run` were asked for, checked before anything is made.
struct MakeRequest {
  let id: String
  /// Absolute.
  let bundle: String
  let rootfs: String
  let cgroup: String
  var description: Description
  let passed: Passed
  let pivots: Bool
  let keepsKeyring: Bool

  var hasTerminal: Bool { description.spec.process?.terminal ?? false }

  init(_ arguments: Arguments, _ context: Context) throws(Fault) {
    id = try arguments.id()
    bundle = try Self.absolute(arguments["bundle"] ?? ".", below: Self.workingFolder())
    var description = try Description(file: FilePath(bundle).appending("config.json"))
    guard let root = description.spec.root, !root.path.isEmpty else {
      throw Fault(.invalidArgument, "the description says no root file system: root.path must be there")
    }
    rootfs = try Self.absolute(root.path, below: bundle)
    for index in (description.spec.mounts ?? []).indices {
      // Sources of binds may be relative to the bundle.
      guard let mount = description.spec.mounts?[index], let source = mount.source, !source.hasPrefix("/"),
        mount.type == "bind" || mount.options?.contains(where: { $0 == "bind" || $0 == "rbind" }) == true
      else { continue }
      description.spec.mounts?[index].source = try Self.absolute(source, below: bundle)
    }
    cgroup = try CgroupName.resolve(description.spec.linux?.cgroupsPath, id: id, context.globals)
    passed = try Passed(arguments)
    if let variables = passed.variables {
      let environment = (description.spec.process?.env ?? []) + variables
      description.spec.process?.env = environment
    }
    self.description = description
    pivots = !arguments.isOn("no-pivot")
    keepsKeyring = arguments.isOn("no-new-keyring")
  }

  static func workingFolder() throws(Fault) -> String {
    guard let path = getcwd(nil, 0) else {
      throw Fault(.invalidArgument, "the working folder has been removed: give --bundle as an absolute path")
    }
    defer { free(path) }
    return String(cString: path)
  }

  private static func absolute(_ path: String, below folder: String) throws(Fault) -> String {
    guard !path.utf8.contains(0) else { throw Fault(.invalidArgument, "a path of the description has a NUL byte") }
    let full = path.hasPrefix("/") ? FilePath(path) : FilePath(folder).appending(path)
    return full.lexicallyNormalized().string
  }
}

/// Descriptors after 2 that the program gets: those of socket activation (`LISTEN_FDS`), then those of `--preserve-fds`.
struct Passed {
  let descriptors: [Int32]
  /// What tells the program of sockets that wait for it.
  let variables: [String]?

  init(_ arguments: Arguments) throws(Fault) {
    let sockets = getenv("LISTEN_FDS").flatMap { Int32(String(cString: $0)) } ?? 0
    let preserved = Int32(clamping: try arguments.number("preserve-fds") ?? 0)
    guard (0...1024).contains(sockets), preserved <= 1024 else {
      throw Fault(.invalidArgument, "--preserve-fds and LISTEN_FDS may be 1024 at most")
    }
    descriptors = (0..<sockets + preserved).map { 3 + $0 }
    for descriptor in descriptors where fcntl(descriptor, F_GETFD) < 0 {
      throw Fault(.invalidArgument, "descriptor \(descriptor) is to be passed on, but is not open")
    }
    variables = sockets > 0 ? ["LISTEN_FDS=\(sockets)", "LISTEN_PID=1"] : nil
  }
}

/// Where a container's cgroup is.
enum CgroupName {
  /// The path below the cgroup mount points; without a wish, one of the container's own at the top.
  static func resolve(_ path: String?, id: String, _ globals: GlobalOptions) throws(Fault) -> String {
    guard globals.systemdCgroup else {
      guard let path, !path.isEmpty else { return "/gantry-runtime-\(id)" }
      return path
    }
    guard (try? FileStatus("/run/systemd/system")) == nil else {
      throw Fault(
        .unsupported,
        "--systemd-cgroup is not supported where systemd runs: gantry-runtime makes cgroups itself, so set the engine's "
          + "cgroup driver to cgroupfs")
    }
    let parts = (path ?? "").split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 3, !parts[2].isEmpty else {
      throw Fault(
        .invalidArgument,
        "the cgroup path \"\(path ?? "")\" is not of the form SLICE:PREFIX:NAME, which "
          + "--systemd-cgroup asks for")
    }
    let unit = parts[2].hasSuffix(".slice") ? parts[2] : (parts[1].isEmpty ? "" : parts[1] + "-") + parts[2] + ".scope"
    return "/" + (try slice(parts[0].isEmpty ? "system.slice" : parts[0])) + "/" + unit
  }

  /// `a-b.slice` lies in `a.slice` (systemd.slice(5)).
  private static func slice(_ name: String) throws(Fault) -> String {
    guard name.hasSuffix(".slice"), !name.contains("/") else {
      throw Fault(.invalidArgument, "\"\(name)\" is no name of a slice")
    }
    var path: [String] = []
    var prefix = ""
    for part in name.dropLast(6).split(separator: "-", omittingEmptySubsequences: false) {
      guard !part.isEmpty else { throw Fault(.invalidArgument, "\"\(name)\" is no name of a slice") }
      prefix += (prefix.isEmpty ? "" : "-") + part
      path.append(prefix + ".slice")
    }
    return path.joined(separator: "/")
  }
}

/// A container being made: everything in the order in which a cut leaves something that `delete --force` can remove.
///
/// ```
/// folder, locked → cgroup's name, config.json → cgroup → first process → state.json → pid file → terminal sent
/// ```
/// The file `cgroup` says where its processes are, so they can be ended and it can be removed without state.json.
final class Making {
  /// When the program runs.
  enum Mode {
    /// When `start` says so.
    case waits
    case runs
  }

  let folder: StateFolder
  let record: ContainerRecord
  private var process: ContainerProcess
  private let cgroup: Cgroup
  private let context: Context
  private let lock: OwnedDescriptor

  init(_ request: MakeRequest, _ context: Context, mode: Mode) throws(Fault) {
    let filter = try FilterStore(context.root).filter(request.description)
    var description = request.description
    try description.completeSupervisor(filterFlags: filter?.flags ?? 0)
    let (folder, lock) = try context.root.make(request.id)
    self.folder = folder
    self.lock = OwnedDescriptor(lock)
    self.context = context
    var made: Cgroup?
    do throws(Fault) {
      try folder.keep(request)
      let cgroup = try Cgroup.create(path: request.cgroup, resources: description.spec.linux?.resources)
      made = cgroup
      self.cgroup = cgroup
      var container = ContainerRequest(
        spec: description.spec, rootfs: Self.root(request, description.spec), seccompFilter: filter?.bytes,
        seccompFlags: filter?.flags ?? 0, cgroup: cgroup,
        io: request.hasTerminal ? .terminal : .descriptors(input: 0, output: 1, error: 2))
      container.identity = ContainerIdentity(id: request.id, bundle: request.bundle)
      container.passedDescriptors = request.passed.descriptors
      container.mapsRootfs = false  // the caller's files have the ids that they must have
      container.rootPlace = request.rootfs
      container.pivots = request.pivots
      container.keepsKeyring = request.keepsKeyring
      switch mode {
      case .waits:
        let gate = try ContainerGate.listen(folder.startSocket)
        container.gate = gate.rawValue
        process = try Container.create(container)
      case .runs:
        process = try Container.create(container)
      }
      record = ContainerRecord(
        id: request.id, bundle: request.bundle, rootfs: request.rootfs, pid: process.pid,
        startTime: (try? ProcFiles.startTime(pid: process.pid)) ?? 0, created: Timestamp.now(), cgroup: request.cgroup,
        filterFlags: filter?.flags ?? 0)
    } catch {
      try? made?.killAll()
      try? made?.remove()
      try? folder.remove()
      throw error
    }
    for warning in process.warnings { context.log.warning("\(warning)") }
  }

  /// Records the container and tells the caller of it; on failure nothing is left of it. Returns the terminal's master when
  /// no socket takes it.
  @discardableResult
  func finish(socket: Int32?, pidFile: String?) throws(Fault) -> Int32? {
    do throws(Fault) {
      try folder.write(folder.recordFile, record.json)
      let master = process.takeConsole()?.take()
      if let pidFile { try Self.write(pid: record.pid, to: pidFile) }
      return try ConsoleSocket.hand(master, to: socket)
    } catch {
      try? process.pidFD.signal(SIGKILL)
      _ = try? process.pidFD.wait()
      try? cgroup.killAll()
      try? cgroup.remove()
      try? folder.remove()
      throw error
    }
  }

  /// The file appears whole: others wait for it.
  static func write(pid: Int32, to path: String) throws(Fault) {
    do throws(Errno) {
      try DurableFile.write(FilePath(path), Array(String(pid).utf8), mode: 0o644, durable: false)
    } catch {
      throw Fault(.invalidArgument, "the pid file \(path) cannot be written", cause: ["\(error)"])
    }
  }

  private static func root(_ request: MakeRequest, _ spec: RuntimeSpec) -> [RootfsMount] {
    // With a mount namespace that is joined, the root is that namespace's.
    let joins = spec.linux?.namespaces?.contains { $0.type == "mount" && $0.path?.isEmpty == false } ?? false
    return joins ? [] : [RootfsMount(type: "bind", source: request.rootfs, options: ["rbind"])]
  }
}

extension StateFolder {
  /// Keeps the description, and beside it where the cgroup is, before either is used.
  fileprivate func keep(_ request: MakeRequest) throws(Fault) {
    for (file, bytes) in [(cgroupFile, Array(request.cgroup.utf8)), (configFile, request.description.bytes)] {
      do throws(Errno) {
        let descriptor = try openat2(nil, file.string, [.writeOnly, .create, .exclusive], mode: 0o600)
        try bytes.withUnsafeBufferPointer { bytes throws(Errno) in
          try Descriptors.writeAll(descriptor.rawValue, UnsafeRawBufferPointer(bytes))
        }
      } catch {
        throw Fault(error == .noSpace ? .noSpace : .internal, "\(file) cannot be written", cause: ["\(error)"])
      }
    }
  }

  /// The cgroup of a container that may be half made; nil when it has none yet.
  var cgroupFile: FilePath { path.appending("cgroup") }
}
