/* Tries one system call and prints the name of the error, or "allowed". Static, so that it runs in any container. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef AF_VSOCK
#define AF_VSOCK 40
#endif

static int tell(long result) {
  if (result >= 0) { puts("allowed"); return 0; }
  puts(strerrorname_np(errno));
  return 0;
}

/* A 32-bit system call from 64-bit code; negative results are errors. */
static long call32(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
  if (result < 0) { errno = (int)-result; return -1; }
  return result;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "mount")) return tell(syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, 0));
  if (!strcmp(what, "umount")) return tell(syscall(SYS_umount2, "/proc", 0));
  if (!strcmp(what, "unshare-user")) return tell(syscall(SYS_unshare, CLONE_NEWUSER));
  if (!strcmp(what, "clone-user")) return tell(syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0));
  if (!strcmp(what, "unshare-mount")) return tell(syscall(SYS_unshare, CLONE_NEWNS));
  if (!strcmp(what, "setns")) return tell(syscall(SYS_setns, open("/proc/self/ns/mnt", O_RDONLY), 0));
  if (!strcmp(what, "bpf")) return tell(syscall(SYS_bpf, 0, 0, 0));
  if (!strcmp(what, "keyctl")) return tell(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
  if (!strcmp(what, "session")) {
    long id = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    return id < 0 ? tell(id) : printf("%ld\n", id) < 0;
  }
  if (!strcmp(what, "add_key")) return tell(syscall(SYS_add_key, "user", "k", "v", 1, KEY_SPEC_SESSION_KEYRING));
  if (!strcmp(what, "clone3")) return tell(syscall(SYS_clone3, 0, 0));
  if (!strcmp(what, "ptrace-init")) return tell(ptrace(PTRACE_ATTACH, 1, 0, 0));
  if (!strcmp(what, "af_alg")) return tell(socket(AF_ALG, SOCK_SEQPACKET, 0));
  if (!strcmp(what, "af_vsock")) return tell(socket(AF_VSOCK, SOCK_STREAM, 0));
  if (!strcmp(what, "inet")) return tell(socket(AF_INET, SOCK_STREAM, 0));
  if (!strcmp(what, "kexec_load")) return tell(syscall(SYS_kexec_load, 0, 0, 0, 0));
  if (!strcmp(what, "init_module")) return tell(syscall(SYS_init_module, 0, 0, ""));
  if (!strcmp(what, "open_by_handle_at")) return tell(syscall(SYS_open_by_handle_at, 0, 0, 0));
  if (!strcmp(what, "userfaultfd")) return tell(syscall(SYS_userfaultfd, 0));
  if (!strcmp(what, "perf_event_open")) return tell(syscall(SYS_perf_event_open, 0, 0, 0, 0, 0));
  if (!strcmp(what, "io_uring_setup")) return tell(syscall(SYS_io_uring_setup, 1, 0));
  if (!strcmp(what, "fsopen")) return tell(syscall(SYS_fsopen, "tmpfs", 0));
  if (!strcmp(what, "reboot")) return tell(syscall(SYS_reboot, 0, 0, 0, 0));
  if (!strcmp(what, "settimeofday")) return tell(syscall(SYS_clock_settime, 0, 0));
  /* i386 numbers: mount 21, unshare 310, keyctl 288, bpf 357, socket 359 */
  if (!strcmp(what, "mount32")) return tell(call32(21, 0, 0, 0));
  if (!strcmp(what, "unshare32")) return tell(call32(310, CLONE_NEWUSER, 0, 0));
  if (!strcmp(what, "keyctl32")) return tell(call32(288, 0, -3, 0));
  if (!strcmp(what, "bpf32")) return tell(call32(357, 0, 0, 0));
  if (!strcmp(what, "af_alg32")) return tell(call32(359, AF_ALG, SOCK_SEQPACKET, 0));
  if (!strcmp(what, "af_vsock32")) return tell(call32(359, AF_VSOCK, SOCK_STREAM, 0));
  if (!strcmp(what, "mknod-disk")) {
    if (argc < 4) return 2;
    unsigned major = 0, minor = 0;
    sscanf(argv[2], "%u", &major);
    sscanf(argv[3], "%u", &minor);
    unlink("/disk");
    if (mknod("/disk", S_IFBLK | 0600, makedev(major, minor)) < 0) return tell(-1);
    return tell(open("/disk", O_RDONLY));
  }
  fprintf(stderr, "unknown call '%s'\n", what);
  return 2;
}
