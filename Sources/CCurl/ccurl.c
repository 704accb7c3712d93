#include "ccurl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"

struct cc_handle {
  const struct library *lib;
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

static void aim(const struct library *lib, CURL *curl, const struct cc_target *target, char *error, struct curl_slist **connect_to) {
  lib->reset(curl);
  error[0] = 0;
  lib->setopt(curl, CURLOPT_ERRORBUFFER, error);
  lib->setopt(curl, CURLOPT_NOSIGNAL, 1L);
  lib->setopt(curl, CURLOPT_URL, target->url);
  lib->setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  lib->setopt(curl, CURLOPT_TIMEOUT_MS, target->timeout_ms);
  lib->setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, target->timeout_ms);
  if (target->ca_file) lib->setopt(curl, CURLOPT_CAINFO, target->ca_file);
  if (target->certificate) lib->setopt(curl, CURLOPT_SSLCERT, target->certificate);
  if (target->key) lib->setopt(curl, CURLOPT_SSLKEY, target->key);
  if (target->skip_verify) {
    lib->setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    lib->setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (target->connect_to) {
    *connect_to = lib->append(NULL, target->connect_to);
    lib->setopt(curl, CURLOPT_CONNECT_TO, *connect_to);
  }
}

static int finish(const struct library *lib, CURLcode code, char *error) {
  if (code == CURLE_OK) return 0;
  if (!error[0]) snprintf(error, CURL_ERROR_SIZE, "%s", lib->words(code));
  return -1;
}

cc_handle *cc_open(char *error) {
  const struct library *lib = cc_library();
  cc_handle *handle = lib ? malloc(sizeof *handle) : NULL;
  if (handle) handle->lib = lib;
  if (handle && !(handle->curl = lib->init())) {
    free(handle);
    handle = NULL;
  }
  if (!handle) snprintf(error, CURL_ERROR_SIZE, "libcurl.so.4 cannot be loaded: install libcurl4");
  return handle;
}

void cc_close(cc_handle *handle) {
  const struct library *lib = handle->lib;
  lib->cleanup(handle->curl);
  free(handle);
}

int cc_request(cc_handle *handle, const struct cc_target *target, const char *method, const char *const *headers,
               const void *body, size_t body_size, char *bytes, size_t capacity, size_t *answer_size, long *status,
               char *error) {
  const struct library *lib = handle->lib;
  struct curl_slist *list = NULL, *connect_to = NULL;
  struct answer answer = {bytes, capacity, 0};
  aim(handle->lib, handle->curl, target, error, &connect_to);
  for (; headers && *headers; headers++) list = lib->append(list, *headers);
  lib->setopt(handle->curl, CURLOPT_HTTPHEADER, list);
  lib->setopt(handle->curl, CURLOPT_WRITEFUNCTION, take);
  lib->setopt(handle->curl, CURLOPT_WRITEDATA, &answer);
  if (body) {
    lib->setopt(handle->curl, CURLOPT_POSTFIELDS, body);
    lib->setopt(handle->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_size);
  }
  if (method) lib->setopt(handle->curl, CURLOPT_CUSTOMREQUEST, method);
  CURLcode code = lib->perform(handle->curl);
  *status = 0;
  if (code == CURLE_OK) lib->getinfo(handle->curl, CURLINFO_RESPONSE_CODE, status);
  *answer_size = answer.size;
  lib->setopt(handle->curl, CURLOPT_HTTPHEADER, NULL);
  lib->setopt(handle->curl, CURLOPT_CONNECT_TO, NULL);
  lib->free_all(list);
  lib->free_all(connect_to);
  return finish(lib, code, error);
}

int cc_connect(cc_handle *handle, const struct cc_target *target, char *error) {
  const struct library *lib = handle->lib;
  struct curl_slist *connect_to = NULL;
  aim(handle->lib, handle->curl, target, error, &connect_to);
  lib->setopt(handle->curl, CURLOPT_CONNECT_ONLY, 1L);
  CURLcode code = lib->perform(handle->curl);
  lib->setopt(handle->curl, CURLOPT_CONNECT_TO, NULL);
  lib->free_all(connect_to);
  return finish(lib, code, error);
}

long cc_send(cc_handle *handle, const void *bytes, size_t size) {
  const struct library *lib = handle->lib;
  size_t sent = 0;
  CURLcode code = lib->send(handle->curl, bytes, size, &sent);
  return code == CURLE_OK ? (long)sent : code == CURLE_AGAIN ? 0 : -1;
}

long cc_receive(cc_handle *handle, void *bytes, size_t size) {
  const struct library *lib = handle->lib;
  size_t received = 0;
  CURLcode code = lib->receive(handle->curl, bytes, size, &received);
  if (code == CURLE_AGAIN) return 0;
  return code == CURLE_OK && received > 0 ? (long)received : -1;
}

int cc_socket(cc_handle *handle) {
  const struct library *lib = handle->lib;
  curl_socket_t socket = -1;
  return lib->getinfo(handle->curl, CURLINFO_ACTIVESOCKET, &socket) == CURLE_OK ? (int)socket : -1;
}
