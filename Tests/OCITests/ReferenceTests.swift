import Faults
import OCI
import Testing

/// Docker's rules for image names (distribution/reference), as a table.
@Suite struct ReferenceTests {
  static let hex = String(repeating: "0123456789abcdef", count: 4)

  struct Good: Sendable {
    var text: String
    var domain: String
    var path: String
    var tag: String?
    var digest: String?
    var familiar: String
    init(_ text: String, _ domain: String, _ path: String, _ tag: String?, _ familiar: String, digest: String? = nil) {
      self.text = text
      self.domain = domain
      self.path = path
      self.tag = tag
      self.digest = digest
      self.familiar = familiar
    }
  }

  static let good: [Good] = [
    Good("busybox", "docker.io", "library/busybox", nil, "busybox"),
    Good("busybox:1.36", "docker.io", "library/busybox", "1.36", "busybox:1.36"),
    Good("library/busybox", "docker.io", "library/busybox", nil, "busybox"),
    Good("docker.io/busybox", "docker.io", "library/busybox", nil, "busybox"),
    Good("docker.io/library/busybox:latest", "docker.io", "library/busybox", "latest", "busybox:latest"),
    Good("index.docker.io/busybox", "docker.io", "library/busybox", nil, "busybox"),
    Good("gantry/busybox", "docker.io", "gantry/busybox", nil, "gantry/busybox"),
    Good("library/foo/bar", "docker.io", "library/foo/bar", nil, "library/foo/bar"),
    Good("a/b/c/d", "docker.io", "a/b/c/d", nil, "a/b/c/d"),
    Good("localhost/x", "localhost", "x", nil, "localhost/x"),
    Good("localhost:5000/x:y", "localhost:5000", "x", "y", "localhost:5000/x:y"),
    Good("a.b/c", "a.b", "c", nil, "a.b/c"),
    Good("quay.io/org/app:v1", "quay.io", "org/app", "v1", "quay.io/org/app:v1"),
    Good("test:5000/repo", "test:5000", "repo", nil, "test:5000/repo"),
    Good("Upper/repo", "Upper", "repo", nil, "Upper/repo"),
    Good("[2001:db8::1]:5000/repo:tag", "[2001:db8::1]:5000", "repo", "tag", "[2001:db8::1]:5000/repo:tag"),
    Good("[::1]/repo", "[::1]", "repo", nil, "[::1]/repo"),
    Good("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com", "myimage", "xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com"),
    Good("a__b/c---d/e.f_g", "docker.io", "a__b/c---d/e.f_g", nil, "a__b/c---d/e.f_g"),
    Good("busybox:_tag.With-Upper", "docker.io", "library/busybox", "_tag.With-Upper", "busybox:_tag.With-Upper"),
    Good(
      "busybox@sha256:\(hex)", "docker.io", "library/busybox", nil, "busybox@sha256:\(hex)", digest: "sha256:\(hex)"),
    Good("h:1/a:t@sha256:\(hex)", "h:1", "a", "t", "h:1/a:t@sha256:\(hex)", digest: "sha256:\(hex)"),
    Good("\(hex)a", "docker.io", "library/\(hex)a", nil, "\(hex)a"),
  ]

  @Test(arguments: good) func normalises(_ name: Good) throws {
    let reference = try Reference(parsing: name.text)
    #expect(reference.domain == name.domain)
    #expect(reference.path == name.path)
    #expect(reference.tag == name.tag)
    #expect(reference.digest?.rawValue == name.digest)
    #expect(reference.familiar == name.familiar)
    // The canonical and the familiar forms mean the same.
    #expect(try Reference(parsing: reference.canonical) == reference)
    #expect(try Reference(parsing: reference.familiar) == reference)
  }

  static let bad: [(text: String, words: String)] = [
    ("", "invalid reference format"),
    ("Busybox", "must be lowercase"),
    ("gantry/Busybox", "must be lowercase"),
    ("localhost/Upper", "must be lowercase"),
    ("foo_bar.com:8080/x", "invalid reference format"),
    ("aa/asdf$$^/aa", "invalid reference format"),
    ("-foo/bar", "invalid reference format"),
    ("foo/-bar", "invalid reference format"),
    ("foo-/bar", "invalid reference format"),
    ("foo//bar", "invalid reference format"),
    ("/foo", "invalid reference format"),
    ("foo/", "invalid reference format"),
    ("foo..bar", "invalid reference format"),
    ("foo.__bar", "invalid reference format"),
    ("foo___bar", "invalid reference format"),
    ("_foo", "invalid reference format"),
    ("foo_", "invalid reference format"),
    ("a:", "invalid reference format"),
    (":a", "invalid reference format"),
    ("a:b:c", "invalid reference format"),
    ("a:-tag", "invalid reference format"),
    ("a:.tag", "invalid reference format"),
    ("a b", "invalid reference format"),
    ("a\nb", "invalid reference format"),
    ("é", "invalid reference format"),
    ("../x", "invalid reference format"),
    ("a/../x", "invalid reference format"),
    ("a@sha256:../x", "invalid reference format"),
    ("a@sha256:" + String(repeating: "a", count: 63), "invalid reference format"),
    ("a@sha256:" + String(repeating: "A", count: 64), "invalid reference format"),
    ("a@md5:" + String(repeating: "a", count: 32), "invalid reference format"),
    ("a@", "invalid reference format"),
    ("@sha256:\(hex)", "invalid reference format"),
    (hex, "cannot specify 64-byte hexadecimal strings"),
    ("[fe80::1%eth0]/x", "invalid reference format"),
    ("[::1/x", "invalid reference format"),
    ("a.b:port/x", "invalid reference format"),
    ("a.b:/x", "invalid reference format"),
    ("a:" + String(repeating: "t", count: 129), "invalid reference format"),
    (String(repeating: "a", count: 2000), "invalid reference format"),
  ]

  @Test(arguments: bad) func refuses(_ text: String, _ words: String) {
    let fault = #expect(throws: Fault.self) { try Reference(parsing: text) }
    #expect(fault?.code == .invalidArgument)
    #expect(fault?.message.contains(words) == true, "\(fault?.message ?? "")")
    #expect((fault?.message.utf8.count ?? 0) < 700)
    #expect(fault?.message.contains("\n") == false)
  }

  @Test func pathsHave255BytesAtMost() throws {
    let longest = String(repeating: "a", count: 255 - "library/".count)
    #expect(try Reference(parsing: longest).path.utf8.count == 255)
    let fault = #expect(throws: Fault.self) { try Reference(parsing: longest + "a") }
    #expect(fault?.message.contains("must not be more than 255 characters") == true)
    // The host does not count.
    #expect(try Reference(parsing: "a.b/" + String(repeating: "a", count: 255)).path.utf8.count == 255)
  }

  @Test func tagsHave128BytesAtMost() throws {
    #expect(try Reference(parsing: "a:" + String(repeating: "t", count: 128)).tag?.count == 128)
    #expect(throws: Fault.self) { try Reference(parsing: "a").withTag("bad tag") }
  }

  @Test func defaultTagIsAddedOnlyToBareNames() throws {
    #expect(try Reference(parsing: "busybox").withDefaultTag.familiar == "busybox:latest")
    #expect(try Reference(parsing: "busybox:1").withDefaultTag.familiar == "busybox:1")
    let digest = "busybox@sha256:\(Self.hex)"
    #expect(try Reference(parsing: digest).withDefaultTag.familiar == digest)
  }
}
