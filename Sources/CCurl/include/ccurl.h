/* HTTP(S) requests and TLS connections through libcurl, which is loaded when the first is made.
 *
 * Why C: curl_easy_setopt takes variable arguments, which Swift cannot pass. Why loaded: a process that needs no HTTP must not
 * pay for libcurl's twenty libraries. */
#pragma once
#include <stddef.h>

#include "cmulti.h"

/* One handle, which keeps its connection for the next request. */
typedef struct cc_handle cc_handle;

/* How to reach the other side. Null strings are the library's defaults. */
struct cc_target {
  const char *url;
  const char *ca_file;
  const char *certificate;
  const char *key;
  /* HOST:PORT:HOST2:PORT2: connect to HOST2:PORT2 instead. */
  const char *connect_to;
  int skip_verify;
  long timeout_ms;
};

/* Makes a handle; null, and words in `error` (256 bytes), when libcurl is not there. */
cc_handle *cc_open(char *error);
void cc_close(cc_handle *handle);

/* Sends one request with `body` (GET without one, unless `method` says otherwise). Up to `capacity` bytes of the answer go to
 * `answer`, their number to `answer_size`, the HTTP status to `status`. Returns 0, or -1 with words in `error` (256 bytes). */
int cc_request(cc_handle *handle, const struct cc_target *target, const char *method, const char *const *headers,
               const void *body, size_t body_size, char *answer, size_t capacity, size_t *answer_size, long *status,
               char *error);

/* Opens a TLS connection to `target->url` (https://HOST:PORT) for cc_send and cc_receive. Returns 0, or -1 with words. */
int cc_connect(cc_handle *handle, const struct cc_target *target, char *error);

/* Sends what fits without waiting: the number of bytes, 0 for none now, -1 when the connection is gone. */
long cc_send(cc_handle *handle, const void *bytes, size_t size);

/* Receives what is there: the number of bytes, 0 for none now, -1 when the connection is gone. */
long cc_receive(cc_handle *handle, void *bytes, size_t size);

/* The connection's socket, for poll; -1 when there is none. */
int cc_socket(cc_handle *handle);
