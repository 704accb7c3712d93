import JSONRPC
import Protocol
import Testing

@testable import CLI

/// What the commands of volumes and disk usage show.
@Suite struct VolumeTests {
  private let volumes: [GatewayAPI.Volume] = [
    .init(
      name: "data", driver: "local", mountpoint: "/v/data/_data", createdAt: "2026-11-24T02:01:00Z",
      labels: ["a": "1", "b": ""], scope: "local", usageData: .init(size: 1500, refCount: 1)),
    .init(name: "free", driver: "local", mountpoint: "/v/free/_data", scope: "local"),
  ]

  private func list(_ change: (inout ListOptions) -> Void = { _ in }) throws -> String {
    var options = ListOptions()
    change(&options)
    return try options.text(volumes.map(VolumeRow.init))
  }

  @Test func volumesAreListedAsDockerListsThem() throws {
    #expect(try list() == "DRIVER    VOLUME NAME\nlocal     data\nlocal     free\n")
    #expect(try list { $0.quiet = true } == "data\nfree\n")
    #expect(try list { $0.format = "{{.Name}} {{.Labels}} {{.Label \"a\"}}" } == "data a=1,b= 1\nfree  \n")
    let json = try list { $0.format = "json" }.split(separator: "\n")[1]
    #expect(
      json
        == #"{"Availability":"N/A","Driver":"local","Group":"N/A","Labels":"","Links":"N/A","Mountpoint":"/v/free/_data","#
        + #""Name":"free","Scope":"local","Size":"N/A","Status":"N/A"}"#)
  }

  private var usage: GatewayAPI.SystemDiskUsageResult {
    func image(_ id: String, _ size: Int64, shared: Int64, containers: Int64) -> GatewayAPI.ImageUsage {
      .init(
        id: "sha256:\(id)", repoTags: ["\(id):1"], repoDigests: [], created: "2026-11-24T02:01:00Z", size: size,
        sharedSize: shared, containers: containers)
    }
    func container(_ id: String, _ state: String, _ size: Int64) -> GatewayAPI.ContainerSummary {
      .init(
        id: id, names: ["/" + id], image: "a:1", imageID: "sha256:a", command: "sh", created: 0, ports: [],
        sizeRw: size,
        labels: [:], state: state, status: "Up")
    }
    return .init(
      layersSize: 5000,
      images: [image("a", 3000, shared: 1000, containers: 1), image("b", 3000, shared: 1000, containers: 0)],
      containers: [container("one", "running", 10), container("two", "exited", 30)], volumes: volumes)
  }

  @Test func diskUsageIsCountedAsDockerCountsIt() throws {
    #expect(
      try ListOptions().text(UsageRow.rows(of: usage)) == """
        TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE
        Images          2         1         5kB       3kB (60%)
        Containers      2         1         40B       30B (75%)
        Local Volumes   2         1         1.5kB     0B (0%)
        Build Cache     0         0         0B        0B

        """)
    let details = UsageDetails(usage: usage, now: .now)
    for line in [
      "Images space usage:", "Containers space usage:", "Local Volumes space usage:", "Build cache usage: 0B",
      "VOLUME NAME   LINKS     SIZE", "data          1         1.5kB", "free          N/A       N/A",
    ] { #expect(details.text.split(separator: "\n").contains { $0 == line }, "\(line)") }
    #expect(details.value["Images"]?.arrayValue?.count == 2)
    #expect(details.value["Images"]?.arrayValue?[0]["UniqueSize"] == "2kB")
  }

  @Test func aPruneSaysWhatIsGone() {
    var report = PruneReport()
    report.add("Deleted Containers", [], bytes: 0)
    report.add("Deleted Volumes", ["a", "b"], bytes: 1500)
    #expect(report.text == "Deleted Volumes:\na\nb\n\nTotal reclaimed space: 1.5kB\n")
  }
}
