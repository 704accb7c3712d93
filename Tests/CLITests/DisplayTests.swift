import JSONRPC
import Protocol
import Testing

@testable import CLI

/// Tables, sizes and times as Docker shows them.
@Suite struct DisplayTests {
  @Test(arguments: [
    (0, "0B"), (999, "999B"), (1000, "1kB"), (4_260_000, "4.26MB"), (77_900_000, "77.9MB"), (1_230_000_000, "1.23GB"),
    (133_000_000, "133MB"), (1_500_000_000_000, "1.5TB"),
  ])
  func sizes(bytes: Int64, wanted: String) { #expect(Human.size(bytes) == wanted) }

  @Test(arguments: [(0, "0B"), (1024, "1KiB"), (25_232_932_864, "23.5GiB"), (536_870_912, "512MiB")])
  func binarySizes(bytes: Int64, wanted: String) { #expect(Human.binarySize(bytes) == wanted) }

  @Test(arguments: [
    (0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (125, "2 minutes"),
    (3600, "About an hour"), (7200, "2 hours"), (172_800, "2 days"), (1_209_600, "2 weeks"), (7_776_000, "3 months"),
    (94_608_000, "3 years"),
  ])
  func durations(seconds: Int64, wanted: String) { #expect(Human.duration(seconds: seconds) == wanted) }

  @Test func tablesAreSetAsGosTabwriterDoes() {
    let text = "CONTAINER ID\tIMAGE\tNAMES\n0123456789ab\tbusybox:latest\ta\n"
    #expect(
      Table.aligned(text) == """
        CONTAINER ID   IMAGE            NAMES
        0123456789ab   busybox:latest   a

        """)
    #expect(Table.aligned("A\tB\nx\ty\n") == "A         B\nx         y\n")
  }

  static let now = Moment(seconds: 1_800_000_000)
  static let rows = [
    ContainerRow(
      summary: .init(
        id: "0123456789abcdef0123", names: ["/web"], image: "busybox", imageID: "sha256:1",
        command: "httpd -f -p 8080 -h /srv",
        created: 1_799_999_880, ports: [], labels: ["b": "2", "a": "1"], state: "running", status: "Up 2 minutes"),
      now: now)
  ]

  @Test func psIsDockersTable() throws {
    #expect(
      try ListOptions().text(Self.rows) == """
        CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS         PORTS     NAMES
        0123456789ab   busybox   "httpd -f -p 8080 -h…"   2 minutes ago   Up 2 minutes             web

        """)
    #expect(
      try ListOptions().text([ContainerRow]()) == """
        CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES

        """)
  }

  @Test func aCommandStaysOnItsLine() throws {
    var summary = Self.rows[0].summary
    summary.command = "sh -c 'a\nb\t\"c\"'"
    let text = try ListOptions(format: "{{.Command}}", whole: true).text([ContainerRow(summary: summary, now: Self.now)]
    )
    #expect(text == #""sh -c 'a\nb\t\"c\"'""# + "\n")
  }

  @Test func formatsOfAList() throws {
    func text(_ format: String?, quiet: Bool = false, whole: Bool = false) throws -> String {
      try ListOptions(format: format, quiet: quiet, whole: whole).text(Self.rows)
    }
    #expect(try text(nil, quiet: true) == "0123456789ab\n")
    #expect(try text(nil, quiet: true, whole: true) == "0123456789abcdef0123\n")
    #expect(try text("{{.Names}}: {{.Labels}} {{.Label \"a\"}}") == "web: a=1,b=2 1\n")
    #expect(try text("table {{.Names}}\\t{{.Status}}") == "NAMES     STATUS\nweb       Up 2 minutes\n")
    #expect(
      try text("table {{.ID}}\t{{.Label \"a\"}}", whole: true) == "CONTAINER ID           a\n0123456789abcdef0123   1\n"
    )
    let json = try JSONValue(parsing: .init(text("json").utf8))
    #expect(json["Names"] == "web" && json["ID"] == "0123456789abcdef0123" && json["State"] == "running")
    #expect(try text("{{json .}}").hasPrefix("{\"Command\":"))
    #expect(throws: CommandFailure.self) { try text("{{.Nope}}") }
  }

  @Test func imagesHaveALineForEachName() throws {
    let image = ImageSummary(
      id: "sha256:0123456789abcdef", repoTags: ["busybox:latest", "host:5000/a/b:1"], repoDigests: [],
      created: "2027-01-15T07:00:00Z", size: 4_260_000, labels: [:], architecture: "amd64", os: "linux",
      manifest: "sha256:2",
      dangling: false)
    let rows = ImageRow.rows(of: image, digests: false, now: Self.now)
    #expect(
      try ListOptions().text(rows) == """
        REPOSITORY      TAG       IMAGE ID       CREATED             SIZE
        busybox         latest    0123456789ab   About an hour ago   4.26MB
        host:5000/a/b   1         0123456789ab   About an hour ago   4.26MB

        """)
    var nameless = image
    nameless.repoTags = []
    #expect(ImageRow.rows(of: nameless, digests: false, now: Self.now).map(\.repository) == ["<none>"])
  }

  @Test func progressLines() {
    #expect(
      LoadProgress.text("0123456789ab", "Unpacking", 50, 100)
        == "0123456789ab: Unpacking [===============>              ] 50B/100B")
    #expect(LoadProgress.text("Archive", "Reading", 2_500_000, nil) == "Archive: Reading 2.5MB")
  }

  @Test func failuresShowTheirCausesOnce() {
    #expect(
      Output.words(of: .init(.notFound, "no x", cause: ["open: no x", "no x"]), debug: false) == "no x: open: no x")
  }
}
