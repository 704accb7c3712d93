public import Foundation
public import SystemPackage
import Testing

/// A process of a test's own that ends with it.
public final class TestProcess: Sendable {
  private let process: Process

  /// The process's number, to be killed by.
  public var pid: Int32 { process.processIdentifier }

  /// Starts `words`; its output goes to `log`, or comes back from `firstLine`.
  public init(_ words: [String], log: FilePath? = nil, output: Pipe? = nil) throws {
    process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = words
    process.standardInput = FileHandle.nullDevice
    if let log {
      FileManager.default.createFile(atPath: log.string, contents: nil)
      let file = try #require(FileHandle(forWritingAtPath: log.string))
      process.standardOutput = output ?? file
      process.standardError = file
    } else {
      process.standardOutput = output ?? FileHandle.nullDevice
      process.standardError = FileHandle.nullDevice
    }
    try process.run()
  }

  /// Kills it and waits for its end.
  public func stop() {
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
  }
}

/// Debian's docker-registry on a loopback port of its own, with an empty store in a temporary folder.
public final class TestRegistry: Sendable {
  /// Who may come in.
  public enum Access: Sendable {
    case everybody
    /// `user` with `password`, by basic authentication.
    case basic
    /// The same by tokens of `Tests/TestSupport/token-server`, good for so many seconds; `public/*` may be read by all.
    case token(seconds: Int = 60)
  }

  public static let user = "alice"
  public static let password = "open-sesame"

  /// `127.0.0.1:PORT`, which begins the names of its images.
  public let host: String
  public let folder: FilePath
  /// The certificate of its authority, when it speaks TLS.
  public let authority: FilePath?
  private let port: Int
  private let processes: [TestProcess]

  /// Starts one. `tls` gives it a certificate that only `authority` vouches for; with `clients` it also wants one of
  /// that authority from everybody (`client.crt` and `client.key` in its folder).
  public static func start(
    _ access: Access = .everybody, tls: Bool = false, clients: Bool = false
  ) async throws -> TestRegistry {
    let folder = try Scratch.folder("registry")
    let port = try FreePort.next()
    var authority: FilePath?
    var http = "http:\n  addr: \"127.0.0.1:\(port)\"\n"
    if tls {
      authority = try await Certificates.make(in: folder)
      http += "  tls:\n    certificate: \(folder)/server.crt\n    key: \(folder)/server.key\n"
      if clients { http += "    clientcas: [\(folder)/ca.crt]\n" }
    }
    var processes: [TestProcess] = []
    var auth = ""
    switch access {
    case .everybody: break
    case .basic:
      let hash = try await Command.run([
        "/usr/bin/python3", "-W", "ignore", "-c",
        "import crypt; print(crypt.crypt('\(password)', crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))",
      ]).trimmed
      try "\(user):\(hash)\n".write(toFile: folder.appending("htpasswd").string, atomically: true, encoding: .utf8)
      auth = "auth:\n  htpasswd:\n    realm: test\n    path: \(folder)/htpasswd\n"
    case .token(let seconds):
      if authority == nil { _ = try await Certificates.make(in: folder) }
      let tokenPort = try FreePort.next()
      processes.append(
        try TestProcess(
          [
            TestEngine.repository.appending("Tests/TestSupport/token-server").string, "\(tokenPort)",
            "\(folder)/server.crt", "\(folder)/server.key", user, password, "\(folder)/tokens", "\(seconds)",
          ], log: folder.appending("token-log")))
      auth = """
        auth:
          token:
            realm: http://127.0.0.1:\(tokenPort)/token
            service: test-registry
            issuer: test
            rootcertbundle: \(folder)/ca.crt

        """
      try await FreePort.wait(tokenPort)
    }
    let configuration = """
      version: 0.1
      log: {level: info}
      storage: {filesystem: {rootdirectory: \(folder)/data}, delete: {enabled: true}}
      \(http)\(auth)
      """
    try configuration.write(toFile: folder.appending("config.yml").string, atomically: true, encoding: .utf8)
    processes.append(
      try TestProcess(
        ["docker-registry", "serve", folder.appending("config.yml").string], log: folder.appending("log")))
    try await FreePort.wait(port)
    return TestRegistry(folder, port, authority, processes)
  }

  private init(_ folder: FilePath, _ port: Int, _ authority: FilePath?, _ processes: [TestProcess]) {
    self.folder = folder
    self.port = port
    self.authority = authority
    self.processes = processes
    host = "127.0.0.1:\(port)"
  }

  /// Puts an image (a docker-archive, `gantry/busybox` by default) under `name` with skopeo.
  public func put(
    _ name: String, archive: FilePath? = nil, reference: String = "gantry/busybox:latest", format: String? = nil,
    credentials: String? = nil
  ) async throws {
    let source: FilePath
    if let archive { source = archive } else { source = try await TestImage.busybox() }
    try await Command.run(
      ["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false"]
        + (format.map { ["--format", $0] } ?? []) + (credentials.map { ["--dest-creds", $0] } ?? [])
        + ["docker-archive:\(source):\(reference)", "docker://\(host)/\(name)"], seconds: 120)
  }

  /// The requests that it has served: the lines of its log that have `text`.
  public func requests(_ text: String) throws -> [Substring] {
    let log = try String(contentsOfFile: folder.appending("log").string, encoding: .utf8)
    return log.split(separator: "\n").filter { $0.contains("HTTP/1.1\"") && $0.contains(text) }
  }

  /// The requests to the token service: method, who, scopes.
  public func tokenRequests() -> [Substring] {
    let log = (try? String(contentsOfFile: folder.appending("tokens").string, encoding: .utf8)) ?? ""
    return log.split(separator: "\n")
  }

  /// Ends it and deletes its folder.
  public func stop() throws {
    for process in processes { process.stop() }
    try FileManager.default.removeItem(atPath: folder.string)
  }
}

/// `Tests/TestSupport/fake-registry`: a registry that lies, told how by the name of the repository.
public final class FakeRegistry: Sendable {
  public let host: String
  public let folder: FilePath
  /// The certificate of its authority, when it speaks TLS.
  public let authority: FilePath?
  private let process: TestProcess

  /// What its image is made of.
  public struct Facts: Decodable, Sendable {
    /// The digest of the only layer's blob.
    public var layer: String
    public var size: Int64
    public var diffID: String
  }

  /// Starts one whose layer has about `size` bytes.
  public static func start(size: Int = 300_000, tls: Bool = false) async throws -> FakeRegistry {
    let folder = try Scratch.folder("fake")
    try "\(size)".write(toFile: folder.appending("size").string, atomically: true, encoding: .utf8)
    var words = [TestEngine.repository.appending("Tests/TestSupport/fake-registry").string, folder.string]
    var authority: FilePath?
    if tls {
      authority = try await Certificates.make(in: folder)
      words += ["\(folder)/server.crt", "\(folder)/server.key"]
    }
    let output = Pipe()
    let process = try TestProcess(words, log: folder.appending("errors"), output: output)
    let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
    let port = try #require(Int(line.trimmingWhitespace()), "the fake registry did not start")
    return FakeRegistry(folder, port, authority, process)
  }

  private init(_ folder: FilePath, _ port: Int, _ authority: FilePath?, _ process: TestProcess) {
    self.folder = folder
    self.authority = authority
    self.process = process
    host = "127.0.0.1:\(port)"
  }

  /// Sets what a lie needs: `foreign-url`, `elsewhere`, `realm`, `rate`.
  public func set(_ name: String, _ value: String) throws {
    try value.write(toFile: folder.appending(name).string, atomically: true, encoding: .utf8)
  }

  public func facts() throws -> Facts {
    try JSONDecoder().decode(
      Facts.self, from: Data(contentsOf: URL(fileURLWithPath: folder.appending("facts").string)))
  }

  /// The requests so far: method, path, Authorization or `-`, Range or `-`.
  public func requests(_ text: String = "") -> [Substring] {
    let log = (try? String(contentsOfFile: folder.appending("log").string, encoding: .utf8)) ?? ""
    return log.split(separator: "\n").filter { text.isEmpty || $0.contains(text) }
  }

  public func stop() throws {
    process.stop()
    try FileManager.default.removeItem(atPath: folder.string)
  }
}

/// Temporary folders.
enum Scratch {
  static func folder(_ name: String) throws -> FilePath {
    var template = Array("\(NSTemporaryDirectory())gantry-\(name)-XXXXXX".utf8CString)
    return FilePath(try #require(mkdtemp(&template).map { String(cString: $0) }, "mkdtemp: \(errno)"))
  }
}

/// Loopback ports that nobody uses.
public enum FreePort {
  /// One that the kernel has just given out.
  public static func next() throws -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    return try withUnsafeMutablePointer(to: &address) { pointer in
      try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        guard bind(descriptor, address, length) == 0, getsockname(descriptor, address, &length) == 0 else {
          throw Errno(rawValue: errno)
        }
      }
      return Int(UInt16(bigEndian: pointer.pointee.sin_port))
    }
  }

  /// Waits until somebody listens.
  public static func wait(_ port: Int) async throws {
    let end = ContinuousClock.now + .seconds(20)
    while !isOpen(port) {
      guard ContinuousClock.now < end else { throw NeverHappened(what: "somebody listens on port \(port)") }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  private static func isOpen(_ port: Int) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    address.sin_port = UInt16(port).bigEndian
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }
}

/// Certificates for 127.0.0.1 and localhost, made with openssl.
public enum Certificates {
  /// Writes `ca.crt`, `server.crt` and `server.key`, and for clients `client.crt` and `client.key`, into `folder`; returns
  /// the authority's certificate.
  public static func make(in folder: FilePath) async throws -> FilePath {
    _ = try await Command.shell(
      """
      cd '\(folder)'
      openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-authority -keyout ca.key -out ca.crt 2>/dev/null
      for name in server client; do
        openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name.key -out $name.csr 2>/dev/null
        printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\\n' >ext
        openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $name.crt 2>/dev/null
      done
      """)
    return folder.appending("ca.crt")
  }
}
