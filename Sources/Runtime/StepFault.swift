internal import Faults
internal import Linux
internal import SystemPackage

/// Runs one step and gives its error words: what was to be done, and what the kernel said.
@inline(__always) @discardableResult
func step<T: ~Copyable>(
  _ what: @autoclosure () -> String, code: FaultCode = .internal, _ body: () throws(Errno) -> T
) throws(Fault) -> T {
  do throws(Errno) {
    return try body()
  } catch {
    throw Fault(faultCode(for: error, otherwise: code), "cannot \(what())", cause: [error.description])
  }
}

/// A kernel's refusal as the code that lets the caller act on it.
func faultCode(for error: Errno, otherwise: FaultCode) -> FaultCode {
  switch error {
  case .noSpace, .init(rawValue: 122 /* EDQUOT */): .noSpace
  case .readOnlyFileSystem: .readOnly
  default: otherwise
  }
}
