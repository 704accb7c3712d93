internal import CLinux
internal import Faults
internal import Linux

enum Launch {
  static func container(_ request: ContainerRequest) throws(Fault) -> ContainerProcess {
    throw Fault(.unsupported, "containers are not made yet")
  }
  static func exec(_ request: ExecRequest) throws(Fault) -> ContainerProcess {
    throw Fault(.unsupported, "containers are not made yet")
  }
  static func letRun(_ channel: Int32, pid: Int32) throws(Fault) {
    throw Fault(.unsupported, "containers are not made yet")
  }
}
