import FoundationEssentials
import Glibc

/// protogen [FOLDER]: writes Sources/Protocol/Generated and Sources/Faults/Generated from FOLDER/Protocols.
///
/// The output depends on the documents alone: CI runs it again and fails on a difference.
func generate(root: String) throws {
  let protocols = root + "/Protocols"
  let generated = root + "/Sources/Protocol/Generated"
  var outputs: [String: String] = [:]

  outputs[root + "/Sources/Faults/Generated/FaultCodes.swift"] =
    try FaultEmitter.codes(try JSONReader.read(file: protocols + "/errors.json"))

  // Shared types come first: documents refer to them by name.
  var shared: [(name: String, value: JSONText)] = []
  var sharedSchemas: [Schema] = []
  let typeFiles = try names(in: protocols + "/types", ending: ".json").filter { !$0.hasSuffix(".openrpc.json") }
  let typeTexts = try typeFiles.map { ($0, try JSONReader.read(file: protocols + "/types/" + $0)) }
  for (_, text) in typeTexts {
    for member in text["components"]?["schemas"]?.members ?? [] {
      if let swift = member.value["x-swift-type"]?.string { TypeNames.foreign[member.name] = swift }
    }
  }
  for (file, text) in typeTexts {
    for member in text["components"]?["schemas"]?.members ?? [] {
      shared.append(member)
      if let schema = try Schema(name: member.name, text: member.value, types: TypeNames(file: "types/" + file)) {
        sharedSchemas.append(schema)
      }
    }
  }
  var writer = SourceWriter(
    source: "Protocols/types", imports: TypeEmitter.imports(sharedSchemas.flatMap(\.fields)))
  for schema in sharedSchemas { TypeEmitter.write(schema, to: &writer) }
  outputs[generated + "/SharedTypes.swift"] = writer.text

  let common = try Document(
    file: "types/service.openrpc.json", text: try JSONReader.read(file: protocols + "/types/service.openrpc.json"))
  let documents = try names(in: protocols, ending: ".openrpc.json").map {
    try Document(file: $0, text: try JSONReader.read(file: protocols + "/" + $0))
  }
  for document in [common] + documents {
    let emitter = ServiceEmitter(document: document)
    let base = generated + "/" + document.service
    outputs[base + "Methods.swift"] = emitter.methods()
    if !document.schemas.isEmpty { outputs[base + "Types.swift"] = emitter.types() }
    outputs[base + "Service.swift"] = emitter.service()
    outputs[base + "Document.swift"] = emitter.embedded(
      shared: shared, common: document.service == common.service ? nil : common)
  }

  outputs[root + "/Tests/ContractTests/Generated/ContractEntries.swift"] = ContractEmitter.entries([common] + documents)
  try FileManager.default.createDirectory(
    atPath: root + "/Tests/ContractTests/Generated", withIntermediateDirectories: true)
  try FileManager.default.createDirectory(atPath: generated, withIntermediateDirectories: true)
  for stale in try names(in: generated, ending: ".swift") where outputs[generated + "/" + stale] == nil {
    try FileManager.default.removeItem(atPath: generated + "/" + stale)
  }
  for (path, text) in outputs.sorted(by: { $0.key < $1.key }) {
    let data = Data(text.utf8)
    if (try? Data(contentsOf: URL(filePath: path))) != data { try data.write(to: URL(filePath: path)) }
  }
  print("protogen: \(documents.count) documents, \(outputs.count) files")
}

func names(in folder: String, ending: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(ending) }.sorted()
}

do {
  try generate(root: CommandLine.arguments.dropFirst().first ?? ".")
} catch {
  print("protogen: \(error)")
  exit(1)
}
