#define _GNU_SOURCE
#include "clinux.h"
#include <errno.h>
#include <unistd.h>

int cl_execute_again(const char *path, char *const argv[]) {
  execve(path, argv, environ);
  return -errno;
}
