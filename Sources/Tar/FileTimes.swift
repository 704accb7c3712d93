package import Glibc

/// Times for utimensat(2).
package enum FileTimes {
  /// Access and modification time, the same.
  package static func both(_ seconds: Int64, _ nanoseconds: Int64) -> [timespec] {
    let time = timespec(tv_sec: Int(seconds), tv_nsec: Int(min(max(nanoseconds, 0), 999_999_999)))
    return [time, time]
  }
}
