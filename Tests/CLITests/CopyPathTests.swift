import Foundation
import Testing

@testable import CLI

/// What `cp` makes of its two paths: Docker's rules.
@Suite struct CopyPathTests {
  @Test(arguments: [
    ("web:/etc", "web", "/etc"), ("./a:b", "", "./a:b"), ("/a:b", "", "/a:b"), ("a", "", "a"), ("-", "", "-"),
    ("web:rel:x", "web", "rel:x"),
  ])
  func sides(text: String, container: String, path: String) {
    let side = CopyPaths.Side(text)
    #expect(side.container == container && side.path == path)
  }

  private func plan(
    _ source: String, folder isFolder: Bool, to destination: String, exists: Bool = false,
    isDestinationFolder: Bool = false,
    rebase: String = ""
  ) throws -> String {
    let plan = try CopyPaths.plan(
      source: .init(path: source, exists: true, isFolder: isFolder, rebaseName: rebase),
      destination: .init(path: destination, exists: exists, isFolder: isDestinationFolder))
    return plan.folder + (plan.rename.map { " \($0.old)>\($0.new)" } ?? "")
  }

  @Test func whereThingsGo() throws {
    #expect(try plan("/a/f", folder: false, to: "/b", exists: true, isDestinationFolder: true) == "/b")
    #expect(try plan("/a/f", folder: false, to: "/b/g", exists: true) == "/b f>g")
    #expect(try plan("/a/f", folder: false, to: "/b/new") == "/b f>new")
    #expect(try plan("/a/d", folder: true, to: "/b/new") == "/b d>new")
    #expect(try plan("/a/d/.", folder: true, to: "/b/new") == "/b .>new")
    #expect(try plan("/a/d", folder: true, to: "/b/new/") == "/b d>new")
    #expect(try plan("/a/t", folder: false, to: "/b/new", rebase: "link") == "/b link>new")
    #expect(throws: CommandFailure("cannot copy directory")) {
      try plan("/a/d", folder: true, to: "/b/f", exists: true)
    }
    #expect(throws: CommandFailure("no such directory")) { try plan("/a/f", folder: false, to: "/b/new/") }
    #expect(throws: CommandFailure("no such directory")) { try plan("/a/f", folder: false, to: "/b/new/.") }
  }

  @Test(arguments: [
    ("d/x", "d", "e", "e/x"), ("d", "d", "e", "e"), ("dd/x", "d", "e", "dd/x"), ("./x", ".", "e", "e/x"),
    ("/bin/x", "/", "e", "e/bin/x"), ("d/", "d", "e", "e/"),
  ])
  func renamed(path: String, old: String, new: String, result: String) {
    #expect(CopyPaths.renamed(Array(path.utf8), old, new) == Array(result.utf8))
  }

  @Test(arguments: [
    ("/a/b", "/a", "b"), ("/a/b/", "/a", "b"), ("/a/b/.", "/a/b", "."), ("/", "/", "/"), ("a", ".", "a"),
    (".", ".", "."),
  ])
  func split(path: String, folder: String, base: String) {
    #expect(CopyPaths.split(path).folder == folder && CopyPaths.split(path).base == base)
  }

  @Test func aFollowedLinkKeepsItsName() {
    #expect(CopyPaths.rebased("/link", "/target") == ("/target", "link"))
    #expect(CopyPaths.rebased("/link/", "/target") == ("/target/", "link"))
    #expect(CopyPaths.rebased("/link/.", "/target") == ("/target/.", ""))
    #expect(CopyPaths.rebased("/same", "/there/same") == ("/there/same", ""))
  }

  @Test func destinationsFollowLinks() throws {
    let folder = "/tmp/gantry-copy-\(UInt64.random(in: 0 ... .max))"
    try FileManager.default.createDirectory(atPath: folder + "/d", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try FileManager.default.createSymbolicLink(atPath: folder + "/l", withDestinationPath: "d")
    try FileManager.default.createSymbolicLink(atPath: folder + "/broken", withDestinationPath: "new")
    try FileManager.default.createSymbolicLink(atPath: folder + "/loop", withDestinationPath: "loop")
    #expect(try LocalFiles.destination(folder + "/l") == .init(path: folder + "/d", exists: true, isFolder: true))
    #expect(try LocalFiles.destination(folder + "/broken") == .init(path: folder + "/new"))
    #expect(throws: CommandFailure.self) { try LocalFiles.destination(folder + "/loop") }
    #expect(throws: CommandFailure.self) { try LocalFiles.destination(folder + "/no/where") }
    #expect(try LocalFiles.source(folder + "/l", followsLinks: false).isFolder == false)
    let followed = try LocalFiles.source(folder + "/l", followsLinks: true)
    #expect(followed.isFolder && followed.rebaseName == "l")
  }
}
