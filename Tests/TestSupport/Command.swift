internal import CLinux
internal import Dispatch
internal import Glibc
public import Subprocess
public import SystemPackage

/// What a program printed and how it ended.
public struct Output: Sendable, CustomStringConvertible {
  /// The exit code, or 128 and the signal's number.
  public var status: Int32
  /// Everything written to standard output.
  public var stdout: String
  /// Everything written to standard error.
  public var stderr: String

  /// Standard output without the white space around it.
  public var trimmed: String { stdout.trimmingWhitespace() }
  /// The lines of standard output, without an empty last one.
  public var lines: [Substring] { stdout.split(separator: "\n") }
  /// For a failed expectation: all three.
  public var description: String { "status \(status)\nstdout: \(stdout)\nstderr: \(stderr)" }
}

/// A command that did not end as the test said it must.
public struct UnexpectedEnd: Error, CustomStringConvertible {
  /// The words of the command.
  public var command: [String]
  /// What it did instead.
  public var output: Output
  public var description: String { "`\(command.joined(separator: " "))` ended with \(output)" }
}

/// Runs programs, each bounded in time, so that a hang is a failed test and not a stuck run.
public enum Command {
  /// Runs `words` (the first is looked up on the path) with `input` on its standard input and `environment` added.
  ///
  /// - Parameters:
  ///   - expecting: the exit code that is right; nil takes any.
  ///   - seconds: after so long the program is killed, and the status is 137.
  public static func run(
    _ words: [String], input: String = "", environment: [String: String] = [:], expecting: Int32? = 0, seconds: Int = 60
  ) async throws -> Output {
    let bounded = ["--foreground", "--kill-after=2", "--signal=KILL", "\(seconds)"] + words
    let added = Dictionary(uniqueKeysWithValues: environment.map { (Environment.Key(stringLiteral: $0.key), $0.value) })
    let result = try await Subprocess.run(
      .path("/usr/bin/timeout"), arguments: Arguments(bounded),
      environment: .inherit.updating(added.mapValues { Optional($0) }),
      input: .fileDescriptor(try feed(input), closeAfterSpawningProcess: true), output: .string(limit: 64 << 20),
      error: .string(limit: 64 << 20))
    let status: Int32
    switch result.terminationStatus {
    case .exited(let code): status = Int32(code)
    case .signaled(let signal): status = 128 + Int32(signal)
    }
    let output = Output(status: status, stdout: result.standardOutput ?? "", stderr: result.standardError ?? "")
    if let expecting, status != expecting { throw UnexpectedEnd(command: words, output: output) }
    return output
  }

  /// A pipe that `input` comes out of. A program that ends without reading it all ends nothing here.
  private static func feed(_ input: String) throws -> FileDescriptor {
    _ = ignoringBrokenPipes
    var ends: [Int32] = [0, 0]
    // Of its own accord: a program that starts beside this one must not keep the writing end open.
    let code = cl_pipe(&ends, O_CLOEXEC)
    guard code >= 0 else { throw Errno(rawValue: -code) }
    let (reading, writing) = (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
    DispatchQueue.global().async {
      _ = try? writing.writeAll(input.utf8)
      try? writing.close()
    }
    return reading
  }

  /// A handler that does nothing: ignoring the signal would be inherited by every program.
  private static let ignoringBrokenPipes: Void = { _ = signal(SIGPIPE) { _ in } }()

  /// Runs `script` with `/bin/sh -euc`.
  public static func shell(
    _ script: String, environment: [String: String] = [:], expecting: Int32? = 0, seconds: Int = 60
  ) async throws -> Output {
    try await run(["/bin/sh", "-euc", script], environment: environment, expecting: expecting, seconds: seconds)
  }
}

extension String {
  /// The string without white space at either end.
  public func trimmingWhitespace() -> String {
    var rest = self[...]
    while let first = rest.first, first.isWhitespace { rest.removeFirst() }
    while let last = rest.last, last.isWhitespace { rest.removeLast() }
    return String(rest)
  }
}
