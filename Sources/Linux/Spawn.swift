internal import CLinux
public import SystemPackage

/// Starting programs from a process that may have many threads: between clone and exec only async-signal-safe C runs.
public struct SpawnRequest: Sendable {
  /// What to run.
  public enum Program: Sendable {
    /// The executable at this path (no search in PATH).
    case path(FilePath)
    /// An open executable, such as a sealed memfd; the caller keeps it open until `spawn` returns.
    case descriptor(Int32)
  }

  /// What to run.
  public var program: Program
  /// All arguments, the name first.
  public var arguments: [String]
  /// `KEY=value` each; nothing is inherited.
  public var environment: [String]
  /// The child's descriptors 0, 1, 2, …; nil is /dev/null. All others are closed.
  public var descriptors: [Int32?]
  /// The folder to start in; nil keeps the caller's.
  public var workingDirectory: Int32?
  /// Whether the child leads a session of its own.
  public var newSession: Bool
  /// A signal for the child when the thread that spawned it ends; nil for none.
  public var deathSignal: Int32?
  /// The user and group to run as; nil keeps the caller's.
  public var user: (uid: UInt32, gid: UInt32)?

  /// A request with /dev/null as 0, and the caller's 1 and 2.
  public init(
    _ program: Program, arguments: [String], environment: [String] = [], descriptors: [Int32?] = [nil, 1, 2],
    workingDirectory: Int32? = nil, newSession: Bool = false, deathSignal: Int32? = nil,
    user: (uid: UInt32, gid: UInt32)? = nil
  ) {
    self.program = program
    self.arguments = arguments
    self.environment = environment
    self.descriptors = descriptors
    self.workingDirectory = workingDirectory
    self.newSession = newSession
    self.deathSignal = deathSignal
    self.user = user
  }

  /// Starts the program. Errors of exec are thrown here, and then no child is left.
  public func spawn() throws(Errno) -> SpawnedProcess {
    let argv = CStrings(arguments)
    let envp = CStrings(environment)
    let numbers = descriptors.map { $0 ?? -1 }
    var pidfd: Int32 = -1
    var path: CStrings?
    var executable: Int32 = -1
    switch program {
    case .path(let file): path = CStrings([file.string])
    case .descriptor(let descriptor): executable = descriptor
    }
    let pid = numbers.withUnsafeBufferPointer { numbers in
      var what = cl_spawn()
      what.path = path?.pointers[0].map { UnsafePointer($0) }
      what.executable_fd = executable
      what.argv = UnsafePointer(argv.pointers)
      what.envp = UnsafePointer(envp.pointers)
      what.descriptors = numbers.baseAddress
      what.descriptor_count = Int32(numbers.count)
      what.working_directory_fd = workingDirectory ?? -1
      what.new_session = newSession ? 1 : 0
      what.death_signal = deathSignal ?? 0
      what.uid = user.map { Int64($0.uid) } ?? -1
      what.gid = user.map { Int64($0.gid) } ?? -1
      return cl_spawn(&what, &pidfd)
    }
    try check(pid)
    return SpawnedProcess(pid: pid, pidFD: PidFD(OwnedDescriptor(pidfd)))
  }
}

/// A child that was started.
@frozen public struct SpawnedProcess: ~Copyable, Sendable {
  /// Its pid.
  public let pid: Int32
  /// Its descriptor, readable when it has ended.
  public let pidFD: PidFD

  init(pid: Int32, pidFD: consuming PidFD) {
    self.pid = pid
    self.pidFD = pidFD
  }

  /// The descriptor alone, owned by the caller.
  public consuming func takePidFD() -> PidFD { pidFD }
}

/// Strings as a null-terminated array of C strings, freed with this object.
public final class CStrings {
  /// What `execve` takes.
  public let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let storage: UnsafeMutablePointer<CChar>

  /// Copies `strings` into one block. A string ends at its first NUL byte.
  public init(_ strings: [String]) {
    let size = strings.reduce(0) { $0 + $1.utf8.count + 1 }
    storage = .allocate(capacity: max(size, 1))
    pointers = .allocate(capacity: strings.count + 1)
    var next = storage
    for (index, string) in strings.enumerated() {
      pointers[index] = next
      for byte in string.utf8 {
        next.pointee = CChar(bitPattern: byte)
        next += 1
      }
      next.pointee = 0
      next += 1
    }
    pointers[strings.count] = nil
  }

  deinit {
    storage.deallocate()
    pointers.deallocate()
  }
}
