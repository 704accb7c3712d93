#pragma once
// The only C of ours: system calls and macros that Swift cannot reach, each with its why.
//
// Every function returns its result, or the negative errno: nothing reads the thread's errno, so Swift cannot lose it.

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// ---- Constants: copied from the kernel's headers, because <linux/mount.h> and <sys/mount.h> cannot be used together and
// ---- 64-bit macros with casts are not imported into Swift.

#define CL_AT_FDCWD (-100)
#define CL_AT_EMPTY_PATH 0x1000
#define CL_AT_SYMLINK_NOFOLLOW 0x100
#define CL_AT_RECURSIVE 0x8000

#define CL_RESOLVE_NO_XDEV 0x01
#define CL_RESOLVE_NO_MAGICLINKS 0x02
#define CL_RESOLVE_NO_SYMLINKS 0x04
#define CL_RESOLVE_BENEATH 0x08
#define CL_RESOLVE_IN_ROOT 0x10
/// Only what needs no wait (kernel 5.12): EAGAIN otherwise.
#define CL_RESOLVE_CACHED 0x20

#define CL_O_PATH 010000000
#define CL_O_TMPFILE 020200000

#define CL_FSOPEN_CLOEXEC 0x1
#define CL_FSMOUNT_CLOEXEC 0x1
#define CL_FSCONFIG_SET_FLAG 0
#define CL_FSCONFIG_SET_STRING 1
#define CL_FSCONFIG_SET_FD 5
#define CL_FSCONFIG_CMD_CREATE 6
#define CL_FSCONFIG_CMD_RECONFIGURE 7
#define CL_OPEN_TREE_CLONE 0x1
#define CL_OPEN_TREE_CLOEXEC 02000000
#define CL_MOVE_MOUNT_F_EMPTY_PATH 0x04
#define CL_MOVE_MOUNT_T_EMPTY_PATH 0x40

#define CL_MOUNT_ATTR_RDONLY 0x01
#define CL_MOUNT_ATTR_NOSUID 0x02
#define CL_MOUNT_ATTR_NODEV 0x04
#define CL_MOUNT_ATTR_NOEXEC 0x08
#define CL_MOUNT_ATTR_ATIME 0x70
#define CL_MOUNT_ATTR_NOATIME 0x10
#define CL_MOUNT_ATTR_STRICTATIME 0x20
#define CL_MOUNT_ATTR_NODIRATIME 0x80
#define CL_MOUNT_ATTR_IDMAP 0x100000
#define CL_MOUNT_ATTR_NOSYMFOLLOW 0x200000

#define CL_MS_RDONLY 1
#define CL_MS_NOSUID 2
#define CL_MS_NODEV 4
#define CL_MS_NOEXEC 8
#define CL_MS_REMOUNT 32
#define CL_MS_BIND 4096
#define CL_MS_MOVE 8192
#define CL_MS_REC 16384
#define CL_MS_UNBINDABLE (1 << 17)
#define CL_MS_PRIVATE (1 << 18)
#define CL_MS_SLAVE (1 << 19)
#define CL_MS_SHARED (1 << 20)
#define CL_MNT_DETACH 2
#define CL_UMOUNT_NOFOLLOW 8

#define CL_CLONE_NEWTIME 0x00000080
#define CL_CLONE_PIDFD 0x00001000
#define CL_CLONE_PARENT 0x00008000
#define CL_CLONE_NEWNS 0x00020000
#define CL_CLONE_NEWCGROUP 0x02000000
#define CL_CLONE_NEWUTS 0x04000000
#define CL_CLONE_NEWIPC 0x08000000
#define CL_CLONE_NEWUSER 0x10000000
#define CL_CLONE_NEWPID 0x20000000
#define CL_CLONE_NEWNET 0x40000000

#define CL_CLOSE_RANGE_CLOEXEC 4

#define CL_PR_SET_PDEATHSIG 1
#define CL_PR_SET_DUMPABLE 4
#define CL_PR_SET_KEEPCAPS 8
#define CL_PR_SET_NAME 15
#define CL_PR_CAPBSET_READ 23
#define CL_PR_CAPBSET_DROP 24
#define CL_PR_SET_CHILD_SUBREAPER 36
#define CL_PR_SET_NO_NEW_PRIVS 38
#define CL_PR_CAP_AMBIENT 47
#define CL_PR_CAP_AMBIENT_RAISE 2
#define CL_PR_CAP_AMBIENT_CLEAR_ALL 4

#define CL_MFD_CLOEXEC 1
#define CL_MFD_ALLOW_SEALING 2
#define CL_MFD_EXEC 0x10

#define CL_P_ALL 0
#define CL_P_PID 1
#define CL_P_PIDFD 3

// ---- Files and paths

/// openat2(2): glibc 2.36 has no wrapper. The only call that resolves a path inside an untrusted root.
int cl_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);

/// What statx(2) tells of a file, in plain fields: `struct statx` is not in Swift's Glibc module.
struct cl_stat {
  uint32_t mode, nlink, uid, gid;
  uint32_t device_major, device_minor, special_major, special_minor;
  uint64_t inode, size, blocks, mount_id, attributes;
  int64_t modified_seconds, changed_seconds, accessed_seconds, born_seconds;
  uint32_t modified_nanoseconds, changed_nanoseconds, accessed_nanoseconds, born_nanoseconds;
};
/// statx(2) with everything that the kernel gives cheaply, `mount_id` too.
int cl_statx(int dirfd, const char *path, int flags, struct cl_stat *out);
/// The type number of the file system that `fd` is on; `struct statfs` names clash with the function in Swift.
int64_t cl_fstatfs_type(int fd);
/// Whether nothing can be written through the mount, or to the file system, that `fd` is on: 1 or 0.
int cl_is_read_only(int fd);

/// Extended attributes: <sys/xattr.h> is not in Swift's Glibc module. A NULL/0 buffer asks for the size.
ssize_t cl_fgetxattr(int fd, const char *name, void *value, size_t size);
int cl_fsetxattr(int fd, const char *name, const void *value, size_t size, int flags);
ssize_t cl_flistxattr(int fd, char *list, size_t size);
ssize_t cl_getxattr(const char *path, const char *name, void *value, size_t size);
int cl_setxattr(const char *path, const char *name, const void *value, size_t size, int flags);
ssize_t cl_listxattr(const char *path, char *list, size_t size);
ssize_t cl_lgetxattr(const char *path, const char *name, void *value, size_t size);
int cl_lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags);
ssize_t cl_llistxattr(const char *path, char *list, size_t size);
int cl_lremovexattr(const char *path, const char *name);

/// renameat2(2) and syncfs(2), flock(2), fallocate(2): GNU extensions that the Glibc module may leave out.
int cl_renameat2(int from, const char *old_path, int to, const char *new_path, unsigned flags);
int cl_syncfs(int fd);
/// Lets the kernel begin to write a file to the disk, without waiting for it (sync_file_range(2)).
int cl_start_writeback(int fd);
int cl_flock(int fd, int operation);
int cl_mknodat(int dirfd, const char *path, uint32_t mode, uint32_t major, uint32_t minor);
/// memfd_create(2) and its seals: a sealed copy of an executable that nobody can write to.
int cl_memfd_create(const char *name, unsigned flags);
int cl_seal(int fd);
/// fcntl(2) is variadic.
int cl_set_cloexec(int fd, int on);
int cl_set_nonblocking(int fd, int on);
int cl_dup_from(int fd, int lowest);
/// close_range(2), glibc's declaration needs _GNU_SOURCE.
int cl_close_range(unsigned first, unsigned last, unsigned flags);
/// pipe2(2) needs _GNU_SOURCE.
int cl_pipe(int fds[2], int flags);

// ---- Mounts (the new mount API; glibc 2.36 declares it only where it clashes with the kernel's header)

int cl_fsopen(const char *type, unsigned flags);
int cl_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux);
int cl_fsmount(int fd, unsigned flags, unsigned attributes);
int cl_open_tree(int dirfd, const char *path, unsigned flags);
int cl_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags);
int cl_mount_setattr(int dirfd, const char *path, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation,
                     uint64_t userns_fd);
int cl_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int cl_umount(const char *target, int flags);
int cl_pivot_root(const char *new_root, const char *put_old);

// ---- Processes and namespaces

/// clone3(2) without shared memory: returns 0 in the child, like fork. `cgroup_fd` -1: the parent's cgroup. `pidfd` may be
/// NULL. Only a single-threaded caller may run anything but async-signal-safe code in the child.
pid_t cl_clone3(uint64_t flags, int exit_signal, int cgroup_fd, int *pidfd);
int cl_setns(int fd, int flags);
int cl_unshare(int flags);
int cl_pidfd_open(pid_t pid, unsigned flags);
int cl_pidfd_send_signal(int pidfd, int signal);
int cl_pidfd_getfd(int pidfd, int fd);
/// waitid(2): the fields of siginfo_t are macros. Returns 0 and `*pid` 0 when WNOHANG found nothing.
/// `*status` is the exit code, or the signal when `*signalled` is 1; `*dumped` says that a core file was written.
int cl_wait(int id_type, int id, int no_hang, int keep, pid_t *pid, int *signalled, int *status, int *dumped);
/// Quotas of projects: the project of an open file or folder; setting it makes what is made below belong to it too.
int cl_project_get(int fd, uint32_t *project);
int cl_project_set(int fd, uint32_t project);
/// Whether the file system of `fd` enforces limits of projects: 1, 0, or the negative errno.
int cl_project_enforced(int fd);
/// Sets the limit of a project in bytes, rounded up to KiB; 0 takes it away (Linux 5.14).
int cl_project_limit(int fd, uint32_t project, uint64_t bytes);
/// prctl(2) and ioctl(2) are variadic.
int cl_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int cl_ioctl(int fd, unsigned long request, unsigned long argument);
/// capget/capset have no glibc wrapper; both halves of each set as one 64-bit mask.
int cl_capget(uint64_t *effective, uint64_t *permitted, uint64_t *inheritable);
int cl_capset(uint64_t effective, uint64_t permitted, uint64_t inheritable);
/// seccomp(2) has no glibc wrapper. `program` is an array of 8-byte sock_filter.
int cl_seccomp_filter(const void *program, unsigned short instructions, unsigned flags);
/// keyctl(KEYCTL_JOIN_SESSION_KEYRING): a keyring of its own. libkeyutils for one call is too much.
int cl_join_session_keyring(const char *name);
/// setgroups and the setres*id calls, as the raw system calls: glibc's versions signal every thread of the process.
int cl_setgroups(size_t count, const uint32_t *groups);
int cl_setresgid(uint32_t gid);
int cl_setresuid(uint32_t uid);
int cl_sethostname(const char *name, size_t length);
int cl_setdomainname(const char *name, size_t length);
int cl_getrlimit(int resource, uint64_t *soft, uint64_t *hard);
int cl_setrlimit(int resource, uint64_t soft, uint64_t hard);
int cl_personality(unsigned long persona);
int cl_ioprio_set(int which_class, int priority);
int cl_sched_setattr(uint32_t policy, uint64_t flags, int32_t nice, uint32_t priority, uint64_t runtime,
                     uint64_t deadline, uint64_t period);
int cl_sched_setaffinity(const uint64_t *mask, size_t bytes);
int cl_set_mempolicy(int mode, const unsigned long *nodes, unsigned long max_node);
/// getdents64 for fd-relative reading of folders without a DIR allocation; returns bytes.
ssize_t cl_getdents(int fd, void *buffer, size_t size);
/// getcwd(2) as the system call: glibc falls back to walking the tree, which hides "(unreachable)".
int cl_getcwd(char *buffer, size_t size);
/// execve/execveat: Swift's Glibc module imports execve, but with optionality that forces copies.
int cl_execve(const char *path, char *const argv[], char *const envp[]);
/// Every signal back to its default action and none blocked; async-signal-safe.
void cl_reset_signals(void);
/// Blocks every signal, as a 64-bit mask out for cl_restore_signals.
void cl_block_signals(uint64_t *old_mask);
void cl_restore_signals(const uint64_t *old_mask);
/// Waits for any signal that was blocked (rt_sigtimedwait without a limit); returns its number.
int cl_wait_signal(int *sender);
/// The threads of this process, by /proc/self/task's link count; -1 when /proc cannot be read.
int cl_thread_count(void);
/// Overwrites this process's arguments by `name` and its environment by nothing, as others see them in /proc. In C because
/// `environ` is a mutable global, which Swift 6 does not let be read.
void cl_rename_process(char **argv, const char *name);
/// Overwrites the second argument of this process by `text`, cut to the room that the argument had, as others see it in /proc.
void cl_set_argument(char **argv, const char *text);
/// _exit(2) without running anything, marked as never returning for Swift.
__attribute__((noreturn)) void cl_exit(int status);

/// One program to start from a process that may have many threads: nothing but async-signal-safe code runs in the child.
struct cl_spawn {
  /// The program: a path, or NULL and `executable_fd` (a memfd, say).
  const char *path;
  int executable_fd;
  char *const *argv;
  char *const *envp;
  /// descriptors[i] becomes descriptor i in the child; -1 becomes /dev/null. Every other one is closed.
  const int *descriptors;
  int descriptor_count;
  /// A folder to start in, or -1.
  int working_directory_fd;
  /// 1: a session of its own.
  int new_session;
  /// A signal to get when the parent thread ends, or 0.
  int death_signal;
  /// The ids to run as, or -1 to keep. Groups are dropped when uid is given.
  int64_t uid, gid;
};
/// clone(CLONE_VM | CLONE_VFORK | CLONE_PIDFD) + exec. Returns the pid, or -errno (of exec too: nothing is left behind).
pid_t cl_spawn(const struct cl_spawn *what, int *pidfd);

// ---- Sockets, events, terminals

/// SO_PEERCRED: `struct ucred` needs _GNU_SOURCE.
int cl_peer_credentials(int fd, pid_t *pid, uint32_t *uid, uint32_t *gid);
/// sendmsg/recvmsg with SCM_RIGHTS: the CMSG macros. Received descriptors are close-on-exec.
ssize_t cl_send_fds(int fd, const void *data, size_t size, const int *fds, int count, int flags);
ssize_t cl_receive_fds(int fd, void *data, size_t size, int *fds, int capacity, int *count, int flags);
/// sockaddr_un with a length that may be abstract or a path; path up to 107 bytes.
int cl_unix_bind(int fd, const char *path);
int cl_unix_connect(int fd, const char *path);
int cl_accept(int fd, int flags);
int cl_epoll_create(void);
int cl_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t data);
/// `events` and `data` are two arrays: struct epoll_event is packed on x86-64, which Swift lays out otherwise.
int cl_epoll_wait(int epoll, uint32_t *events, uint64_t *data, int capacity, int timeout_ms);
int cl_eventfd(unsigned initial, int flags);
int cl_signalfd(const int *signals, int count);
/// Reads one signal from a signalfd: its number, and the sender's pid.
int cl_signalfd_read(int fd, uint32_t *sender);
/// A new pseudo terminal of the devpts that `ptmx` (an open /dev/ptmx or pts/ptmx) is on: unlocks it, and TIOCGPTPEER.
int cl_tty_unlock(int master);
int cl_tty_peer(int master, int flags);
int cl_tty_number(int master);
int cl_tty_make_controlling(int fd);
int cl_tty_get_size(int fd, uint16_t *rows, uint16_t *columns);
int cl_tty_set_size(int fd, uint16_t rows, uint16_t columns);
/// cfmakeraw and back: struct termios has a fixed-size array that Swift imports as a tuple; 64 bytes keep the old state.
int cl_tty_raw(int fd, uint8_t saved[64]);
int cl_tty_restore(int fd, const uint8_t saved[64]);
int cl_tty_set_foreground(int fd, pid_t group);
/// SIOCSIFFLAGS on "lo": struct ifreq is a union.
int cl_loopback_up(void);
/// if_nametoindex(3), and one rtnetlink request with its answers: the netlink structures and constants are macros.
int cl_interface_index(const char *name);
/// Moves the interface `index` to the network namespace `netns` under the name `name` (RTM_NEWLINK).
int cl_move_interface(int index, int netns, const char *name);
/// The permanent addresses of global scope of the interface `index`: each as its length in 4 bytes and then the message's
/// `struct ifaddrmsg` with its attributes. Returns the bytes written, -ENOSPC when `capacity` is too small.
ssize_t cl_interface_addresses(int index, uint8_t *out, size_t capacity);
/// Gives the interface `index` an address that `cl_interface_addresses` told, without the length (RTM_NEWADDR).
int cl_add_address(int index, const uint8_t *message, size_t size);
/// Switches the interface `index` on (RTM_NEWLINK).
int cl_interface_up(int index);
ssize_t cl_copy_file_range(int from, int to, size_t size);

// ---- Memory

/// malloc_trim(3): <malloc.h> is not in Swift's Glibc module. Gives free pages of the heap back to the kernel.
int cl_malloc_trim(void);
/// Gives the pages of this thread's stack that deeper calls have used, and no call uses now, back to the kernel.
void cl_stack_trim(void);
