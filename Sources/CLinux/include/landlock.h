#pragma once
// Landlock has no wrappers in glibc. Results as in clinux.h: the value, or the negative errno.

#include <stdint.h>

/// The version of the kernel's interface, 1 or more.
int cl_landlock_version(void);
/// A ruleset that denies `access` to all files for which no rule allows it. Returns a close-on-exec descriptor.
int cl_landlock_create(uint64_t access);
/// Allows `access` beneath the folder that `folder` (O_PATH) is.
int cl_landlock_allow(int ruleset, int folder, uint64_t access);
/// Restricts this thread and all that it starts from now on.
int cl_landlock_restrict(int ruleset);
