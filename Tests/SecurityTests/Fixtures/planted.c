// A library that tells that it was loaded, by a file in whatever is the root of the process that loaded it.
#include <fcntl.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void) { close(open("/pwned", O_CREAT | O_WRONLY, 0600)); }
