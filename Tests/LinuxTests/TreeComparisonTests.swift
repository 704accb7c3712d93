import Foundation
import Linux
import SystemPackage
import Testing

@Suite struct TreeComparisonTests {
  /// Makes two equal trees, lets `change` work on the second in a shell, and compares.
  private func difference(_ change: String, passingOver: Set<[UInt8]> = []) throws -> String? {
    let folder = FileManager.default.temporaryDirectory.appending(path: "tree-\(UInt64.random(in: 0 ... .max))").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let process = Process()
    process.executableURL = URL(filePath: "/bin/sh")
    process.arguments = [
      "-euc",
      """
      mkdir -p \(folder)/a/deep/er && cd \(folder)/a
      printf hello >deep/er/file; ln -s deep link; mkfifo pipe; head -c 700000 /dev/zero >large
      cp -a \(folder)/a \(folder)/b && cd \(folder)/b
      \(change)
      """,
    ]
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    let left = try openat2(nil, folder + "/a", [.readOnly, .directory])
    let right = try openat2(nil, folder + "/b", [.readOnly, .directory])
    let comparison = try TreeComparison(left.rawValue, right.rawValue, passingOver: passingOver)
    if comparison.difference == nil { #expect(comparison.files == 6) }
    return comparison.difference
  }

  @Test(arguments: [
    ("printf hellO >deep/er/file", "deep/er/file has another content"),
    ("printf longer >>deep/er/file", "deep/er/file has 11 bytes instead of 5"),
    ("printf x | dd of=large bs=1 seek=699999 conv=notrunc status=none", "large has another content"),
    ("rm -r deep", "deep is missing"), ("rm link; ln -s else link", "link leads elsewhere"),
    ("chmod 600 large", "large has another mode or owner"), ("rm pipe; touch pipe", "pipe is of another kind"),
    ("touch deep/more", "deep/more is there and should not be"),
  ])
  func whatDiffersIsNamed(_ change: String, _ words: String) throws {
    #expect(try difference(change) == words)
  }

  @Test func equalTreesAreEqual() throws {
    #expect(try difference("touch -d '2000-01-01' deep/er/file") == nil)
    #expect(try difference("touch deep/more", passingOver: [Array("deep/more".utf8)]) == nil)
  }
}
