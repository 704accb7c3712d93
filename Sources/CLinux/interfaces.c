#define _GNU_SOURCE
#include "clinux.h"
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Moving a network interface into a container with what it has: five rtnetlink requests. In C because the messages are
// structures of the kernel's headers that are walked by macros.

struct request {
  struct nlmsghdr header;
  union {
    struct ifinfomsg link;
    struct ifaddrmsg address;
    uint8_t room[1024];
  };
};

static void add(struct request *request, uint16_t type, const void *data, uint16_t size) {
  struct rtattr *attribute = (struct rtattr *)((uint8_t *)request + NLMSG_ALIGN(request->header.nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = RTA_LENGTH(size);
  memcpy(RTA_DATA(attribute), data, size);
  request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

static int open_route(void) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  return fd < 0 ? -errno : fd;
}

/// Sends a request and reads its acknowledgement: 0 or the negative errno.
static int acknowledged(struct request *request) {
  int fd = open_route();
  if (fd < 0) return fd;
  request->header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
  uint8_t answer[4096] __attribute__((aligned(8)));
  ssize_t got = send(fd, request, request->header.nlmsg_len, 0);
  if (got >= 0) got = recv(fd, answer, sizeof answer, 0);
  int result = got < 0 ? -errno : -EIO;
  close(fd);
  const struct nlmsghdr *header = (const struct nlmsghdr *)answer;
  if (got >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) && header->nlmsg_type == NLMSG_ERROR)
    result = ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
  return result;
}

int cl_interface_index(const char *name) {
  unsigned index = if_nametoindex(name);
  return index ? (int)index : -errno;
}

int cl_move_interface(int index, int netns, const char *name) {
  struct request request = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof request.link), .nlmsg_type = RTM_NEWLINK}};
  request.link.ifi_index = index;
  uint32_t descriptor = (uint32_t)netns;
  add(&request, IFLA_NET_NS_FD, &descriptor, sizeof descriptor);
  add(&request, IFLA_IFNAME, name, (uint16_t)strnlen(name, IF_NAMESIZE - 1) + 1);
  return acknowledged(&request);
}

int cl_interface_up(int index) {
  struct request request = {.header = {.nlmsg_len = NLMSG_LENGTH(sizeof request.link), .nlmsg_type = RTM_NEWLINK}};
  request.link.ifi_index = index;
  request.link.ifi_flags = request.link.ifi_change = IFF_UP;
  return acknowledged(&request);
}

int cl_add_address(int index, const uint8_t *message, size_t size) {
  struct request request = {.header = {.nlmsg_len = (uint32_t)NLMSG_LENGTH(size), .nlmsg_type = RTM_NEWADDR}};
  if (size < sizeof request.address || size > sizeof request.room) return -EINVAL;
  request.header.nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
  memcpy(&request.address, message, size);
  request.address.ifa_index = (uint32_t)index;
  return acknowledged(&request);
}

ssize_t cl_interface_addresses(int index, uint8_t *out, size_t capacity) {
  struct request request = {
      .header = {.nlmsg_len = NLMSG_LENGTH(sizeof request.address),
                 .nlmsg_type = RTM_GETADDR,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
  int fd = open_route();
  if (fd < 0) return fd;
  ssize_t result = 0;
  if (send(fd, &request, request.header.nlmsg_len, 0) < 0) result = -errno;
  uint8_t answer[16384] __attribute__((aligned(8)));
  for (int more = result == 0; more;) {
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    if (got <= 0) {
      result = got < 0 ? -errno : -EIO;
      break;
    }
    int left = (int)got;
    for (struct nlmsghdr *header = (struct nlmsghdr *)answer; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) more = 0;
      if (header->nlmsg_type == NLMSG_ERROR) {
        result = ((struct nlmsgerr *)NLMSG_DATA(header))->error;
        more = 0;
      }
      if (!more) break;
      const struct ifaddrmsg *address = NLMSG_DATA(header);
      if (header->nlmsg_type != RTM_NEWADDR || (int)address->ifa_index != index) continue;
      if (address->ifa_scope != RT_SCOPE_UNIVERSE || !(address->ifa_flags & IFA_F_PERMANENT)) continue;
      uint32_t size = header->nlmsg_len - NLMSG_HDRLEN;
      if (result + sizeof size + size > capacity) {
        result = -ENOSPC;
        more = 0;
        break;
      }
      memcpy(out + result, &size, sizeof size);
      memcpy(out + result + sizeof size, address, size);
      result += (ssize_t)(sizeof size + size);
    }
  }
  close(fd);
  return result;
}
