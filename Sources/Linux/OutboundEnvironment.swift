internal import Glibc

/// The variables that programs need which talk to servers outside: proxies, certificates, credentials of clouds.
public enum OutboundEnvironment {
  private static let prefixes = [
    "AWS_", "GOOGLE_", "GCE_METADATA_", "CLOUDSDK_", "HOME=", "HTTP_PROXY=", "HTTPS_PROXY=", "NO_PROXY=", "http_proxy=",
    "https_proxy=", "no_proxy=", "SSL_CERT_",
  ]

  /// Those of this process, each as `NAME=VALUE`.
  public static var entries: [String] {
    var found: [String] = []
    var next = environ
    while let entry = next.pointee {
      let text = String(cString: entry)
      if prefixes.contains(where: text.hasPrefix) { found.append(text) }
      next += 1
    }
    return found
  }
}
