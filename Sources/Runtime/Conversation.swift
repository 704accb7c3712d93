internal import Faults
internal import Linux
internal import SystemPackage

/// The parent's side of the handshake, from the moment when the child goes on by itself.
struct Conversation {
  let channel: Int32
  let pid: Int32
  let pidfd: Int32
  let supervisor: SeccompListener?
  /// How long the child may be silent, in milliseconds: a container whose files are served by a hostile or dead file system
  /// must not hold its shim for ever. Nil: without end, for what runs programs of others in between.
  var patience: Int32? = 60_000
  /// Runs the hooks of the runtime; returns the state for those of the container.
  var prepared: (() throws(Fault) -> [UInt8])?

  init(channel: Int32, pid: Int32, pidfd: Int32, supervisor: SeccompListener?) {
    self.channel = channel
    self.pid = pid
    self.pidfd = pidfd
    self.supervisor = supervisor
  }

  /// Reads the child's messages until it waits, runs or has failed.
  func outcome() throws(Fault) -> (console: Int32?, isWaiting: Bool) {
    var console: Int32?
    var executing = false
    do throws(Fault) {
      while true {
        let message = try step("hear from the container's init") { () throws(Errno) in
          var events: UInt32 = 0
          guard try Polling.wait(channel, for: .readable, milliseconds: patience, events: &events) else {
            throw Errno.timedOut
          }
          return try Handshake.receive(channel)
        }
        switch message?.kind {
        case .console: console = message?.descriptor
        case .prepared:
          let state = try prepared?() ?? []
          try step("let the container go on") { () throws(Errno) in try Handshake.send(channel, .hooked, state) }
        case .ready: return (console, true)
        case .executing: executing = true
        case .listener: try handListener(message?.text ?? [])
        case .fault: throw Handshake.fault(message?.text ?? [])
        case .mapped, .born, .hooked, .go:
          throw Fault(.internal, "the container's init said something out of turn")
        case nil:
          guard executing else {
            throw Fault(
              .internal,
              "the container's init was ended before its program ran: is its memory limit too small to start at all?")
          }
          return (console, false)
        }
      }
    } catch {
      if let console { Descriptors.close(console) }
      throw error
    }
  }

  private func handListener(_ text: [UInt8]) throws(Fault) {
    guard let supervisor, let number = Int32(String(decoding: text, as: UTF8.self)) else {
      throw Fault(.internal, "the container's init has a descriptor for a supervisor that nobody named")
    }
    try supervisor.hand(number, of: pidfd, pid: pid, status: "running")
    try step("let the container go on") { () throws(Errno) in try Handshake.send(channel, .go) }
  }
}
