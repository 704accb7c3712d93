#pragma once
#include <isa-l/igzip_lib.h>

/* Bytes of working memory for compression at level 1: a macro that Swift cannot evaluate. */
static const int isal_level1_buffer_size = ISAL_DEF_LVL1_DEFAULT;
