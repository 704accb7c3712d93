internal import Faults
internal import Glibc
internal import Linux
internal import Protocol
internal import ShimCore
internal import SystemPackage

extension TaskManager {
  /// gantry-logger for a log that needs it. Fails with `notFound` when it is not installed.
  func logger(for log: LogOptions?) throws(Fault) -> LoggerProgram? {
    guard let log, log.delivery != nil || log.compress == true else { return nil }
    guard access(loggerPath.string, X_OK) == 0 else {
      throw Fault(
        .notFound, "\(loggerPath) is missing: it compresses and delivers logs; install it beside gantry-shim")
    }
    return LoggerProgram(path: loggerPath.string, environment: log.delivery == nil ? [] : OutboundEnvironment.entries)
  }
}
