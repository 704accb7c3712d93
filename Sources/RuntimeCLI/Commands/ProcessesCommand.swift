internal import Cgroups
internal import Faults
internal import Linux
internal import SystemPackage

/// `ps`.
enum ProcessesCommand {
  static let command = Command(
    usage: "ID [PS OPTIONS]", help: "list the processes of a container",
    flags: [.value("format", "f", "table or json (table): json is the pids alone")], stopsAtOperand: true
  ) { arguments, context throws(Fault) in
    let folder = try context.root.container(try arguments.id())
    let pids = try Cgroup.open(path: try folder.existing().cgroup).processes().sorted()
    switch arguments["format"] {
    case "json": Output.line("[" + pids.map(String.init).joined(separator: ",") + "]")
    case nil, "", "table":
      let options = Array(arguments.operands.dropFirst())
      Output.line(try table(options.isEmpty ? ["-ef"] : options, pids))
    case let other?: throw Fault(.invalidArgument, "invalid format option \"\(other)\": table or json")
    }
    return 0
  }

  /// What the machine's own ps says of `pids`: its head and their lines.
  private static func table(_ options: [String], _ pids: [Int32]) throws(Fault) -> String {
    let text = try listing(options)
    let lines = text.split(separator: "\n")
    guard let head = lines.first,
      let column = head.split(separator: " ").firstIndex(of: "PID")
    else {
      throw Fault(.invalidArgument, "ps shows no column PID with these options: ps \(options.joined(separator: " "))")
    }
    let wanted = Set(pids)
    let rows = lines.dropFirst().filter { line in
      let fields = line.split(separator: " ")
      return fields.count > column && Int32(fields[column]).map(wanted.contains) == true
    }
    return ([head] + rows).joined(separator: "\n")
  }

  private static func listing(_ options: [String]) throws(Fault) -> String {
    let program = ["/bin/ps", "/usr/bin/ps"].first { (try? FileStatus($0)) != nil }
    guard let program else {
      throw Fault(.unsupported, "this machine has no ps: use --format json, or install the package procps")
    }
    do throws(Errno) {
      let pipe = try Descriptors.pipe()
      let child = try SpawnRequest(
        .path(FilePath(program)), arguments: ["ps"] + options, environment: ProcFiles.ownEnvironment(),
        descriptors: [nil, pipe.write.rawValue, 2]
      ).spawn()
      Descriptors.close(pipe.write.take())
      let bytes = try Files.read(pipe.read.rawValue, limit: 64 << 20)
      _ = try child.pidFD.wait()
      return String(decoding: bytes, as: UTF8.self)
    } catch {
      throw Fault(.internal, "\(program) cannot be run", cause: ["\(error)"])
    }
  }
}
