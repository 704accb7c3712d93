import Faults

/// The pids controller: how many processes and threads may exist at once.
enum Pids {
  /// Sets `limit`; 0 and below is unlimited.
  static func apply(limit: Int64, to folder: ControllerFolder) throws(Fault) {
    try folder.write("pids.max", limit > 0 ? String(limit) : "max")
  }
}
