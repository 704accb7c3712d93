internal import CLinux
public import Faults
internal import Glibc
internal import Linux
public import OCI
internal import QuickJSON
internal import SystemPackage

/// Who a container is to the programs outside that it concerns: hooks and seccomp supervisors.
public struct ContainerIdentity: Sendable {
  /// Its name, unique on the machine among those of the same runtime.
  public var id: String
  /// The folder of its description.
  public var bundle: String

  /// Both.
  public init(id: String, bundle: String) {
    self.id = id
    self.bundle = bundle
  }

  /// The container's state as the specification has it (`state-schema.json`), in one line.
  ///
  /// - Parameters:
  ///   - status: `creating`, `created`, `running` or `stopped`.
  ///   - pid: of its first process as the runtime sees it; 0 is left out, as for a container that has ended.
  public func state(_ status: String, pid: Int32, of spec: RuntimeSpec) -> String {
    var state = CompactJSON()
    state.add("ociVersion", spec.ociVersion)
    state.add("id", id)
    state.add("status", status)
    if pid > 0 { state.add("pid", pid) }
    state.add("bundle", bundle)
    if let annotations = spec.annotations, !annotations.isEmpty {
      var notes = CompactJSON()
      for (key, value) in annotations.sorted(by: { $0.key < $1.key }) { notes.add(key: key, text: value) }
      state.add("annotations", object: notes.object)
    }
    return state.object
  }
}

/// Programs that a description wants to be run at points of a container's life (OCI runtime specification, "POSIX-platform
/// Hooks"): each gets the container's state on its standard input.
///
/// ```
/// create   prestart, createRuntime    by the parent, while the child waits with all mounts made and the old root there
///          createContainer            by the child, in the container's namespaces, before the root is changed
/// start    startContainer             by the child, in the container, as its user, before the program
///          poststart                  by the parent, once the program runs
/// delete   poststop                   by whoever deletes the container
/// ```
///
/// A hook that fails before the program runs keeps it from running; one that fails afterwards is told to the caller.
public enum Hooks {
  /// Runs the poststop hooks of a container that is gone; returns what failed.
  public static func stopped(_ spec: RuntimeSpec, _ identity: ContainerIdentity) -> [Fault] {
    runAll(spec.hooks?.poststop, "poststop", state: identity.state("stopped", pid: 0, of: spec))
  }

  /// Runs the poststart hooks of a container whose program was started; returns what failed.
  static func started(_ spec: RuntimeSpec, _ identity: ContainerIdentity?, pid: Int32) -> [Fault] {
    guard let hooks = spec.hooks?.poststart, !hooks.isEmpty, let identity else { return [] }
    return runAll(hooks, "poststart", state: identity.state("running", pid: pid, of: spec))
  }

  private static func runAll(_ hooks: [RuntimeSpec.Hook]?, _ name: String, state: String) -> [Fault] {
    var faults: [Fault] = []
    for hook in hooks ?? [] {
      do throws(Fault) {
        try run([hook], name, state: Array(state.utf8))
      } catch {
        faults.append(error)
      }
    }
    return faults
  }

  /// Refuses what cannot be run, before anything is made.
  static func validate(_ hooks: RuntimeSpec.Hooks?) throws(Fault) {
    guard let hooks else { return }
    let all: [(String, [RuntimeSpec.Hook]?)] = [
      ("prestart", hooks.prestart), ("createRuntime", hooks.createRuntime), ("createContainer", hooks.createContainer),
      ("startContainer", hooks.startContainer), ("poststart", hooks.poststart), ("poststop", hooks.poststop),
    ]
    for (name, list) in all {
      for hook in list ?? [] {
        guard hook.path.hasPrefix("/"), !hook.path.utf8.contains(0) else {
          throw Fault(.invalidArgument, "the \(name) hook \"\(hook.path)\" must be an absolute path")
        }
        guard hook.timeout.map({ $0 > 0 }) ?? true else {
          throw Fault(
            .invalidArgument, "the \(name) hook \(hook.path) has the timeout \(hook.timeout ?? 0): give 1 s or more")
        }
      }
    }
  }

  /// Runs `hooks` one after the other; the first that fails, or takes longer than its timeout, ends it.
  ///
  /// - Parameters:
  ///   - environment: for hooks that bring none.
  static func run(
    _ hooks: [RuntimeSpec.Hook], _ name: String, state: [UInt8], environment: [String] = Hooks.ownEnvironment
  ) throws(Fault) {
    for hook in hooks {
      let (input, errors) = try step("give the \(name) hook \(hook.path) its input") { () throws(Errno) in
        let input = OwnedDescriptor(try check(cl_memfd_create("state", UInt32(CL_MFD_CLOEXEC))))
        try state.withUnsafeBufferPointer { bytes throws(Errno) in
          try Descriptors.writeAll(input.rawValue, UnsafeRawBufferPointer(bytes))
        }
        _ = lseek(input.rawValue, 0, SEEK_SET)
        return (input.take(), try check(cl_memfd_create("errors", UInt32(CL_MFD_CLOEXEC))))
      }
      defer {
        Descriptors.close(input)
        Descriptors.close(errors)
      }
      let process = try step("run the \(name) hook \(hook.path)") { () throws(Errno) in
        try SpawnRequest(
          .path(FilePath(hook.path)), arguments: hook.args ?? [hook.path], environment: hook.env ?? environment,
          descriptors: [input, nil, errors]
        ).spawn()
      }
      var events: UInt32 = 0
      let limit = hook.timeout.map { Int32(clamping: $0 * 1000) }
      let ended = try? Polling.wait(
        process.pidFD.descriptor.rawValue, for: .readable, milliseconds: limit, events: &events)
      if ended != true { try? process.pidFD.signal(SIGKILL) }
      let exit = (try? process.pidFD.wait()) ?? nil
      guard ended == true else {
        throw Fault(.deadlineExceeded, "the \(name) hook \(hook.path) took longer than its \(hook.timeout ?? 0) s")
      }
      guard exit == .exited(0) else {
        throw Fault(.internal, "the \(name) hook \(hook.path) failed with \(words(exit))", cause: said(errors))
      }
    }
  }

  /// The environment of this process, which hooks of the runtime get that bring none, as every runtime gives it.
  static var ownEnvironment: [String] { ProcFiles.ownEnvironment() }

  private static func words(_ exit: ProcessExit?) -> String {
    switch exit {
    case .exited(let code): "exit code \(code)"
    case .signalled(let signal, _): "signal \(signal)"
    case nil: "an unknown end"
    }
  }

  /// The beginning of what a hook wrote to its standard error.
  private static func said(_ errors: Int32) -> [String] {
    _ = lseek(errors, 0, SEEK_SET)
    var bytes = [UInt8](repeating: 0, count: 1024)
    let count = (try? bytes.withUnsafeMutableBytes { bytes throws(Errno) in try Descriptors.read(errors, into: bytes) })
    let text = String(decoding: bytes.prefix(count ?? 0), as: UTF8.self)
    let lines = text.split(separator: "\n").joined(separator: " ")
    return lines.isEmpty ? [] : [lines]
  }
}
