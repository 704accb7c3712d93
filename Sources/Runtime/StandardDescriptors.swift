internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// Descriptors 0, 1 and 2 of a program, the handshake as 3, and nothing else.
enum StandardDescriptors {
  /// Puts everything in its place and closes all others. `channel` becomes 3.
  static func connect(_ io: ProcessIO, terminal: Int32?, channel: inout Int32) throws(Fault) {
    switch io {
    case .terminal:
      guard let terminal else { throw Fault(.internal, "no terminal was made") }
      try place([terminal, terminal, terminal, channel])
    case .descriptors(let input, let output, let error):
      try place([input, output, error, channel])
    }
    channel = 3
    do throws(Errno) {
      if terminal != nil { try Terminal.makeControlling(0) }
    } catch {
      throw Fault(.internal, "cannot make the terminal the controlling one", cause: [error.description])
    }
  }

  /// For an exec, before it joins a container whose processes may be allowed to look into it: the same, with `kept` as 4.
  /// Where a terminal comes later, 0 to 2 are the handshake until then. Returns what `connect` needs afterwards.
  static func isolate(_ io: ProcessIO, channel: inout Int32, kept: inout Int32) throws(Fault) -> ProcessIO {
    switch io {
    case .terminal: try place([channel, channel, channel, channel, kept])
    case .descriptors(let input, let output, let error): try place([input, output, error, channel, kept])
    }
    channel = 3
    kept = 4
    if case .terminal = io { return .terminal }
    return .descriptors(input: 0, output: 1, error: 2)
  }

  /// Makes `sources[i]` descriptor i and closes every other one. Those from 3 on are closed by exec.
  private static func place(_ sources: [Int32]) throws(Fault) {
    do throws(Errno) {
      // Above all targets first, so that none is overwritten before it was used.
      var moved: [Int32] = []
      for source in sources { moved.append(try check(cl_dup_from(source, 10))) }
      for (target, source) in moved.enumerated() {
        if dup2(source, Int32(target)) < 0 { throw Errno(rawValue: errno) }
        if target > 2 { try Descriptors.setCloseOnExec(Int32(target), true) }
      }
      try Descriptors.closeAll(from: Int32(sources.count))
    } catch {
      throw Fault(.internal, "cannot connect the process's input and output", cause: [error.description])
    }
  }
}
