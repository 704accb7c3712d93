internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// The container's terminal.
enum Console {
  /// Makes a terminal of the container's devpts, sends its master to the parent, and binds it on /dev/console. Returns the
  /// terminal for descriptors 0 to 2; nil when none is wanted.
  ///
  /// CVE-2025-52565: the terminal is opened from its master (TIOCGPTPEER), checked to be on devpts, and bound by that
  /// descriptor: no name is resolved that the container could swap.
  static func make(_ process: ProcessPlan, in tree: ContainerTree, channel: Int32) throws(Fault) -> Int32? {
    guard case .terminal = process.io else { return nil }
    let terminal = try open(root: tree.root, size: process.consoleSize, channel: channel)
    try step("bind the terminal on /dev/console", code: .invalidArgument) { () throws(Errno) in
      guard let dev = try tree.find("dev", noLinks: true, flags: [.path, .directory]) else {
        throw Errno.noSuchFileOrDirectory
      }
      let file: OwnedDescriptor
      do throws(Errno) {
        _ = try openat2(dev.rawValue, "console", [.readOnly, .create, .exclusive, .noFollow], mode: 0o600)
      } catch {
        if error != .fileExists { throw error }
      }
      file = try openat2(dev.rawValue, "console", [.path, .noFollow], resolve: .noSymlinks)
      let copy = try Mounts.clone(at: terminal, "")
      try Mounts.attach(copy.rawValue, on: file.rawValue)
    }
    return terminal
  }

  /// A new terminal of the devpts at `root`/dev/pts; its master goes to the parent.
  static func open(root: Int32, size: TerminalSize?, channel: Int32) throws(Fault) -> Int32 {
    try step("open a terminal of the container (is devpts mounted on /dev/pts?)", code: .invalidArgument) {
      () throws(Errno) in
      let master = try openat2(
        root, "dev/pts/ptmx", [.readWrite, .noControllingTerminal], resolve: [.inRoot, .noSymlinks])
      guard try Files.fileSystemType(master.rawValue) == FileSystemMagic.devpts else { throw Errno(rawValue: ENOTTY) }
      let pair = try Terminal.open(master: master)
      guard try Files.fileSystemType(pair.terminal.rawValue) == FileSystemMagic.devpts else {
        throw Errno(rawValue: ENOTTY)
      }
      if let size { try Terminal.setSize(pair.master.rawValue, size) }
      try Handshake.send(channel, .console, descriptor: pair.master.rawValue)
      return try pair.terminal.duplicate().take()
    }
  }
}
