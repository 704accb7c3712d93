#define _GNU_SOURCE
#include "clinux.h"
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define RESULT(call)                \
  do {                              \
    long result_ = (long)(call);    \
    return result_ < 0 ? -errno : result_; \
  } while (0)

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

int cl_peer_credentials(int fd, pid_t *pid, uint32_t *uid, uint32_t *gid) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return -errno;
  *pid = peer.pid;
  *uid = peer.uid;
  *gid = peer.gid;
  return 0;
}

ssize_t cl_send_fds(int fd, const void *data, size_t size, const int *fds, int count, int flags) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))];
  if (count < 0 || count > 64) return -EINVAL;
  struct iovec part = {(void *)data, size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    memset(control, 0, sizeof control);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
  }
  ssize_t sent;
  do { sent = sendmsg(fd, &message, flags | MSG_NOSIGNAL); } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

ssize_t cl_receive_fds(int fd, void *data, size_t size, int *fds, int capacity, int *count, int flags) {
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))];
  if (capacity < 0 || capacity > 64) return -EINVAL;
  struct iovec part = {data, size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                           .msg_controllen = CMSG_SPACE(capacity * sizeof(int))};
  ssize_t got;
  *count = 0;
  do { got = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC); } while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int number = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < number; i++) {
      int received;
      memcpy(&received, CMSG_DATA(header) + i * sizeof(int), sizeof received);
      if (*count < capacity) fds[(*count)++] = received;
      else close(received);
    }
  }
  return got;
}

static int unix_address(const char *path, struct sockaddr_un *address, socklen_t *length) {
  size_t size = strlen(path);
  memset(address, 0, sizeof *address);
  if (size >= sizeof address->sun_path) return -ENAMETOOLONG;
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, size);
  *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
  return 0;
}
int cl_unix_bind(int fd, const char *path) {
  struct sockaddr_un address;
  socklen_t length;
  int error = unix_address(path, &address, &length);
  if (error) return error;
  RESULT(bind(fd, (struct sockaddr *)&address, length));
}
int cl_unix_connect(int fd, const char *path) {
  struct sockaddr_un address;
  socklen_t length;
  int error = unix_address(path, &address, &length);
  if (error) return error;
  RESULT(connect(fd, (struct sockaddr *)&address, length));
}
int cl_accept(int fd, int flags) { RESULT(accept4(fd, NULL, NULL, flags)); }

int cl_epoll_create(void) { RESULT(epoll_create1(EPOLL_CLOEXEC)); }
int cl_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  RESULT(epoll_ctl(epoll, operation, fd, &event));
}
int cl_epoll_wait(int epoll, uint32_t *events, uint64_t *data, int capacity, int timeout_ms) {
  struct epoll_event ready[64];
  int count = epoll_wait(epoll, ready, capacity < 64 ? capacity : 64, timeout_ms);
  if (count < 0) return -errno;
  for (int i = 0; i < count; i++) {
    events[i] = ready[i].events;
    data[i] = ready[i].data.u64;
  }
  return count;
}
int cl_eventfd(unsigned initial, int flags) { RESULT(eventfd(initial, flags)); }
int cl_signalfd(const int *signals, int count) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < count; i++) sigaddset(&set, signals[i]);
  // A signal is only queued for a signalfd while it is blocked.
  if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -errno;
  RESULT(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}
int cl_signalfd_read(int fd, uint32_t *sender) {
  struct signalfd_siginfo info;
  ssize_t got = read(fd, &info, sizeof info);
  if (got < 0) return -errno;
  if (got != sizeof info) return -EIO;
  *sender = info.ssi_pid;
  return (int)info.ssi_signo;
}

int cl_tty_unlock(int master) {
  int zero = 0;
  RESULT(ioctl(master, TIOCSPTLCK, &zero));
}
int cl_tty_peer(int master, int flags) { RESULT(ioctl(master, TIOCGPTPEER, flags)); }
int cl_tty_number(int master) {
  unsigned number;
  if (ioctl(master, TIOCGPTN, &number) < 0) return -errno;
  return (int)number;
}
int cl_tty_make_controlling(int fd) { RESULT(ioctl(fd, TIOCSCTTY, 0)); }
int cl_tty_get_size(int fd, uint16_t *rows, uint16_t *columns) {
  struct winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) < 0) return -errno;
  *rows = size.ws_row;
  *columns = size.ws_col;
  return 0;
}
int cl_tty_set_size(int fd, uint16_t rows, uint16_t columns) {
  struct winsize size = {.ws_row = rows, .ws_col = columns};
  RESULT(ioctl(fd, TIOCSWINSZ, &size));
}
_Static_assert(sizeof(struct termios) <= 64, "the saved state must hold a struct termios");
int cl_tty_raw(int fd, uint8_t saved[64]) {
  struct termios state;
  if (tcgetattr(fd, &state) < 0) return -errno;
  memcpy(saved, &state, sizeof state);
  cfmakeraw(&state);
  RESULT(tcsetattr(fd, TCSANOW, &state));
}
int cl_tty_restore(int fd, const uint8_t saved[64]) {
  struct termios state;
  memcpy(&state, saved, sizeof state);
  RESULT(tcsetattr(fd, TCSANOW, &state));
}
int cl_tty_set_foreground(int fd, pid_t group) { RESULT(tcsetpgrp(fd, group)); }

int cl_loopback_up(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  int error = ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
  close(fd);
  return error;
}
