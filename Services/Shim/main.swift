import Glibc
import ShimCore
import SystemPackage

// gantry-shim FOLDER: serves the one container whose task folder is given (Sources/ShimCore/TaskFolder.swift).
// taskd hands it descriptor 3, the socket to taskd, and 4, the locked folder. Started by hand it does without both.

guard CommandLine.arguments.count == 2 else {
  ShimMain.explain("started by gantry-taskd with the folder of one task; nothing for people to call")
  exit(2)
}

/// Whether `descriptor` is open.
func isOpen(_ descriptor: Int32) -> Bool { fcntl(descriptor, F_GETFD) >= 0 }

exit(
  ShimMain.run(
    folder: FilePath(CommandLine.arguments[1]), control: isOpen(3) ? 3 : nil, lock: isOpen(4) ? 4 : nil))
