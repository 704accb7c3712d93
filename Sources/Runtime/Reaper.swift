internal import CLinux
internal import Faults
internal import Glibc
internal import Linux
internal import SystemPackage

/// Process 1 of a container with `--init`: passes every signal on to the program, reaps orphans, and ends as the program
/// ends. It is this very process after a fork: no further executable is put into the container.
enum Reaper {
  /// Forks: the child returns as the program-to-be, the parent never does.
  ///
  /// The reaper has the same user, capabilities and filter as the program, and stays undumpable: the program cannot trace
  /// it to get out of its filter.
  static func split(_ plan: ProcessPlan, channel: Int32) throws(Fault) {
    var mask: UInt64 = 0
    cl_block_signals(&mask)
    let pid = fork()
    if pid < 0 {
      throw Fault(.internal, "cannot start the program beside --init", cause: [Errno(rawValue: errno).description])
    }
    if pid == 0 {
      // A process group of its own, in the foreground of the terminal: keys reach the program, not its init twice.
      _ = setpgid(0, 0)
      if Terminal.isTerminal(0) { try? Terminal.setForeground(0, group: getpid()) }
      cl_restore_signals(&mask)
      return
    }
    Descriptors.close(channel)
    // What `ps` shows in the container: not the arguments and environment of the process that this was.
    cl_rename_process(CommandLine.unsafeArgv, "gantry-init")
    do throws(Fault) {
      _ = try Program.loadFilter(plan, supervised: false)
      if plan.filter != nil && !plan.noNewPrivileges { try plan.capabilities.finish() }
    } catch {
      // The child meets the same refusal and reports it; this process has nobody to tell.
      cl_exit(1)
    }
    watch(pid)
  }

  private static func watch(_ program: Int32) -> Never {
    while true {
      var sender: Int32 = 0
      let signal = cl_wait_signal(&sender)
      if signal == SIGCHLD || signal < 0 {
        // A filter that refuses rt_sigtimedwait leaves waiting for children as the only way to wait at all.
        reap(program, waiting: signal < 0)
      } else if signal != SIGTTIN && signal != SIGTTOU {
        _ = kill(program, signal)
      }
    }
  }

  private static func reap(_ program: Int32, waiting: Bool) {
    var status: Int32 = 0
    while true {
      let pid = waitpid(-1, &status, waiting ? 0 : WNOHANG)
      if pid == program {
        // The exit code of a process is its low 8 bits; a signal becomes 128 + N, as a shell shows it.
        let signal = status & 0x7f
        cl_exit(signal == 0 ? (status >> 8) & 0xff : 128 + signal)
      }
      if pid <= 0 {
        if waiting && pid < 0 && errno != EINTR { cl_exit(1) }
        return
      }
    }
  }
}
