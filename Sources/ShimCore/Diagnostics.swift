internal import Glibc

/// What the shim has to say to people: one line on standard error, which taskd's log receives.
enum Diagnostics {
  static func say(_ text: String) {
    let line = Array("gantry-shim: \(text)\n".utf8)
    _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
  }
}
