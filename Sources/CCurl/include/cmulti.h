/* Many HTTP transfers at once on one thread, through libcurl's multi interface.
 *
 * Everything but cc_multi_wake must be called on one thread. Redirects are never followed, no cookies are kept, no credentials
 * are read from anywhere: the caller decides about all of them. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct cc_multi cc_multi;
typedef struct cc_transfer cc_transfer;

/* What a transfer asks its owner; `context` is that of cc_multi_add. */
struct cc_events {
  /* One line of the answer's head, with its line end; the first of each head is the status line. 0 goes on, -1 ends the
   * transfer. */
  int (*head)(void *context, const char *line, size_t size);
  /* A piece of the body: 0 goes on, 1 pauses (the piece comes again after cc_transfer_resume), -1 ends the transfer. */
  int (*body)(void *context, const char *bytes, size_t size);
  /* Fills `bytes` with the next piece of the request's body: the number of bytes, 0 at its end, -1 ends the transfer. */
  long (*send)(void *context, char *bytes, size_t capacity);
  /* Goes back to the start of the request's body: a kept connection turned out to be closed, and a new one is used. */
  void (*rewind)(void *context);
};

/* One request. Null strings are absent. */
struct cc_call {
  const char *url;
  const char *method;
  /* Lines `Name: value`, ended by null. */
  const char *const *headers;
  /* No body is expected in the answer (HEAD). */
  int no_body;
  /* The length of the request's body, which `send` gives; -1 for a request without one, -2 for one of unknown length. */
  int64_t upload;
  const char *ca_file;
  const char *ca_folder;
  /* Certificates in PEM form in place of `ca_file`; copied. */
  const char *ca_bundle;
  size_t ca_bundle_size;
  const char *certificate;
  const char *key;
  int skip_verify;
  /* "" for none, null for none as well: the environment is never read here. */
  const char *proxy;
  /* Refuse to connect to link-local addresses and to those where clouds keep the secrets of their machines. */
  int refuse_link_local;
  long connect_ms;
  /* The whole transfer; 0 for no bound. */
  long total_ms;
  /* The transfer ends when fewer bytes a second than this come for so many seconds. */
  long slow_bytes;
  long slow_seconds;
  long buffer_size;
};

/* Why a transfer ended. */
enum cc_end {
  CC_DONE = 0,
  CC_CONNECT,  /* no connection could be made: no such host, refused, timed out */
  CC_TLS,      /* the connection is there, but TLS could not be agreed on */
  CC_TRUST,    /* the other side's certificate is not trusted */
  CC_TIMEOUT,  /* too slow, or the whole time is over */
  CC_CUT,      /* the connection ended in the middle */
  CC_STOPPED,  /* an event said so */
  CC_PROTOCOL, /* what came is not HTTP */
  CC_OTHER,
};

/* Makes a multi handle that keeps at most `connections` idle connections; null when libcurl is not there. */
cc_multi *cc_multi_open(long connections);
/* Every transfer must have been removed. */
void cc_multi_close(cc_multi *multi);

/* Starts a transfer; null when there is no memory. The strings are copied. */
cc_transfer *cc_multi_add(cc_multi *multi, const struct cc_call *call, const struct cc_events *events, void *context);
/* Ends a transfer at once, if it has not ended, and frees it. Not to be called from its own events. */
void cc_multi_remove(cc_multi *multi, cc_transfer *transfer);
/* Lets a paused transfer go on. */
void cc_transfer_resume(cc_transfer *transfer);

/* Moves all transfers on, as far as they go without waiting. */
void cc_multi_run(cc_multi *multi);
/* Waits until some transfer can move on, for a wake, or for `milliseconds`. */
void cc_multi_wait(cc_multi *multi, int milliseconds);
/* Makes a cc_multi_wait return; from any thread. */
void cc_multi_wake(cc_multi *multi);
/* The next transfer that has ended, with its end and words (256 bytes); null when there is none. Returns its context. */
void *cc_multi_ended(cc_multi *multi, enum cc_end *end, char *words);
