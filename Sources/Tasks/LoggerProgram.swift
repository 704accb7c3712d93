internal import Faults
internal import Glibc
internal import Protocol
internal import ShimCore
internal import SystemPackage

extension TaskManager {
  /// What variables for log drivers begin with: credentials, and the way out of the machine.
  private static let forDelivery = [
    "AWS_", "GOOGLE_", "GCE_METADATA_", "CLOUDSDK_", "HOME=", "HTTP_PROXY=", "HTTPS_PROXY=", "NO_PROXY=", "http_proxy=",
    "https_proxy=", "no_proxy=", "SSL_CERT_",
  ]

  /// gantry-logger for a log that needs it. Fails with `notFound` when it is not installed.
  func logger(for log: LogOptions?) throws(Fault) -> LoggerProgram? {
    guard let log, log.delivery != nil || log.compress == true else { return nil }
    guard access(loggerPath.string, X_OK) == 0 else {
      throw Fault(
        .notFound, "\(loggerPath) is missing: it compresses and delivers logs; install it beside gantry-shim")
    }
    return LoggerProgram(path: loggerPath.string, environment: log.delivery == nil ? [] : Self.deliveryEnvironment)
  }

  private static var deliveryEnvironment: [String] {
    var found: [String] = []
    var next = environ
    while let entry = next.pointee {
      let text = String(cString: entry)
      if forDelivery.contains(where: text.hasPrefix) { found.append(text) }
      next += 1
    }
    return found
  }
}
