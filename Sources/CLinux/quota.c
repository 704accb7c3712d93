#define _GNU_SOURCE
#include "clinux.h"
#include <errno.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// quotactl_fd(2) has no wrapper in Debian 12's glibc, and the ioctl's structure is not in Swift's Glibc module.

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

int cl_project_get(int fd, uint32_t *project) {
  struct fsxattr attributes;
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0) return -errno;
  *project = attributes.fsx_projid;
  return 0;
}

int cl_project_set(int fd, uint32_t project) {
  struct fsxattr attributes;
  if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0) return -errno;
  attributes.fsx_projid = project;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  return ioctl(fd, FS_IOC_FSSETXATTR, &attributes) < 0 ? -errno : 0;
}

int cl_project_enforced(int fd) {
  struct fs_quota_statv state;
  memset(&state, 0, sizeof state);
  state.qs_version = FS_QSTATV_VERSION1;
  if (syscall(SYS_quotactl_fd, fd, QCMD(Q_XGETQSTATV, PRJQUOTA), 0, &state) < 0) return -errno;
  return (state.qs_flags & FS_QUOTA_PDQ_ENFD) != 0;
}

int cl_project_limit(int fd, uint32_t project, uint64_t bytes) {
  struct if_dqblk limit;
  memset(&limit, 0, sizeof limit);
  limit.dqb_bhardlimit = limit.dqb_bsoftlimit = (bytes + QIF_DQBLKSIZE - 1) / QIF_DQBLKSIZE;
  limit.dqb_valid = QIF_BLIMITS;
  return syscall(SYS_quotactl_fd, fd, QCMD(Q_SETQUOTA, PRJQUOTA), project, &limit) < 0 ? -errno : 0;
}
