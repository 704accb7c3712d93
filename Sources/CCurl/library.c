#include "library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

static struct library lib;
static int loaded;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
  void *handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (!handle) handle = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
  if (!handle) return;
  struct {
    const char *name;
    void **place;
  } symbols[] = {
      {"curl_global_init", (void **)&lib.global_init},
      {"curl_easy_init", (void **)&lib.init},
      {"curl_easy_cleanup", (void **)&lib.cleanup},
      {"curl_easy_reset", (void **)&lib.reset},
      {"curl_easy_setopt", (void **)&lib.setopt},
      {"curl_easy_getinfo", (void **)&lib.getinfo},
      {"curl_easy_perform", (void **)&lib.perform},
      {"curl_easy_strerror", (void **)&lib.words},
      {"curl_easy_send", (void **)&lib.send},
      {"curl_easy_recv", (void **)&lib.receive},
      {"curl_easy_pause", (void **)&lib.pause},
      {"curl_slist_append", (void **)&lib.append},
      {"curl_slist_free_all", (void **)&lib.free_all},
      {"curl_multi_init", (void **)&lib.multi_init},
      {"curl_multi_cleanup", (void **)&lib.multi_cleanup},
      {"curl_multi_setopt", (void **)&lib.multi_setopt},
      {"curl_multi_add_handle", (void **)&lib.multi_add},
      {"curl_multi_remove_handle", (void **)&lib.multi_remove},
      {"curl_multi_perform", (void **)&lib.multi_perform},
      {"curl_multi_poll", (void **)&lib.multi_poll},
      {"curl_multi_wakeup", (void **)&lib.multi_wakeup},
      {"curl_multi_info_read", (void **)&lib.multi_info},
  };
  for (size_t index = 0; index < sizeof symbols / sizeof *symbols; index++) {
    *symbols[index].place = dlsym(handle, symbols[index].name);
    if (!*symbols[index].place) return;
  }
  loaded = lib.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

const struct library *cc_library(void) {
  pthread_once(&once, load);
  return loaded ? &lib : NULL;
}
