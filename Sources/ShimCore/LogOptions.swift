/// Where and how a container's output is kept.
struct LogOptions: Codable {
  /// 10 MB, as quickstarts of log-eating disks have taught.
  static let defaultMaxSize: Int64 = 10_000_000
  static let defaultMaxFiles: Int64 = 3
  var path: String
  var maxSize: Int64?
  var maxFiles: Int64?
  var attributes: String
}
