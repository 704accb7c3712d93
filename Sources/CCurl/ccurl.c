#include "ccurl.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* The checks of types in curl's macros name functions that are not linked. */
#undef curl_easy_setopt
#undef curl_easy_getinfo

struct library {
  __typeof__(curl_global_init) *global_init;
  __typeof__(curl_easy_init) *init;
  __typeof__(curl_easy_cleanup) *cleanup;
  __typeof__(curl_easy_reset) *reset;
  __typeof__(curl_easy_setopt) *setopt;
  __typeof__(curl_easy_getinfo) *getinfo;
  __typeof__(curl_easy_perform) *perform;
  __typeof__(curl_easy_strerror) *words;
  __typeof__(curl_easy_send) *send;
  __typeof__(curl_easy_recv) *receive;
  __typeof__(curl_slist_append) *append;
  __typeof__(curl_slist_free_all) *free_all;
};

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
      {"curl_global_init", (void **)&lib.global_init}, {"curl_easy_init", (void **)&lib.init},
      {"curl_easy_cleanup", (void **)&lib.cleanup},    {"curl_easy_reset", (void **)&lib.reset},
      {"curl_easy_setopt", (void **)&lib.setopt},      {"curl_easy_getinfo", (void **)&lib.getinfo},
      {"curl_easy_perform", (void **)&lib.perform},    {"curl_easy_strerror", (void **)&lib.words},
      {"curl_easy_send", (void **)&lib.send},          {"curl_easy_recv", (void **)&lib.receive},
      {"curl_slist_append", (void **)&lib.append},     {"curl_slist_free_all", (void **)&lib.free_all},
  };
  for (size_t index = 0; index < sizeof symbols / sizeof *symbols; index++) {
    *symbols[index].place = dlsym(handle, symbols[index].name);
    if (!*symbols[index].place) return;
  }
  loaded = lib.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

struct cc_handle {
  CURL *curl;
};

struct answer {
  char *bytes;
  size_t capacity, size;
};

static size_t take(char *bytes, size_t one, size_t count, void *context) {
  struct answer *answer = context;
  size_t size = one * count, room = answer->capacity - answer->size;
  size_t kept = size < room ? size : room;
  memcpy(answer->bytes + answer->size, bytes, kept);
  answer->size += kept;
  return size; /* what does not fit is not kept */
}

static void aim(CURL *curl, const struct cc_target *target, char *error, struct curl_slist **connect_to) {
  lib.reset(curl);
  error[0] = 0;
  lib.setopt(curl, CURLOPT_ERRORBUFFER, error);
  lib.setopt(curl, CURLOPT_NOSIGNAL, 1L);
  lib.setopt(curl, CURLOPT_URL, target->url);
  lib.setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  lib.setopt(curl, CURLOPT_TIMEOUT_MS, target->timeout_ms);
  lib.setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, target->timeout_ms);
  if (target->ca_file) lib.setopt(curl, CURLOPT_CAINFO, target->ca_file);
  if (target->certificate) lib.setopt(curl, CURLOPT_SSLCERT, target->certificate);
  if (target->key) lib.setopt(curl, CURLOPT_SSLKEY, target->key);
  if (target->skip_verify) {
    lib.setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    lib.setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (target->connect_to) {
    *connect_to = lib.append(NULL, target->connect_to);
    lib.setopt(curl, CURLOPT_CONNECT_TO, *connect_to);
  }
}

static int finish(CURLcode code, char *error) {
  if (code == CURLE_OK) return 0;
  if (!error[0]) snprintf(error, CURL_ERROR_SIZE, "%s", lib.words(code));
  return -1;
}

cc_handle *cc_open(char *error) {
  pthread_once(&once, load);
  cc_handle *handle = loaded ? malloc(sizeof *handle) : NULL;
  if (handle && !(handle->curl = lib.init())) {
    free(handle);
    handle = NULL;
  }
  if (!handle) snprintf(error, CURL_ERROR_SIZE, "libcurl.so.4 cannot be loaded: install libcurl4");
  return handle;
}

void cc_close(cc_handle *handle) {
  lib.cleanup(handle->curl);
  free(handle);
}

int cc_request(cc_handle *handle, const struct cc_target *target, const char *method, const char *const *headers,
               const void *body, size_t body_size, char *bytes, size_t capacity, size_t *answer_size, long *status,
               char *error) {
  struct curl_slist *list = NULL, *connect_to = NULL;
  struct answer answer = {bytes, capacity, 0};
  aim(handle->curl, target, error, &connect_to);
  for (; headers && *headers; headers++) list = lib.append(list, *headers);
  lib.setopt(handle->curl, CURLOPT_HTTPHEADER, list);
  lib.setopt(handle->curl, CURLOPT_WRITEFUNCTION, take);
  lib.setopt(handle->curl, CURLOPT_WRITEDATA, &answer);
  if (body) {
    lib.setopt(handle->curl, CURLOPT_POSTFIELDS, body);
    lib.setopt(handle->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_size);
  }
  if (method) lib.setopt(handle->curl, CURLOPT_CUSTOMREQUEST, method);
  CURLcode code = lib.perform(handle->curl);
  *status = 0;
  if (code == CURLE_OK) lib.getinfo(handle->curl, CURLINFO_RESPONSE_CODE, status);
  *answer_size = answer.size;
  lib.setopt(handle->curl, CURLOPT_HTTPHEADER, NULL);
  lib.setopt(handle->curl, CURLOPT_CONNECT_TO, NULL);
  lib.free_all(list);
  lib.free_all(connect_to);
  return finish(code, error);
}

int cc_connect(cc_handle *handle, const struct cc_target *target, char *error) {
  struct curl_slist *connect_to = NULL;
  aim(handle->curl, target, error, &connect_to);
  lib.setopt(handle->curl, CURLOPT_CONNECT_ONLY, 1L);
  CURLcode code = lib.perform(handle->curl);
  lib.setopt(handle->curl, CURLOPT_CONNECT_TO, NULL);
  lib.free_all(connect_to);
  return finish(code, error);
}

long cc_send(cc_handle *handle, const void *bytes, size_t size) {
  size_t sent = 0;
  CURLcode code = lib.send(handle->curl, bytes, size, &sent);
  return code == CURLE_OK ? (long)sent : code == CURLE_AGAIN ? 0 : -1;
}

long cc_receive(cc_handle *handle, void *bytes, size_t size) {
  size_t received = 0;
  CURLcode code = lib.receive(handle->curl, bytes, size, &received);
  if (code == CURLE_AGAIN) return 0;
  return code == CURLE_OK && received > 0 ? (long)received : -1;
}

int cc_socket(cc_handle *handle) {
  curl_socket_t socket = -1;
  return lib.getinfo(handle->curl, CURLINFO_ACTIVESOCKET, &socket) == CURLE_OK ? (int)socket : -1;
}
