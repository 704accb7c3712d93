import Glibc
import ShimCore
import SystemPackage

// gantry-shim ----…   taskd's: waits on descriptor 3 for the task that it will serve (Sources/ShimCore/ShimAssignment.swift)
// gantry-shim FOLDER  by hand: serves the one container whose task folder is given (Sources/ShimCore/TaskFolder.swift)

guard CommandLine.arguments.count == 2 else {
  ShimMain.explain("started by gantry-taskd for one task; nothing for people to call")
  exit(2)
}

let argument = CommandLine.arguments[1]
exit(ShimAssignment.isPlaceholder(argument) ? ShimMain.wait(control: 3) : ShimMain.run(folder: FilePath(argument)))
