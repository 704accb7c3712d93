#define _GNU_SOURCE
#include "clinux.h"

#include <malloc.h>
#include <sys/mman.h>

int cl_malloc_trim(void) { return malloc_trim(0); }

// The pages from 8 kB (a red zone, and this function's own frames) to 256 kB below the present stack pointer.
void cl_stack_trim(void) {
  uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)4095;
  madvise((void *)(here - 256 * 1024), 248 * 1024, MADV_DONTNEED);
}
