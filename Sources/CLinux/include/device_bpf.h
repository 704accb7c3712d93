#pragma once
#include <stddef.h>
#include <stdint.h>

// bpf(2) has no wrapper in glibc, and syscall(2) is variadic, which Swift cannot call: so the four commands that device
// denial on cgroup v2 needs are here. As everywhere in CLinux, a function returns its result or the negative errno.

/// Loads `count` eBPF instructions (8 bytes each) as a BPF_PROG_TYPE_CGROUP_DEVICE program; returns its descriptor.
/// `log` takes the verifier's words when `log_size` is not 0.
int cl_device_program_load(const void *instructions, uint32_t count, char *log, uint32_t log_size);

/// Attaches `program` to the cgroup folder `cgroup` beside those of cgroups below (BPF_F_ALLOW_MULTI).
int cl_device_program_attach(int cgroup, int program);

/// Takes the program with the id `identifier` off the cgroup folder.
int cl_device_program_detach(int cgroup, uint32_t identifier);

/// Writes the ids of the programs attached to the cgroup folder itself into `identifiers`; returns how many there are.
int cl_device_program_query(int cgroup, uint32_t *identifiers, uint32_t capacity);
