internal import CLinux
internal import Glibc
public import SystemPackage

/// What `/proc` tells about processes, read with bounds.
public enum ProcFiles {
  /// Memory of one process, in bytes.
  public struct Memory: Sendable, Equatable {
    /// Resident pages.
    public var resident: UInt64 = 0
    /// Resident pages, each shared one divided by its users.
    public var proportional: UInt64 = 0
    /// Pages that only this process has and has written.
    public var privateDirty: UInt64 = 0
    /// Pages that only this process has and has not written.
    public var privateClean: UInt64 = 0
    /// Swapped out.
    public var swap: UInt64 = 0
  }

  /// From `smaps_rollup`; needs the right to inspect the process.
  public static func memory(pid: Int32) throws(Errno) -> Memory {
    var memory = Memory()
    for line in try Files.readText("/proc/\(pid)/smaps_rollup", limit: 16384).split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 3, let value = UInt64(words[1]) else { continue }
      switch words[0] {
      case "Rss:": memory.resident = value * 1024
      case "Pss:": memory.proportional = value * 1024
      case "Private_Dirty:": memory.privateDirty = value * 1024
      case "Private_Clean:": memory.privateClean = value * 1024
      case "Swap:": memory.swap = value * 1024
      default: break
      }
    }
    return memory
  }

  /// When the process started, in clock ticks since boot: with the pid it names one process of this boot.
  public static func startTime(pid: Int32) throws(Errno) -> UInt64 {
    guard let fields = try statFields(pid: pid), fields.count > 19, let ticks = UInt64(fields[19]) else {
      throw Errno.ioError
    }
    return ticks
  }

  /// The state letter (`R`, `S`, `D`, `T`, `Z`, `X`).
  public static func state(pid: Int32) throws(Errno) -> Character {
    guard let fields = try statFields(pid: pid), let state = fields.first?.first else { throw Errno.ioError }
    return state
  }

  /// The parent's pid.
  public static func parent(pid: Int32) throws(Errno) -> Int32 {
    guard let fields = try statFields(pid: pid), fields.count > 1, let parent = Int32(fields[1]) else {
      throw Errno.ioError
    }
    return parent
  }

  /// The arguments as the process shows them.
  public static func arguments(pid: Int32) throws(Errno) -> [String] {
    let bytes = try Files.read("/proc/\(pid)/cmdline", limit: 1 << 20)
    return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The environment that this process was started with, `KEY=value` each.
  public static func ownEnvironment() -> [String] {
    let bytes = (try? Files.read("/proc/self/environ", limit: 4 << 20)) ?? []
    return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
  }

  /// How many threads this process has; 1 is what fork-like code in a child needs.
  public static func threadCount() -> Int { Int(cl_thread_count()) }

  /// The fields of `stat` after the name, which may itself contain anything: the last `)` ends it.
  private static func statFields(pid: Int32) throws(Errno) -> [Substring]? {
    let text = try Files.readText("/proc/\(pid)/stat", limit: 4096)
    guard let end = text.lastIndex(of: ")") else { return nil }
    return text[text.index(after: end)...].split(separator: " ")
  }
}
