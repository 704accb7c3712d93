import Glibc
import LogDelivery
import LogFiles

// gantry-logger compress: gzip from descriptor 0 to descriptor 1.
// gantry-logger deliver PATH: carries a container's log to its destination (Sources/ShimCore/LogDeliveryLink.swift).
// gantry-shim starts it for the containers that need it.

let arguments = CommandLine.arguments.dropFirst()

switch (arguments.first, arguments.count) {
case ("compress", 1):
  nice(10)
  let failure = GzipFile.compress(STDIN_FILENO, into: STDOUT_FILENO)
  if failure != 0 { DeliveryMain.say("a log cannot be compressed: \(String(cString: strerror(failure)))") }
  exit(failure == 0 ? 0 : 1)
case ("deliver", 2):
  exit(DeliveryMain.run(path: arguments.last ?? ""))
default:
  DeliveryMain.say(
    "started by gantry-shim, to compress or deliver the log of one container; nothing for people to call")
  exit(2)
}
