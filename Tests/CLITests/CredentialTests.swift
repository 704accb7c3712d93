import Foundation
import Linux
import SystemPackage
import Testing

@testable import CLI

/// Where credentials are kept.
@Suite struct CredentialTests {
  private let folder = FileManager.default.temporaryDirectory.appending(path: "credentials-\(UUID())").path

  init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

  private func write(_ text: String) throws {
    try text.write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
  }
  private func text() throws -> String { try String(contentsOfFile: folder + "/config.json", encoding: .utf8) }
  private func credentials(_ server: String, _ name: String, _ password: String) -> RegistryCredentials {
    var found = RegistryCredentials(server: server)
    found.username = name
    found.password = password
    return found
  }

  @Test func serversHaveOneKey() {
    for hub in [nil, "", "docker.io", "index.docker.io", "https://index.docker.io/v1/"] {
      #expect(RegistryServer.key(hub) == "https://index.docker.io/v1/")
    }
    #expect(RegistryServer.key("https://registry.example:5000/v2/") == "registry.example:5000")
    #expect(RegistryServer.key("localhost:5000") == "localhost:5000")
  }

  @Test func theFileStaysAsItIsButForWhatChanges() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try write(
      #"""
      {"HttpHeaders": {"X-Meta": "\u00e9"}, "auths": {"old.example": {"auth": "YTpi", "email": "x@y"}}, "detachKeys":
       "ctrl-e", "big": 12345678901234567890, "nested": [1.50, {"a": null}]}
      """#)
    var file = try DockerConfigFile(folder: folder)
    file.set(credentials("new.example", "me", "p:w\"é"), for: "new.example")
    try file.save()
    #expect(
      try text() == """
        {
        \t"HttpHeaders": {
        \t\t"X-Meta": "\\u00e9"
        \t},
        \t"auths": {
        \t\t"old.example": {
        \t\t\t"auth": "YTpi",
        \t\t\t"email": "x@y"
        \t\t},
        \t\t"new.example": {
        \t\t\t"auth": "bWU6cDp3IsOp"
        \t\t}
        \t},
        \t"detachKeys": "ctrl-e",
        \t"big": 12345678901234567890,
        \t"nested": [
        \t\t1.50,
        \t\t{
        \t\t\t"a": null
        \t\t}
        \t]
        }
        """)
    #expect(try FileStatus(folder + "/config.json").permissions == 0o600)
    let again = try DockerConfigFile(folder: folder)
    #expect(try again.credentials(for: "new.example") == credentials("new.example", "me", "p:w\"é"))
    #expect(try again.credentials(for: "old.example") == credentials("old.example", "a", "b"))
    #expect(try again.credentials(for: "other.example") == nil)
  }

  @Test func everyShapeOfAnEntryIsRead() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try write(
      #"""
      {"auths": {"https://a.example/v1/": {"auth": "YTpiAAA="}, "b.example": {"identitytoken": "t"},
       "c.example": {"username": "u", "password": "p"}, "d.example": {}, "e.example": {"auth": "%%%"},
       "f.example": {"registrytoken": "r"}}}
      """#)
    let file = try DockerConfigFile(folder: folder)
    #expect(try file.credentials(for: "a.example") == credentials("a.example", "a", "b"))
    #expect(try file.credentials(for: "b.example")?.identityToken == "t")
    #expect(try file.credentials(for: "c.example") == credentials("c.example", "u", "p"))
    #expect(try file.credentials(for: "d.example") == nil)
    #expect(try file.credentials(for: "f.example")?.registryToken == "r")
    #expect(throws: CommandFailure.self) { try file.credentials(for: "e.example") }
  }

  @Test(arguments: ["{", "[]", "{\"a\": 01x}", "{\"a\" 1}", "{\"a\": \"\\q\"}", "{} {}"])
  func whatIsNoJSONIsNotReplaced(text: String) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try write(text)
    #expect(throws: CommandFailure.self) { try DockerConfigFile(folder: folder) }
    #expect(try self.text() == text)
  }

  @Test func aLinkIsFollowed() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try "{\"x\": 1}".write(toFile: folder + "/real.json", atomically: true, encoding: .utf8)
    try FileManager.default.createSymbolicLink(
      atPath: folder + "/config.json", withDestinationPath: folder + "/real.json")
    var file = try DockerConfigFile(folder: folder)
    file.set(credentials("a", "b", "c"), for: "a")
    try file.save()
    #expect(try FileStatus(folder + "/config.json").kind == .symbolicLink)
    #expect(try String(contentsOfFile: folder + "/real.json", encoding: .utf8).contains("auths"))
  }

  @Test func helpersAreChosenAsByDocker() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try write(#"{"credsStore": "all", "credHelpers": {"a.example": "one", "b.example": ""}}"#)
    let file = try DockerConfigFile(folder: folder)
    #expect(file.helper(for: "a.example") == "one")
    #expect(file.helper(for: "c.example") == "all")
    #expect(file.helper(for: "b.example") == nil)
    #expect(throws: CommandFailure.self) { try CredentialHelper(named: "../../bin/sh") }
    #expect(throws: CommandFailure.self) { try CredentialHelper(named: "there-is-none") }
  }

  @Test func thePlaceOfTheFile() throws {
    func path(_ folder: String?, _ environment: [String: String]) throws -> FilePath {
      try DockerConfigFile(folder: folder) { environment[$0] }.path
    }
    #expect(try path("/x", ["DOCKER_CONFIG": "/y", "HOME": "/z"]) == "/x/config.json")
    #expect(try path(nil, ["DOCKER_CONFIG": "/y", "HOME": "/z"]) == "/y/config.json")
    #expect(try path(nil, ["DOCKER_CONFIG": "", "HOME": "/z"]) == "/z/.docker/config.json")
  }

  @Test func orderedJSONBounds() throws {
    let deep = String(repeating: "[", count: 100) + String(repeating: "]", count: 100)
    #expect(throws: OrderedJSON.Malformed.self) { try OrderedJSON(parsing: Array(deep.utf8)) }
    #expect(throws: OrderedJSON.Malformed(line: 3)) { try OrderedJSON(parsing: Array("{\n\n,}".utf8)) }
    var value = try OrderedJSON(parsing: Array(#"{"a\u0062": "\ud83d\ude00", "x": 1, "x": 2}"#.utf8))
    #expect(value["ab"]?.text == "😀")
    value["x"] = nil
    #expect(value.names == ["ab"])
    #expect(OrderedJSON.string("a\u{1}\n\"").pretty == #""a\u0001\n\"""#)
  }
}
