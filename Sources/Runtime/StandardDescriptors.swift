internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// Descriptors 0, 1 and 2 of a program, those that the caller passes on, the handshake after them, and nothing else.
enum StandardDescriptors {
  /// Puts everything in its place and closes all others. `channel` and `gate` become the first numbers after the program's.
  static func connect(
    _ io: ProcessIO, terminal: Int32?, passed: [Int32], channel: inout Int32, gate: inout Int32?
  ) throws(Fault) {
    let own = [channel] + (gate.map { [$0] } ?? [])
    switch io {
    case .terminal:
      guard let terminal else { throw Fault(.internal, "no terminal was made") }
      try place([terminal, terminal, terminal] + passed, own: own)
    case .descriptors(let input, let output, let error):
      try place([input, output, error] + passed, own: own)
    }
    channel = Int32(3 + passed.count)
    if gate != nil { gate = channel + 1 }
    do throws(Errno) {
      if terminal != nil { try Terminal.makeControlling(0) }
    } catch {
      throw Fault(.internal, "cannot make the terminal the controlling one", cause: [error.description])
    }
  }

  /// For an exec, before it joins a container whose processes may be allowed to look into it: the same, with `kept` after
  /// the handshake. Where a terminal comes later, 0 to 2 are the handshake until then. Changes `io` and `passed` to what
  /// `connect` needs afterwards.
  static func isolate(
    _ io: inout ProcessIO, passed: inout [Int32], channel: inout Int32, kept: inout Int32
  ) throws(Fault) {
    switch io {
    case .terminal:
      try place([channel, channel, channel] + passed, own: [channel, kept])
    case .descriptors(let input, let output, let error):
      try place([input, output, error] + passed, own: [channel, kept])
      io = .descriptors(input: 0, output: 1, error: 2)
    }
    channel = Int32(3 + passed.count)
    kept = channel + 1
    passed = (0..<Int32(passed.count)).map { 3 + $0 }
  }

  /// Makes `sources[i]` descriptor i, those of `own` the next ones, which exec closes, and closes every other one.
  private static func place(_ sources: [Int32], own: [Int32]) throws(Fault) {
    let all = sources + own
    do throws(Errno) {
      // Above all targets first, so that none is overwritten before it was used.
      var moved: [Int32] = []
      for source in all { moved.append(try check(cl_dup_from(source, Int32(all.count) + 8))) }
      for (target, source) in moved.enumerated() {
        if dup2(source, Int32(target)) < 0 { throw Errno(rawValue: errno) }
        if target >= sources.count { try Descriptors.setCloseOnExec(Int32(target), true) }
      }
      try Descriptors.closeAll(from: Int32(all.count))
    } catch {
      throw Fault(.internal, "cannot connect the process's input and output", cause: [error.description])
    }
  }
}
