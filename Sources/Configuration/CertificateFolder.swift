internal import Linux
internal import SystemPackage

/// A folder of certificates for one registry, as Docker lays it out: `*.crt` are authorities, `NAME.cert` with `NAME.key`
/// is a certificate of ours.
struct CertificateFolder {
  var authorities: [String] = []
  var clientCertificates: [RegistryPlace.ClientCertificate] = []

  /// The names that the folder of a registry may have: containerd also writes `HOST_PORT_`.
  static func names(of domain: String) -> [String] {
    // The domain of an image's name has no slash; it is a folder's name here.
    guard !domain.isEmpty, !domain.contains("/"), domain != ".", domain != ".." else { return [] }
    guard let colon = domain.lastIndex(of: ":"), !domain.hasSuffix("]") else { return [domain] }
    return [domain, "\(domain[..<colon])_\(domain[domain.index(after: colon)...])_"]
  }

  /// The first folder of `domain` beneath one of `folders` that holds certificates; an empty one when there is none.
  static func first(for domain: String, in folders: [FilePath]) -> CertificateFolder {
    for folder in folders {
      for name in names(of: domain) {
        let found = CertificateFolder(folder.appending(name))
        if !found.authorities.isEmpty || !found.clientCertificates.isEmpty { return found }
      }
    }
    return CertificateFolder()
  }

  init() {}

  private init(_ folder: FilePath) {
    let names = Set((try? Files.list(folder.string)) ?? [])
    for name in names.sorted() {
      if name.hasSuffix(".crt") { authorities.append(folder.appending(name).string) }
      if name.hasSuffix(".cert") {
        let key = name.dropLast(5) + ".key"
        clientCertificates.append(
          .init(
            certificate: folder.appending(name).string,
            key: names.contains(String(key)) ? folder.appending(String(key)).string : nil))
      }
    }
  }
}
