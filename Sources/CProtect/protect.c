#define _GNU_SOURCE
#include "protect.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// A container that reaches /proc/PID/exe of the runtime, or of the init that the runtime makes, could write to the
// runtime's file on the disk once the process is gone (CVE-2019-5736). So the process executes itself again through a
// detached, read-only mount of its own file, where every open for writing fails, whoever asks.
//
// In C and before everything else, because the first of the two starts then costs an exec and nothing of Swift's own start.
// When it cannot be done, the program goes on, and finds out itself that its file can be written (OwnExecutable).

struct attributes {
  uint64_t set, clear, propagation, userns_fd;
};

static int enters_containers(int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (!strcmp(argv[i], "create") || !strcmp(argv[i], "run") || !strcmp(argv[i], "exec")) return 1;
  return 0;
}

__attribute__((constructor(101))) static void protect(int argc, char **argv, char **environment) {
  static const char path[] = "/proc/self/exe", name[] = "gantry-runtime";
  if (!enters_containers(argc, argv)) return;
  if (access(path, W_OK) < 0 && errno == EROFS) {
    // Started from a descriptor: the kernel has no name for it.
    prctl(PR_SET_NAME, (unsigned long)name, 0, 0, 0);
    return;
  }
  int mount = (int)syscall(SYS_open_tree, AT_FDCWD, path, 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC);
  if (mount < 0) return;
  struct attributes read_only = {.set = 1 /* MOUNT_ATTR_RDONLY */};
  if (syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &read_only, sizeof read_only) == 0)
    syscall(SYS_execveat, mount, "", argv, environment, AT_EMPTY_PATH);
  close(mount);
}
