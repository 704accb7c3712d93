#define _GNU_SOURCE
#include "clinux.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define RESULT(call)                \
  do {                              \
    long result_ = (long)(call);    \
    return result_ < 0 ? -errno : result_; \
  } while (0)

int cl_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
  // EAGAIN: a rename or mount raced with RESOLVE_IN_ROOT; the kernel asks the caller to try again. With RESOLVE_CACHED it is
  // the answer: the look-up would have to wait.
  for (int attempt = 0;; attempt++) {
    long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    if (fd >= 0) return (int)fd;
    if (errno == EAGAIN && resolve & CL_RESOLVE_CACHED) return -errno;
    if ((errno != EAGAIN || (flags & O_NONBLOCK && attempt > 0)) && errno != EINTR) return -errno;
    if (attempt > 128) return -errno;
  }
}

int cl_statx(int dirfd, const char *path, int flags, struct cl_stat *out) {
  struct statx s;
  if (statx(dirfd, path, flags | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, &s) < 0) return -errno;
  *out = (struct cl_stat){
      .mode = s.stx_mode, .nlink = s.stx_nlink, .uid = s.stx_uid, .gid = s.stx_gid,
      .device_major = s.stx_dev_major, .device_minor = s.stx_dev_minor,
      .special_major = s.stx_rdev_major, .special_minor = s.stx_rdev_minor,
      .inode = s.stx_ino, .size = s.stx_size, .blocks = s.stx_blocks, .mount_id = s.stx_mnt_id,
      .attributes = s.stx_attributes,
      .modified_seconds = s.stx_mtime.tv_sec, .modified_nanoseconds = s.stx_mtime.tv_nsec,
      .changed_seconds = s.stx_ctime.tv_sec, .changed_nanoseconds = s.stx_ctime.tv_nsec,
      .accessed_seconds = s.stx_atime.tv_sec, .accessed_nanoseconds = s.stx_atime.tv_nsec,
      .born_seconds = s.stx_btime.tv_sec, .born_nanoseconds = s.stx_btime.tv_nsec,
  };
  return 0;
}

int64_t cl_fstatfs_type(int fd) {
  struct statfs s;
  return fstatfs(fd, &s) < 0 ? -errno : (int64_t)(uint32_t)s.f_type;
}

int cl_is_read_only(int fd) {
  struct statvfs s;
  if (fstatvfs(fd, &s) < 0) return -errno;
  return (s.f_flag & ST_RDONLY) != 0;
}

ssize_t cl_fgetxattr(int fd, const char *name, void *value, size_t size) { RESULT(fgetxattr(fd, name, value, size)); }
int cl_fsetxattr(int fd, const char *name, const void *value, size_t size, int flags) {
  RESULT(fsetxattr(fd, name, value, size, flags));
}
ssize_t cl_flistxattr(int fd, char *list, size_t size) { RESULT(flistxattr(fd, list, size)); }
ssize_t cl_getxattr(const char *path, const char *name, void *value, size_t size) {
  RESULT(getxattr(path, name, value, size));
}
int cl_setxattr(const char *path, const char *name, const void *value, size_t size, int flags) {
  RESULT(setxattr(path, name, value, size, flags));
}
ssize_t cl_listxattr(const char *path, char *list, size_t size) { RESULT(listxattr(path, list, size)); }
ssize_t cl_lgetxattr(const char *path, const char *name, void *value, size_t size) {
  RESULT(lgetxattr(path, name, value, size));
}
int cl_lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags) {
  RESULT(lsetxattr(path, name, value, size, flags));
}
ssize_t cl_llistxattr(const char *path, char *list, size_t size) { RESULT(llistxattr(path, list, size)); }
int cl_lremovexattr(const char *path, const char *name) { RESULT(lremovexattr(path, name)); }

int cl_renameat2(int from, const char *old_path, int to, const char *new_path, unsigned flags) {
  RESULT(syscall(SYS_renameat2, from, old_path, to, new_path, flags));
}
int cl_syncfs(int fd) { RESULT(syncfs(fd)); }

int cl_start_writeback(int fd) { RESULT(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE)); }
int cl_flock(int fd, int operation) { RESULT(flock(fd, operation)); }
int cl_mknodat(int dirfd, const char *path, uint32_t mode, uint32_t major, uint32_t minor) {
  RESULT(mknodat(dirfd, path, mode, makedev(major, minor)));
}
int cl_memfd_create(const char *name, unsigned flags) {
  long fd = syscall(SYS_memfd_create, name, flags);
  // MFD_EXEC is unknown before kernel 6.3, where every memfd is executable.
  if (fd < 0 && errno == EINVAL && (flags & CL_MFD_EXEC)) fd = syscall(SYS_memfd_create, name, flags & ~CL_MFD_EXEC);
  return fd < 0 ? -errno : (int)fd;
}
int cl_seal(int fd) { RESULT(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)); }
int cl_set_cloexec(int fd, int on) { RESULT(fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0)); }
int cl_set_nonblocking(int fd, int on) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  RESULT(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}
int cl_dup_from(int fd, int lowest) { RESULT(fcntl(fd, F_DUPFD_CLOEXEC, lowest)); }
int cl_close_range(unsigned first, unsigned last, unsigned flags) {
  RESULT(syscall(SYS_close_range, first, last, flags));
}
int cl_pipe(int fds[2], int flags) { RESULT(pipe2(fds, flags)); }
ssize_t cl_getdents(int fd, void *buffer, size_t size) { RESULT(syscall(SYS_getdents64, fd, buffer, size)); }
int cl_getcwd(char *buffer, size_t size) { RESULT(syscall(SYS_getcwd, buffer, size)); }
ssize_t cl_copy_file_range(int from, int to, size_t size) { RESULT(copy_file_range(from, NULL, to, NULL, size, 0)); }
