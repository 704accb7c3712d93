#define _GNU_SOURCE
#include "clinux.h"
#include <errno.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc 2.36 has these system calls, but its <sys/mount.h> lacks newer flags; the raw calls need neither header.

#define RESULT(call)                \
  do {                              \
    long result_ = (long)(call);    \
    return result_ < 0 ? -errno : result_; \
  } while (0)

struct attr {
  uint64_t set, clear, propagation, userns_fd;
};

int cl_fsopen(const char *type, unsigned flags) { RESULT(syscall(SYS_fsopen, type, flags)); }
int cl_fsconfig(int fd, unsigned command, const char *key, const void *value, int aux) {
  RESULT(syscall(SYS_fsconfig, fd, command, key, value, aux));
}
int cl_fsmount(int fd, unsigned flags, unsigned attributes) { RESULT(syscall(SYS_fsmount, fd, flags, attributes)); }
int cl_open_tree(int dirfd, const char *path, unsigned flags) { RESULT(syscall(SYS_open_tree, dirfd, path, flags)); }
int cl_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned flags) {
  RESULT(syscall(SYS_move_mount, from, from_path, to, to_path, flags));
}
int cl_mount_setattr(int dirfd, const char *path, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation,
                     uint64_t userns_fd) {
  struct attr attr = {.set = set, .clear = clear, .propagation = propagation, .userns_fd = userns_fd};
  RESULT(syscall(SYS_mount_setattr, dirfd, path, flags, &attr, sizeof attr));
}
int cl_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  RESULT(mount(source, target, type, flags, data));
}
int cl_umount(const char *target, int flags) { RESULT(umount2(target, flags)); }
int cl_pivot_root(const char *new_root, const char *put_old) { RESULT(syscall(SYS_pivot_root, new_root, put_old)); }
