// exchange-pairs A B...: makes the two paths of each pair change places again and again, until it is killed.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **paths) {
  for (;;)
    for (int i = 1; i + 1 < count; i += 2)
      if (syscall(SYS_renameat2, -100, paths[i], -100, paths[i + 1], 2 /* RENAME_EXCHANGE */) != 0) {
        perror("renameat2");
        return 1;
      }
}
