import Testing

@testable import CLI

/// What the values of flags mean.
@Suite struct ValueTests {
  @Test(arguments: [
    ("0", 0), ("1024", 1024), ("1k", 1024), ("1K", 1024), ("1kb", 1024), ("1KiB", 1024), ("512m", 536_870_912),
    ("1.5g", 1_610_612_736), ("2 GB", 2_147_483_648), ("1t", 1_099_511_627_776), ("7b", 7),
  ])
  func bytes(text: String, wanted: Int64) throws { #expect(try Quantity.bytes(text) == wanted) }

  @Test(arguments: ["", "m", "-1", "1x", "1.2.3m", "1mm", "١m", "99999999t", ".5g"])
  func badBytes(text: String) { #expect(throws: CommandFailure.self) { try Quantity.bytes(text) } }

  @Test(arguments: [("0.5", 500_000_000), ("2", 2_000_000_000), (".25", 250_000_000), ("1.000000001", 1_000_000_001)])
  func processors(text: String, wanted: Int64) throws { #expect(try Quantity.nanoCPUs(text) == wanted) }

  @Test(arguments: ["", ".", "-1", "1.2.3", "a", "0.0000000001"])
  func badProcessors(text: String) { #expect(throws: CommandFailure.self) { try Quantity.nanoCPUs(text) } }

  @Test(arguments: [
    ("10s", 10_000_000_000), ("1h30m", 5_400_000_000_000), ("1.5s", 1_500_000_000), ("100ms", 100_000_000), ("0", 0),
    ("-2m", -120_000_000_000),
  ])
  func durations(text: String, wanted: Int64) throws { #expect(try Quantity.duration(text) == wanted) }

  @Test(arguments: ["", "10", "s", "1d", "1h-2m", "--1s"])
  func badDurations(text: String) { #expect(throws: CommandFailure.self) { try Quantity.duration(text) } }

  @Test func moments() throws {
    let now = Moment(seconds: 1_800_000_000, nanoseconds: 5)
    #expect(try Moment(flag: "10m", now: now) == Moment(seconds: 1_799_999_400, nanoseconds: 5))
    #expect(try Moment(flag: "0s", now: now) == now)
    #expect(try Moment(flag: "1.5s", now: now) == Moment(seconds: 1_799_999_998, nanoseconds: 500_000_005))
    #expect(try Moment(flag: "1764000000", now: now) == Moment(seconds: 1_764_000_000))
    #expect(try Moment(flag: "1764000000.25", now: now) == Moment(seconds: 1_764_000_000, nanoseconds: 250_000_000))
    #expect(try Moment(flag: "2026-11-24T02:00:00Z", now: now).seconds == 1_795_485_600)
    #expect(
      try Moment(flag: "2026-11-24T04:00:00.5+02:00", now: now)
        == Moment(seconds: 1_795_485_600, nanoseconds: 500_000_000))
    #expect(throws: CommandFailure.self) { try Moment(flag: "yesterday", now: now) }
    #expect(Moment(seconds: 7, nanoseconds: 42).text == "7.000000042")
  }

  @Test func environmentEntries() throws {
    let lookup: (String) -> String? = { $0 == "HOME" ? "/root" : nil }
    #expect(try KeyValues.environment("A=1=2", lookup: lookup) == "A=1=2")
    #expect(try KeyValues.environment("A=", lookup: lookup) == "A=")
    #expect(try KeyValues.environment("HOME", lookup: lookup) == "HOME=/root")
    #expect(try KeyValues.environment("UNSET", lookup: lookup) == nil)
    #expect(throws: CommandFailure.self) { try KeyValues.environment("=x", lookup: lookup) }
  }

  @Test func environmentFiles() throws {
    let lookup: (String) -> String? = { $0 == "HOME" ? "/root" : nil }
    let text = "\u{FEFF}# comment\nA=1\n\n  B=two words \nHOME\nUNSET\n#C=3\r\nD=x=y"
    #expect(try KeyValues.file(text, path: "f", lookup: lookup) == ["A=1", "B=two words ", "HOME=/root", "D=x=y"])
    #expect(try KeyValues.file("a\nb=1", path: "f", lookup: nil) == ["a", "b=1"])
    let failure = #expect(throws: CommandFailure.self) { try KeyValues.file("ok=1\nbad name=1", path: "f") }
    #expect(failure?.message == "f, line 2: variable 'bad name' contains whitespaces")
    #expect(throws: CommandFailure.self) { try KeyValues.file("=1", path: "f") }
  }

  @Test(arguments: [
    ("/a:/b", "/a:/b"), ("/a:/b:ro", "/a:/b:ro"), ("./x:/b", "/work/x:/b"), ("..:/b:ro,rshared", "/:/b:ro,rshared"),
    ("data:/b:nocopy", "data:/b:nocopy"), ("/a:/b:rbind", "/a:/b:rbind"),
  ])
  func binds(text: String, wanted: String) throws {
    #expect(try BindFlag(text, workingDirectory: "/work").text == wanted)
  }

  @Test func aPathAloneIsAnAnonymousVolume() throws {
    let bind = try BindFlag("/data", workingDirectory: "/work")
    #expect(bind.text == nil && bind.target == "/data")
  }

  @Test(arguments: ["a", "/", "", "/a:b", "/a:/b:huh", "/a:/", ":/b", "/a:", "/a:/b:ro:rw"])
  func badBinds(text: String) {
    #expect(throws: CommandFailure.self) { try BindFlag(text, workingDirectory: "/work") }
  }

  @Test func mounts() throws {
    let bind = try MountFlag("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave", workingDirectory: "/w")
    #expect(bind.type == "bind" && bind.source == "/a" && bind.target == "/b" && bind.readOnly)
    #expect(bind.propagation == "rslave")
    #expect(try MountFlag("type=bind,source=./x,target=/b,ro=false", workingDirectory: "/w").source == "/w/x")
    let memory = try MountFlag("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770", workingDirectory: "/w")
    #expect(memory.tmpfsSize == 1 << 20 && memory.tmpfsMode == 0o1770)
    let quoted = try MountFlag(#"type=bind,"src=/a,b",dst=/c"#, workingDirectory: "/w")
    #expect(quoted.source == "/a,b")
    #expect(
      try MountFlag("type=bind,src=/a,dst=/b,bind-recursive=disabled", workingDirectory: "/").nonRecursive == true)
  }

  @Test func mountsOfVolumesAndImages() throws {
    let volume = try MountFlag(
      "source=data,target=/b,volume-nocopy,volume-label=a=1,volume-driver=local,volume-opt=type=nfs,"
        + #""volume-opt=o=addr=192.0.2.1,rw",volume-opt=device=:/x,volume-subpath=sub/x,ro"#, workingDirectory: "/w")
    #expect(volume.type == "volume" && volume.source == "data" && volume.noCopy == true && volume.readOnly)
    #expect(volume.labels == ["a": "1"] && volume.driver == "local" && volume.volumeSubpath == "sub/x")
    #expect(volume.driverOptions == ["type": "nfs", "o": "addr=192.0.2.1,rw", "device": ":/x"])
    #expect(try MountFlag("dst=/b", workingDirectory: "/w").source == nil)
    let image = try MountFlag("type=image,src=busybox,dst=/b,image-subpath=bin", workingDirectory: "/w")
    #expect(image.source == "busybox" && image.imageSubpath == "bin")
    let writable = try MountFlag("type=bind,src=/a,dst=/b,ro,bind-recursive=writable", workingDirectory: "/w")
    #expect(writable.readOnlyNonRecursive == true)
    let all = try MountFlag(
      "type=bind,src=/a,dst=/b,ro,bind-recursive=readonly,bind-propagation=rprivate", workingDirectory: "/w")
    #expect(all.readOnlyForceRecursive == true)
  }

  @Test(arguments: [
    "type=bind,dst=/b", "type=bind,src=/a", "type=bind,src=a,dst=/b", "type=tmpfs,src=/a,dst=/b", "type=nfs,dst=/b",
    "type=bind,src=/a,dst=b", "type=bind,src=/a,dst=/b,what=1", "type=bind,src=/a,dst=/b,tmpfs-size=1m",
    "type=tmpfs,dst=/b,bind-propagation=shared", "type=bind,src=/a,dst=/b,readonly=perhaps", "type=image,dst=/b",
    "type=bind,\"src=/a", "type=bind,src=/a,dst=/b,volume-nocopy", "src=a,dst=/b,image-subpath=x",
    "type=image,src=a,dst=/b,volume-label=x", "type=bind,src=/a,dst=/b,bind-recursive=writable",
    "type=bind,src=/a,dst=/b,ro,bind-recursive=readonly", "type=bind,src=/a,dst=/b,bind-recursive=some",
    "src=a,dst=/b,volume-opt", "type=tmpfs,dst=/b,tmpfs-mode=9",
  ])
  func badMounts(text: String) {
    #expect(throws: CommandFailure.self) { try MountFlag(text, workingDirectory: "/w") }
  }

  @Test func ulimitsDevicesAndDetachKeys() throws {
    let limit = try UlimitFlag("nofile=512:1024")
    #expect(limit.name == "nofile" && limit.soft == 512 && limit.hard == 1024)
    #expect(try UlimitFlag("nproc=5").hard == 5)
    for bad in ["nofile", "what=1", "nofile=a", "nofile=2:1", "nofile=1:2:3"] {
      #expect(throws: CommandFailure.self) { try UlimitFlag(bad) }
    }
    let device = try DeviceFlag("/dev/a:/dev/b:rw")
    #expect(device.host == "/dev/a" && device.container == "/dev/b" && device.permissions == "rw")
    #expect(try DeviceFlag("/dev/a:r").permissions == "r")
    #expect(try DeviceFlag("/dev/a").container == "/dev/a")
    for bad in ["", "dev", "/a:/b:x", "/a:/b:r:w"] { #expect(throws: CommandFailure.self) { try DeviceFlag(bad) } }
    #expect(try DetachKeys("ctrl-p,ctrl-q") == .standard)
    #expect(try DetachKeys("a,ctrl-a,ctrl-@,ctrl-_").bytes == [97, 1, 0, 31])
    #expect(try DetachKeys("").bytes.isEmpty)
    for bad in ["ctrl-", "ab", "ctrl-1", "a,,b"] { #expect(throws: CommandFailure.self) { try DetachKeys(bad) } }
  }

  @Test func portsThatAreNoted() throws {
    #expect(try ExposedPorts.read("80") == ["80/tcp"])
    #expect(try ExposedPorts.read("80-82/udp") == ["80/udp", "81/udp", "82/udp"])
    for bad in ["", "0", "x", "82-80", "80/icmp", "70000"] {
      #expect(throws: CommandFailure.self) { try ExposedPorts.read(bad) }
    }
  }
}
