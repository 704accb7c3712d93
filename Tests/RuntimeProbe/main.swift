import Cgroups
import Faults
import FoundationEssentials
import Glibc
import Linux
import OCI
import Runtime

// The runtime's tests run containers through this program, because the runtime needs a process with one thread, which a
// test process is not. Arguments: the job (JSON) and where to write the report (JSON). Descriptors 0, 1 and 2 are the
// container's.

struct Job: Codable {
  struct Mount: Codable {
    var type: String
    var source: String
    var options: [String]
  }
  var spec: RuntimeSpec
  var rootfs: [Mount]
  /// A cgroup to make, and to remove afterwards.
  var cgroup: String?
  var filter: [UInt8]?
  var useInit = false
  var hold = false
  /// Programs to run beside the first one, which is killed after the last.
  var execs: [RuntimeSpec.Process] = []
  /// Sent to the container's init after the execs; nil waits for its own end.
  var signal: Int32?
  /// Descriptors 3 to this one are open and not close-on-exec when the container is made.
  var leakUpTo: Int32?
  var legacyOverlay = false
  /// A folder to chroot to first.
  var jail: String?
}

struct Report: Codable {
  struct End: Codable {
    var code: Int32?
    var faultCode: String?
    var message: String?
  }
  var container = End()
  var execs: [End] = []
  /// Children that are left when all is over; always 0.
  var children = 0
  /// Mounts of this process's namespace while the container ran, minus those before; always 0.
  var leakedMounts = 0
  var milliseconds = 0.0
}

func milliseconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
}

func mounts() -> Int {
  ((try? Files.readText("/proc/self/mountinfo", limit: 1 << 24)) ?? "").split(separator: "\n").count
}

/// Copies what a terminal shows to our output until its last user has closed it.
func drain(_ console: consuming OwnedDescriptor?) {
  guard let console else { return }
  withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
    while let count = try? Descriptors.read(console.rawValue, into: buffer), count > 0 {
      _ = try? Descriptors.writeAll(1, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
  }
}

func end(_ fault: Fault) -> Report.End {
  Report.End(faultCode: fault.code.rawValue, message: fault.description)
}

func io(_ process: RuntimeSpec.Process?) -> ProcessIO {
  process?.terminal == true ? .terminal : .descriptors(input: 0, output: 1, error: 2)
}

func run(_ job: Job) -> Report {
  var report = Report()
  var cgroup: Cgroup?
  let before = mounts()
  if let last = job.leakUpTo {
    let folder = open("/", O_RDONLY)
    for number in Int32(3)...last where number != folder { dup2(folder, number) }
  }
  do throws(Fault) {
    if let path = job.cgroup { cgroup = try Cgroup.create(path: path, resources: job.spec.linux?.resources) }
    var request = ContainerRequest(
      spec: job.spec, rootfs: job.rootfs.map { RootfsMount(type: $0.type, source: $0.source, options: $0.options) },
      seccompFilter: job.filter, cgroup: cgroup, io: io(job.spec.process), useInit: job.useInit,
      waitForStart: job.hold)
    request.forceLegacyOverlay = job.legacyOverlay
    let start = milliseconds()
    var process = try Container.create(request)
    report.milliseconds = milliseconds() - start
    if job.hold { try process.start() }
    for exec in job.execs {
      do throws(Fault) {
        var child = try Container.exec(
          ExecRequest(
            process: exec, containerPID: process.pid, namespaces: job.spec.linux?.namespaces ?? [],
            seccompFilter: job.filter, cgroup: cgroup, io: io(exec)))
        drain(child.takeConsole())
        report.execs.append(Report.End(code: (try? child.pidFD.wait())??.shellCode))
      } catch {
        report.execs.append(end(error))
      }
    }
    report.leakedMounts = mounts() - before
    if let signal = job.signal { try? process.pidFD.signal(signal) }
    drain(process.takeConsole())
    report.container.code = (try? process.pidFD.wait())??.shellCode
  } catch {
    report.container = end(error)
  }
  while (try? Children.wait(noHang: true)) != nil { report.children += 1 }
  if let cgroup {
    try? cgroup.killAll()
    try? cgroup.remove()
    try? Cgroup.removeEmptyParents(of: cgroup.path)
  }
  return report
}

let job = try JSONDecoder().decode(Job.self, from: Data(try Files.read(CommandLine.arguments[1], limit: 1 << 24)))
if let jail = job.jail {
  // A root that is no mount point, with the host's kernel file systems in it.
  try NamespaceKinds.unshare(.mount)
  try Mounts.setPropagation(ofAll: .private)
  for name in ["proc", "sys", "dev"] {
    try Files.makeDirectory("\(jail)/\(name)")
    let tree = try Mounts.clone("/" + name, recursive: true)
    try Mounts.attach(tree.rawValue, at: nil, "\(jail)/\(name)")
  }
  chroot(jail)
  chdir("/")
}
let report = run(job)
try DurableFile.write(
  .init(CommandLine.arguments[2]), Array(try JSONEncoder().encode(report)), durable: false)
