#define _GNU_SOURCE
#include "device_bpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(int command, union bpf_attr *attributes) {
  long result = syscall(SYS_bpf, command, attributes, sizeof *attributes);
  return result < 0 ? -errno : (int)result;
}

int cl_device_program_load(const void *instructions, uint32_t count, char *log, uint32_t log_size) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = (uint64_t)(uintptr_t)instructions;
  attributes.insn_cnt = count;
  // The kernel lets only programs that call themselves GPL-compatible use some helpers; this one uses none.
  attributes.license = (uint64_t)(uintptr_t) "Apache";
  if (log_size != 0) {
    attributes.log_buf = (uint64_t)(uintptr_t)log;
    attributes.log_size = log_size;
    attributes.log_level = 1;
  }
  memcpy(attributes.prog_name, "gantry_devices", sizeof "gantry_devices");
  return bpf(BPF_PROG_LOAD, &attributes);
}

int cl_device_program_attach(int cgroup, int program) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.target_fd = (uint32_t)cgroup;
  attributes.attach_bpf_fd = (uint32_t)program;
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  return bpf(BPF_PROG_ATTACH, &attributes);
}

int cl_device_program_detach(int cgroup, uint32_t identifier) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.prog_id = identifier;
  int program = bpf(BPF_PROG_GET_FD_BY_ID, &attributes);
  if (program < 0) return program;
  memset(&attributes, 0, sizeof attributes);
  attributes.target_fd = (uint32_t)cgroup;
  attributes.attach_bpf_fd = (uint32_t)program;
  attributes.attach_type = BPF_CGROUP_DEVICE;
  int result = bpf(BPF_PROG_DETACH, &attributes);
  close(program);
  return result;
}

int cl_device_program_query(int cgroup, uint32_t *identifiers, uint32_t capacity) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.query.target_fd = (uint32_t)cgroup;
  attributes.query.attach_type = BPF_CGROUP_DEVICE;
  attributes.query.prog_ids = (uint64_t)(uintptr_t)identifiers;
  attributes.query.prog_cnt = capacity;
  int result = bpf(BPF_PROG_QUERY, &attributes);
  return result < 0 ? result : (int)attributes.query.prog_cnt;
}
