import Glibc
import Linux
import Synchronization
import SystemPackage
import Testing

/// Rights are a thread's: each test gives up those of a thread of its own, and the process keeps what it had.
@Suite struct PrivilegesTests {
  /// Runs `body` on a thread that ends afterwards.
  private func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) throws -> Value {
    let result = Mutex<Value?>(nil)
    let box = Box(result)
    guard let thread = WorkThread({ box.value.withLock { $0 = body() } }) else {
      throw Errno.resourceTemporarilyUnavailable
    }
    thread.join()
    return try #require(box.value.withLock { $0 })
  }

  private final class Box<Value: Sendable>: Sendable {
    let value: Mutex<Value?>
    init(_ value: consuming Mutex<Value?>) { self.value = value }
  }

  @Test(.enabled(if: geteuid() == 0, "needs root: gives up root's capabilities"))
  func capabilitiesAreDropped() throws {
    let before = Capabilities.effective
    let (effective, permitted, bounding, privileges) = try onThread {
      try? Privileges.dropCapabilities(keeping: CapabilitySet(names: ["DAC_READ_SEARCH"]) ?? [])
      return (
        Capabilities.effective.names, Capabilities.permitted.names, Capabilities.bounding.names,
        prctlNoNewPrivileges()
      )
    }
    #expect(effective == ["CAP_DAC_READ_SEARCH"])
    #expect(permitted == ["CAP_DAC_READ_SEARCH"])
    #expect(bounding == ["CAP_DAC_READ_SEARCH"])
    #expect(privileges)
    #expect(Capabilities.effective == before, "other threads keep theirs")
  }

  @Test(.enabled(if: geteuid() == 0, "needs root: becomes another user"))
  func anotherUserHasNoCapabilities() throws {
    let (uid, gid, names) = try onThread { () -> (UInt32, UInt32, [String]) in
      try? Privileges.become(uid: 65_534, gid: 65_534)
      return (geteuid(), getegid(), Capabilities.permitted.names)
    }
    #expect(uid == 65_534 && gid == 65_534)
    #expect(names.isEmpty)
    #expect(geteuid() == 0)
  }

  @Test(.enabled(if: Landlock.version >= 2, "needs a kernel with Landlock version 2 (5.19)"))
  func filesChangeOnlyBeneathTheFolders() throws {
    var template = Array("/tmp/gantry-landlock-XXXXXX".utf8CString)
    mkdtemp(&template)
    let folder = FilePath(platformString: template)
    for name in ["open", "open/a", "open/b", "closed"] { mkdir(folder.appending(name).string, 0o700) }
    defer { RemovedTree(folder).remove() }
    let path = folder.string
    let results = try onThread { () -> [String: Int32] in
      try? Privileges.setNoNewPrivileges()
      guard (try? Landlock.allowWriting(onlyBeneath: [FilePath(path + "/open")])) == true else { return [:] }
      func attempt(_ result: Int32) -> Int32 { result < 0 ? errno : 0 }
      func create(_ name: String) -> Int32 {
        let file = open(path + name, O_CREAT | O_WRONLY, 0o600)
        defer { close(file) }
        return attempt(file)
      }
      return [
        "create inside": create("/open/a/x"),
        "rename inside": attempt(rename(path + "/open/a/x", path + "/open/b/x")),
        "remove inside": attempt(unlink(path + "/open/b/x")),
        "create outside": create("/closed/x"),
        "truncate outside": attempt(truncate(path + "/closed", 0)),
        "remove outside": attempt(rmdir(path + "/closed")),
        "read outside": attempt(open("/etc/passwd", O_RDONLY)),
      ]
    }
    #expect(results["create inside"] == 0)
    #expect(results["rename inside"] == 0)
    #expect(results["remove inside"] == 0)
    #expect(results["create outside"] == EACCES)
    #expect(results["remove outside"] == EACCES)
    #expect(results["read outside"] == 0)
  }

  @Test func accountsOfTheMachine() {
    #expect(UserAccount(named: "root")?.uid == 0)
    #expect(UserAccount(named: "0")?.gid == 0)
    #expect(UserAccount(named: "no such user") == nil)
  }
}

/// PR_GET_NO_NEW_PRIVS of the calling thread, as /proc shows it.
private func prctlNoNewPrivileges() -> Bool {
  (try? Files.readText("/proc/thread-self/status"))?.contains("NoNewPrivs:\t1") == true
}

/// A folder of a test.
private struct RemovedTree {
  let path: FilePath
  init(_ path: FilePath) { self.path = path }
  func remove() {
    for name in ["open/a/x", "open/b/x", "closed/x"] { unlink(path.appending(name).string) }
    for name in ["open/a", "open/b", "open", "closed", "."] { rmdir(path.appending(name).string) }
    rmdir(path.string)
  }
}
