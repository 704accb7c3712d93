#define _GNU_SOURCE
#include "clinux.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESULT(call)                \
  do {                              \
    long result_ = (long)(call);    \
    return result_ < 0 ? -errno : result_; \
  } while (0)

pid_t cl_clone3(uint64_t flags, int exit_signal, int cgroup_fd, int *pidfd) {
  // The kernel's struct clone_args, version 2 (with cgroup), spelled out: <linux/sched.h> of older systems lacks fields.
  struct {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
  } arguments;
  memset(&arguments, 0, sizeof arguments);
  arguments.flags = flags;
  arguments.exit_signal = (uint64_t)exit_signal;
  if (pidfd) {
    arguments.flags |= CLONE_PIDFD;
    arguments.pidfd = (uint64_t)(uintptr_t)pidfd;
  }
  if (cgroup_fd >= 0) {
    arguments.flags |= 0x200000000ULL;  // CLONE_INTO_CGROUP, kernel 5.7
    arguments.cgroup = (uint64_t)cgroup_fd;
  }
  RESULT(syscall(SYS_clone3, &arguments, sizeof arguments));
}

int cl_setns(int fd, int flags) { RESULT(setns(fd, flags)); }
int cl_unshare(int flags) { RESULT(unshare(flags)); }
int cl_pidfd_open(pid_t pid, unsigned flags) { RESULT(syscall(SYS_pidfd_open, pid, flags)); }
int cl_pidfd_send_signal(int pidfd, int signal) { RESULT(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0)); }
int cl_pidfd_getfd(int pidfd, int fd) { RESULT(syscall(SYS_pidfd_getfd, pidfd, fd, 0)); }

int cl_wait(int id_type, int id, int no_hang, int keep, pid_t *pid, int *signalled, int *status, int *dumped) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  int result;
  do {
    result = waitid((idtype_t)id_type, (id_t)id, &info,
                    WEXITED | __WALL | (no_hang ? WNOHANG : 0) | (keep ? WNOWAIT : 0));
  } while (result < 0 && errno == EINTR);
  if (result < 0) return -errno;
  *pid = info.si_pid;
  *signalled = info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
  *dumped = info.si_code == CLD_DUMPED;
  *status = info.si_status;
  return 0;
}

int cl_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) {
  RESULT(prctl(option, a, b, c, d));
}
int cl_ioctl(int fd, unsigned long request, unsigned long argument) { RESULT(ioctl(fd, request, argument)); }

int cl_capget(uint64_t *effective, uint64_t *permitted, uint64_t *inheritable) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) < 0) return -errno;
  *effective = data[0].effective | (uint64_t)data[1].effective << 32;
  *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
  *inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
  return 0;
}
int cl_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct data[2] = {
      {.effective = (uint32_t)effective, .permitted = (uint32_t)permitted, .inheritable = (uint32_t)inheritable},
      {.effective = effective >> 32, .permitted = permitted >> 32, .inheritable = inheritable >> 32},
  };
  RESULT(syscall(SYS_capset, &header, data));
}

int cl_seccomp_filter(const void *program, unsigned short instructions, unsigned flags) {
  struct sock_fprog filter = {.len = instructions, .filter = (struct sock_filter *)program};
  RESULT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter));
}
int cl_join_session_keyring(const char *name) { RESULT(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name)); }
int cl_setgroups(size_t count, const uint32_t *groups) { RESULT(syscall(SYS_setgroups, count, groups)); }
int cl_setresgid(uint32_t gid) { RESULT(syscall(SYS_setresgid, gid, gid, gid)); }
int cl_setresuid(uint32_t uid) { RESULT(syscall(SYS_setresuid, uid, uid, uid)); }
int cl_sethostname(const char *name, size_t length) { RESULT(sethostname(name, length)); }
int cl_setdomainname(const char *name, size_t length) { RESULT(setdomainname(name, length)); }

int cl_getrlimit(int resource, uint64_t *soft, uint64_t *hard) {
  struct rlimit64 limit;
  if (getrlimit64((__rlimit_resource_t)resource, &limit) < 0) return -errno;
  *soft = limit.rlim_cur;
  *hard = limit.rlim_max;
  return 0;
}
int cl_setrlimit(int resource, uint64_t soft, uint64_t hard) {
  struct rlimit64 limit = {.rlim_cur = soft, .rlim_max = hard};
  RESULT(setrlimit64((__rlimit_resource_t)resource, &limit));
}
int cl_personality(unsigned long persona) { RESULT(syscall(SYS_personality, persona)); }
int cl_ioprio_set(int which_class, int priority) {
  RESULT(syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, which_class << 13 | priority));
}
int cl_sched_setattr(uint32_t policy, uint64_t flags, int32_t nice, uint32_t priority, uint64_t runtime,
                     uint64_t deadline, uint64_t period) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes = {48, policy, flags, nice, priority, runtime, deadline, period};
  RESULT(syscall(SYS_sched_setattr, 0, &attributes, 0));
}
int cl_sched_setaffinity(const uint64_t *mask, size_t bytes) { RESULT(syscall(SYS_sched_setaffinity, 0, bytes, mask)); }
int cl_set_mempolicy(int mode, const unsigned long *nodes, unsigned long max_node) {
  RESULT(syscall(SYS_set_mempolicy, mode, nodes, max_node));
}
int cl_execve(const char *path, char *const argv[], char *const envp[]) { RESULT(execve(path, argv, envp)); }

void cl_reset_signals(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < 65; signal++) sigaction(signal, &action, NULL);  // SIGKILL, SIGSTOP and 32, 33 refuse
  uint64_t none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}
void cl_block_signals(uint64_t *old_mask) {
  uint64_t all = ~0ULL;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, old_mask, sizeof all);
}
void cl_restore_signals(const uint64_t *old_mask) {
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, old_mask, NULL, sizeof *old_mask);
}

int cl_wait_signal(int *sender) {
  uint64_t all = ~0ULL;
  siginfo_t info;
  long number;
  do {
    number = syscall(SYS_rt_sigtimedwait, &all, &info, NULL, sizeof all);
  } while (number < 0 && errno == EINTR);
  if (number < 0) return -errno;
  *sender = info.si_pid;
  return (int)number;
}

int cl_thread_count(void) {
  struct stat s;
  // A folder's link count is 2 plus its sub-folders, here one per thread.
  return stat("/proc/self/task", &s) < 0 ? -1 : (int)s.st_nlink - 2;
}
void cl_rename_process(char **argv, const char *name) {
  if (!argv || !argv[0]) return;
  size_t room = strlen(argv[0]), length = strlen(name);
  for (char **text = argv; *text; text++) memset(*text, 0, strlen(*text));
  for (char **text = environ; text && *text; text++) memset(*text, 0, strlen(*text));
  memcpy(argv[0], name, length < room ? length : room);
}
void cl_set_argument(char **argv, const char *text) {
  if (!argv || !argv[0] || !argv[1]) return;
  size_t room = strlen(argv[1]);
  memset(argv[1], 0, room);
  strncpy(argv[1], text, room);
}
void cl_exit(int status) { _exit(status); }

// ---- spawn

struct spawn_child {
  const struct cl_spawn *what;
  volatile int error;
  int lowest_free;
};

static int spawn_child(void *argument) {
  struct spawn_child *child = argument;
  const struct cl_spawn *what = child->what;
  cl_reset_signals();
  int count = what->descriptor_count;
  // Two passes, so that no target overwrites a source that is still needed: first everything above the targets.
  int moved[64];
  if (count > 64) { child->error = EINVAL; _exit(127); }
  int executable = what->executable_fd, folder = what->working_directory_fd;
  for (int i = 0; i < count; i++) {
    int source = what->descriptors[i];
    int opened = source < 0 ? open("/dev/null", O_RDWR | O_CLOEXEC) : source;
    moved[i] = opened < 0 ? -1 : fcntl(opened, F_DUPFD_CLOEXEC, count + 1);
    if (moved[i] < 0) goto failed;
  }
  if (!what->path && (executable = fcntl(executable, F_DUPFD_CLOEXEC, count + 1)) < 0) goto failed;
  if (folder >= 0 && fchdir(folder) < 0) goto failed;
  for (int i = 0; i < count; i++)
    if (dup2(moved[i], i) < 0) goto failed;
  // Everything else goes at exec; not before, because the executable's own descriptor is among it.
  if (syscall(SYS_close_range, (unsigned)count, ~0U, CL_CLOSE_RANGE_CLOEXEC) < 0) goto failed;
  if (what->new_session && setsid() < 0) goto failed;
  if (what->death_signal && prctl(PR_SET_PDEATHSIG, what->death_signal, 0, 0, 0) < 0) goto failed;
  if (what->uid >= 0 && syscall(SYS_setgroups, 0, NULL) < 0) goto failed;
  if (what->gid >= 0 && syscall(SYS_setresgid, what->gid, what->gid, what->gid) < 0) goto failed;
  if (what->uid >= 0 && syscall(SYS_setresuid, what->uid, what->uid, what->uid) < 0) goto failed;
  if (what->path)
    execve(what->path, what->argv, what->envp);
  else
    syscall(SYS_execveat, executable, "", what->argv, what->envp, AT_EMPTY_PATH);
failed:
  child->error = errno;
  _exit(127);
}

pid_t cl_spawn(const struct cl_spawn *what, int *pidfd) {
  _Alignas(16) char stack[32768];
  struct spawn_child child = {.what = what, .error = 0};
  uint64_t mask;
  int cancel_fd = -1;
  cl_block_signals(&mask);  // a handler of the parent must not run in the child, which shares its memory
  pid_t pid = clone(spawn_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &child, &cancel_fd);
  int error = errno;
  cl_restore_signals(&mask);
  if (pid < 0) return -error;
  if (child.error) {
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    close(cancel_fd);
    return -child.error;
  }
  if (pidfd)
    *pidfd = cancel_fd;
  else
    close(cancel_fd);
  return pid;
}
