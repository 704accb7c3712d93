// swift-tools-version: 6.2
import PackageDescription

// The layers, lowest first: a target imports only from layers above its own in this file (Tests/LayoutTests asserts it).

let swiftSettings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

/// CLI and shim start for every container: fully static, no dynamic loader, no ICU. The libraries are what
/// FoundationEssentials needs and names only to objects that were compiled for a static standard library.
let staticExecutable: [LinkerSetting] = [
  .unsafeFlags(["-static-executable", "-Xlinker", "--icf=safe"]),
  .linkedLibrary("_FoundationCShims"),
  .linkedLibrary("_FoundationCollections"),
  .linkedLibrary("swiftSynchronization"),
]

let system: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nio: [Target.Dependency] = [
  .product(name: "NIOCore", package: "swift-nio"),
  .product(name: "NIOPosix", package: "swift-nio"),
]
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

/// For what the CLI and the shim share with the services: the one is read for every command, the other stays in memory for
/// every container. Sections let the linker fold functions that came out alike.
let forSize: [SwiftSetting] = [
  .unsafeFlags(["-Osize", "-Xfrontend", "-function-sections"], .when(configuration: .release))
]

func library(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: swiftSettings)
}

/// The code of one service process.
func service(_ name: String, _ folder: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, path: "Services/\(folder)", swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
  .testTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: swiftSettings)
}

let layer0: [Target] = [
  .target(name: "CLinux"),
  .target(name: "CProtect"),
  .systemLibrary(name: "CSeccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),
  .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
  .systemLibrary(name: "CISAL", pkgConfig: "libisal", providers: [.apt(["libisal-dev"])]),
  .target(name: "CCurl", linkerSettings: [.linkedLibrary("dl")]),
  .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
  library("Faults"),
  .target(name: "Linux", dependencies: ["CLinux", "Faults", system], swiftSettings: swiftSettings + forSize),
  library("QuickJSON"),
  .target(name: "OCI", dependencies: ["Faults"], swiftSettings: swiftSettings + forSize),
  library("LogFormat"),
]

let layer1: [Target] = [
  library("JSONRPC", ["Faults", "Linux", system]),
  .target(name: "Protocol", dependencies: ["Faults", "JSONRPC", "OCI"], swiftSettings: swiftSettings + forSize),
  library("Cgroups", ["CLinux", "Linux", "Faults", "OCI", system]),
  .target(
    name: "Seccomp", dependencies: ["CSeccomp", "Faults", "OCI"], exclude: ["Resources/NOTICE"],
    resources: [.embedInCode("Resources/seccomp-default.json")], swiftSettings: swiftSettings),
  library("GarbageCollection", ["Linux", "Faults", grdb, system]),
  library("LogFiles", ["CISAL", "LogFormat"]),
  library("Configuration", ["JSONRPC", "Linux", "Faults", system]),
  library("Tar", ["CArchive", "CLinux", "Linux", "Faults", system]),
  library("Archive", ["Tar", "CArchive", "CISAL", "CZstd", "CLinux", "Linux", "Faults", "OCI", crypto, system]),
]

let layer2: [Target] = [
  library("RPCService", ["JSONRPC", "Protocol", "Linux", "Faults", log, system] + nio),
  library("ContentStore", ["Linux", "OCI", "Faults", crypto, system]),
  library("Registry", ["CCurl", "Configuration", "Linux", "OCI", "Faults"]),
  library(
    "Images",
    [
      "ContentStore", "GarbageCollection", "Registry", "Archive", "Tar", "Linux", "OCI", "JSONRPC", "Protocol",
      "Faults", crypto, cryptoExtras, grdb, log, system,
    ]),
  library("Runtime", ["CLinux", "Linux", "Cgroups", "QuickJSON", "OCI", "Faults", system]),
  library(
    "Snapshots",
    [
      "Runtime", "GarbageCollection", "Archive", "Tar", "RPCService", "CLinux", "Linux", "OCI", "JSONRPC", "Protocol",
      "Faults", grdb, log, system,
    ]),
  library(
    "RuntimeCLI", ["Runtime", "Cgroups", "Seccomp", "CLinux", "Linux", "QuickJSON", "OCI", "Faults", system]),
  library(
    "ShimCore",
    [
      "Runtime", "CLinux", "Cgroups", "JSONRPC", "Protocol", "Linux", "LogFormat", "QuickJSON", "OCI", "Faults", system,
    ]),
  library(
    "Tasks", ["ShimCore", "CLinux", "Linux", "Cgroups", "Seccomp", "OCI", "JSONRPC", "Protocol", "Faults", log, system]),
  library(
    "Engine",
    [
      "Configuration", "JSONRPC", "Linux", "LogFiles", "LogFormat", "OCI", "Protocol", "Faults", crypto, grdb, log,
      system, yams,
    ]),
  library(
    "LogDelivery",
    ["CCurl", "CISAL", "JSONRPC", "LogFiles", "LogFormat", "Linux", "Protocol", "Faults", crypto, cryptoExtras, system]),
]

let services: [Target] = [
  service(
    "GatewayDaemon", "Gateway",
    ["Configuration", "Engine", "RPCService", "Protocol", "JSONRPC", "Linux", "Faults", argumentParser, log, system]),
  service(
    "ImageDaemon", "Image",
    [
      "Configuration", "Images", "Registry", "RPCService", "Protocol", "JSONRPC", "ContentStore", "OCI", "Linux",
      "Faults", argumentParser, log, system,
    ]),
  service(
    "SnapshotDaemon", "Snapshot",
    ["Snapshots", "Archive", "Tar", "RPCService", "Protocol", "Linux", "Faults", argumentParser, log, system]),
  service("TaskDaemon", "Task", ["Tasks", "RPCService", "Protocol", "Linux", "Faults", argumentParser, log, system]),
  .executableTarget(
    name: "gantryd", dependencies: ["GatewayDaemon", "ImageDaemon", "SnapshotDaemon", "TaskDaemon", "Linux"],
    path: "Services/gantryd", swiftSettings: swiftSettings),
  .executableTarget(
    name: "gantry-shim", dependencies: ["ShimCore", system], path: "Services/Shim", swiftSettings: swiftSettings,
    linkerSettings: staticExecutable),
  service("gantry-logger", "Logger", ["LogDelivery", "LogFiles", "Linux", system]),
  .executableTarget(
    name: "gantry-runtime", dependencies: ["RuntimeCLI", "CProtect"], path: "Services/Runtime",
    swiftSettings: swiftSettings, linkerSettings: staticExecutable),
]

let layer3: [Target] = [
  .target(
    name: "CLI", dependencies: ["Tar", "JSONRPC", "QuickJSON", "Protocol", "Linux", "OCI", "Faults", system],
    swiftSettings: swiftSettings + forSize),
  .executableTarget(
    name: "gantry", dependencies: ["CLI"], path: "Sources/gantry", swiftSettings: swiftSettings,
    linkerSettings: staticExecutable),
  .executableTarget(
    name: "task-example", dependencies: ["JSONRPC", "Protocol", "Linux", "OCI", "Faults", system],
    path: "Protocols/swift", exclude: ["image", "snapshot"], swiftSettings: swiftSettings),
  .executableTarget(
    name: "image-example", dependencies: ["JSONRPC", "Protocol", "Faults", system], path: "Protocols/swift/image",
    swiftSettings: swiftSettings),
  .executableTarget(
    name: "snapshot-example", dependencies: ["JSONRPC", "Protocol", "Linux", "OCI", "Faults", system],
    path: "Protocols/swift/snapshot", swiftSettings: swiftSettings),
  .executableTarget(name: "protogen", path: "Sources/protogen", swiftSettings: swiftSettings),
  .target(
    name: "TestSupport", dependencies: ["CLinux", .product(name: "Subprocess", package: "swift-subprocess"), system],
    path: "Tests/TestSupport", exclude: ["census", "fake-registry", "make-archive", "token-server"],
    swiftSettings: swiftSettings),
]

/// What tests of several targets share: archives built byte by byte, and the list that every snapshot backend passes.
let fixtures: [Target] = [
  .target(
    name: "ArchiveFixtures", dependencies: [system], path: "Tests/ArchiveFixtures", swiftSettings: swiftSettings),
  .target(
    name: "SnapshotConformance",
    dependencies: ["Archive", "Tar", "ArchiveFixtures", "Faults", "JSONRPC", "Linux", "OCI", "Protocol", system],
    path: "Tests/SnapshotConformance", swiftSettings: swiftSettings),
]

let testSupport: Target.Dependency = "TestSupport"

let allTests: [Target] = [
  tests(
    "TasksTests",
    [
      "Tasks", "ShimCore", "Cgroups", "LogFormat", "Protocol", "JSONRPC", "Linux", "QuickJSON", "OCI", "Faults", log,
      system,
    ]),
  tests("LogDeliveryTests", ["LogDelivery", "LogFiles", "LogFormat", "Protocol", "Linux", "Faults", system]),
  tests("ArchiveTests", ["Archive", "Tar", "ArchiveFixtures", "Faults", "Linux", system]),
  tests(
    "SnapshotsTests",
    [
      "Snapshots", "SnapshotConformance", "ArchiveFixtures", "Archive", "Tar", "Faults", "JSONRPC", "Linux", "Protocol",
      log, system,
    ]),
  tests("LayoutTests", []),
  tests("ContractTests", ["Protocol", "JSONRPC", "OCI", "Faults"]),
  tests("JSONRPCTests", ["JSONRPC", "Faults", "Linux", system]),
  tests("RPCServiceTests", ["RPCService", "Protocol", "JSONRPC", "Linux", "Faults", log, system]),
  tests("CgroupsTests", ["Cgroups", "CLinux", "Linux", "OCI", "Faults", system]),
  tests("LinuxTests", ["Linux", "Faults", system]),
  .executableTarget(
    name: "runtime-probe", dependencies: ["Runtime", "Cgroups", "Linux", "OCI", "Faults", system],
    path: "Tests/RuntimeProbe", swiftSettings: swiftSettings),
  tests("RuntimeTests", ["runtime-probe", "Runtime", "Seccomp", "Linux", "OCI", "Faults", system]),
  tests(
    "RuntimeCLITests", [testSupport, "RuntimeCLI", "Runtime", "Linux", "QuickJSON", "OCI", "Faults", system]),
  tests("OCITests", ["OCI", "Faults"]),
  tests("RegistryTests", [testSupport, "Registry", "OCI", "Faults"]),
  tests("GarbageCollectionTests", ["GarbageCollection", "Faults", grdb]),
  tests("CLITests", ["CLI", "Tar", "JSONRPC", "Protocol", "Linux", "Faults", system]),
  tests("ConfigurationTests", ["Configuration", "Faults", system]),
  tests("ContentStoreTests", ["ContentStore", "OCI", "Faults", system]),
  tests("ImagesTests", [testSupport, "Images", "ContentStore", "Registry", "JSONRPC", "OCI", "Faults", log, system]),
  tests(
    "EngineTests", ["Engine", "JSONRPC", "Linux", "LogFiles", "LogFormat", "Protocol", "OCI", "Faults", log, system]),
  tests("SeccompTests", ["Seccomp", "CSeccomp", "CLinux", "OCI", "Faults"]),
  .testTarget(
    name: "SecurityTests", dependencies: [testSupport, system], exclude: ["Fixtures"], swiftSettings: swiftSettings),
  .testTarget(
    name: "FaultTests", dependencies: [testSupport, system],
    exclude: ["cycles", "power-cut", "power-cut-images", "power-cut-machine"], swiftSettings: swiftSettings),
  .testTarget(
    name: "IntegrationTests",
    dependencies: ["image-example", "snapshot-example", "task-example", testSupport, system],
    exclude: ["cgroup2", "cgroup2-checks", "log-sink", "terminal-session"], swiftSettings: swiftSettings),
]

let package = Package(
  name: "gantry",
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
  ],
  targets: layer0 + layer1 + layer2 + services + layer3 + fixtures + allTests
)
