#include "clinux.h"

#include <malloc.h>

int cl_malloc_trim(void) { return malloc_trim(0); }
