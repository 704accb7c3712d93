#define _GNU_SOURCE
#include "include/landlock.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

// The numbers are the same on every architecture; glibc 2.31's headers do not have them.
#define NUMBER_CREATE_RULESET 444
#define NUMBER_ADD_RULE 445
#define NUMBER_RESTRICT_SELF 446

#define RESULT(call)                       \
  do {                                     \
    long result = (call);                  \
    return result < 0 ? -errno : (int)result; \
  } while (0)

struct path_beneath {
  uint64_t allowed_access;
  int32_t parent_fd;
} __attribute__((packed));

int cl_landlock_version(void) { RESULT(syscall(NUMBER_CREATE_RULESET, (void *)0, (size_t)0, 1u)); }

int cl_landlock_create(uint64_t access) {
  // The first version's struct: later members are not used.
  RESULT(syscall(NUMBER_CREATE_RULESET, &access, sizeof access, 0u));
}

int cl_landlock_allow(int ruleset, int folder, uint64_t access) {
  struct path_beneath rule = {.allowed_access = access, .parent_fd = folder};
  RESULT(syscall(NUMBER_ADD_RULE, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &rule, 0u));
}

int cl_landlock_restrict(int ruleset) { RESULT(syscall(NUMBER_RESTRICT_SELF, ruleset, 0u)); }
