#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmulti.h"
#include "library.h"

struct cc_multi {
  const struct library *lib;
  CURLM *multi;
};

struct cc_transfer {
  const struct library *lib;
  CURL *curl;
  struct curl_slist *headers;
  struct cc_events events;
  void *context;
  int stopped, refused;
  char error[CURL_ERROR_SIZE];
};

static size_t on_head(char *bytes, size_t one, size_t count, void *context) {
  cc_transfer *transfer = context;
  if (transfer->events.head(transfer->context, bytes, one * count) == 0) return one * count;
  transfer->stopped = 1;
  return 0;
}

static size_t on_body(char *bytes, size_t one, size_t count, void *context) {
  cc_transfer *transfer = context;
  int verdict = transfer->events.body(transfer->context, bytes, one * count);
  if (verdict == 0) return one * count;
  if (verdict == 1) return CURL_WRITEFUNC_PAUSE;
  transfer->stopped = 1;
  return one * count + 1;
}

static size_t on_send(char *bytes, size_t one, size_t count, void *context) {
  cc_transfer *transfer = context;
  long size = transfer->events.send(transfer->context, bytes, one * count);
  if (size >= 0) return (size_t)size;
  transfer->stopped = 1;
  return CURL_READFUNC_ABORT;
}

/* 169.254.0.0/16, fe80::/10, and the addresses of metadata services outside of them (Amazon's IPv6, Alibaba's). */
static int is_link_local(const struct sockaddr *address) {
  if (address->sa_family == AF_INET) {
    uint32_t ip = ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr);
    return ip >> 16 == 0xa9fe || ip == 0x646464c8;
  }
  if (address->sa_family != AF_INET6) return 0;
  const struct in6_addr *ip = &((const struct sockaddr_in6 *)address)->sin6_addr;
  static const unsigned char amazon[16] = {0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54};
  if (IN6_IS_ADDR_LINKLOCAL(ip) || memcmp(ip, amazon, sizeof amazon) == 0) return 1;
  if (!IN6_IS_ADDR_V4MAPPED(ip) && !IN6_IS_ADDR_V4COMPAT(ip)) return 0;
  uint32_t mapped;
  memcpy(&mapped, ip->s6_addr + 12, sizeof mapped);
  return ntohl(mapped) >> 16 == 0xa9fe || ntohl(mapped) == 0x646464c8;
}

static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
  cc_transfer *transfer = context;
  (void)purpose;
  if (is_link_local(&address->addr)) {
    transfer->refused = 1;
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

cc_multi *cc_multi_open(long connections) {
  const struct library *lib = cc_library();
  if (!lib) return NULL;
  cc_multi *multi = calloc(1, sizeof *multi);
  if (!multi) return NULL;
  multi->lib = lib;
  multi->multi = lib->multi_init();
  if (!multi->multi) {
    free(multi);
    return NULL;
  }
  lib->multi_setopt(multi->multi, CURLMOPT_MAXCONNECTS, connections);
  return multi;
}

void cc_multi_close(cc_multi *multi) {
  multi->lib->multi_cleanup(multi->multi);
  free(multi);
}

static int on_seek(void *data, curl_off_t offset, int origin) {
  cc_transfer *transfer = data;
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  transfer->events.rewind(transfer->context);
  return CURL_SEEKFUNC_OK;
}

static void set_up(cc_transfer *transfer, const struct cc_call *call) {
  const struct library *lib = transfer->lib;
  CURL *curl = transfer->curl;
  lib->setopt(curl, CURLOPT_PRIVATE, transfer);
  lib->setopt(curl, CURLOPT_ERRORBUFFER, transfer->error);
  lib->setopt(curl, CURLOPT_NOSIGNAL, 1L);
  lib->setopt(curl, CURLOPT_NOPROGRESS, 1L);
  lib->setopt(curl, CURLOPT_URL, call->url);
  lib->setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  lib->setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  lib->setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  lib->setopt(curl, CURLOPT_HTTP09_ALLOWED, 0L);
  lib->setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
  lib->setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  lib->setopt(curl, CURLOPT_BUFFERSIZE, call->buffer_size);
  lib->setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, call->buffer_size);
  lib->setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, call->connect_ms);
  lib->setopt(curl, CURLOPT_TIMEOUT_MS, call->total_ms);
  lib->setopt(curl, CURLOPT_LOW_SPEED_LIMIT, call->slow_bytes);
  lib->setopt(curl, CURLOPT_LOW_SPEED_TIME, call->slow_seconds);
  lib->setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  lib->setopt(curl, CURLOPT_PROXY, call->proxy ? call->proxy : "");
  if (call->ca_file) lib->setopt(curl, CURLOPT_CAINFO, call->ca_file);
  if (call->ca_bundle) {
    struct curl_blob blob = {(void *)call->ca_bundle, call->ca_bundle_size, CURL_BLOB_COPY};
    lib->setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
  }
  if (call->ca_folder) lib->setopt(curl, CURLOPT_CAPATH, call->ca_folder);
  if (call->certificate) lib->setopt(curl, CURLOPT_SSLCERT, call->certificate);
  if (call->key) lib->setopt(curl, CURLOPT_SSLKEY, call->key);
  if (call->skip_verify) {
    lib->setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    lib->setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (call->refuse_link_local) {
    lib->setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    lib->setopt(curl, CURLOPT_OPENSOCKETDATA, transfer);
    /* A connection of another transfer was made without that check. */
    lib->setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    lib->setopt(curl, CURLOPT_FORBID_REUSE, 1L);
  }
  for (const char *const *line = call->headers; line && *line; line++) {
    transfer->headers = lib->append(transfer->headers, *line);
  }
  /* Registries do not need it, and some proxies wait for it. */
  transfer->headers = lib->append(transfer->headers, "Expect:");
  lib->setopt(curl, CURLOPT_HTTPHEADER, transfer->headers);
  lib->setopt(curl, CURLOPT_HEADERFUNCTION, on_head);
  lib->setopt(curl, CURLOPT_HEADERDATA, transfer);
  lib->setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  lib->setopt(curl, CURLOPT_WRITEDATA, transfer);
  if (call->no_body) lib->setopt(curl, CURLOPT_NOBODY, 1L);
  if (call->upload != -1) {
    lib->setopt(curl, CURLOPT_UPLOAD, 1L);
    lib->setopt(curl, CURLOPT_READFUNCTION, on_send);
    lib->setopt(curl, CURLOPT_READDATA, transfer);
    lib->setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
    lib->setopt(curl, CURLOPT_SEEKDATA, transfer);
    lib->setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)(call->upload < 0 ? -1 : call->upload));
  }
  lib->setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
}

cc_transfer *cc_multi_add(cc_multi *multi, const struct cc_call *call, const struct cc_events *events, void *context) {
  cc_transfer *transfer = calloc(1, sizeof *transfer);
  if (!transfer) return NULL;
  transfer->lib = multi->lib;
  transfer->events = *events;
  transfer->context = context;
  transfer->curl = multi->lib->init();
  if (!transfer->curl) {
    free(transfer);
    return NULL;
  }
  set_up(transfer, call);
  if (multi->lib->multi_add(multi->multi, transfer->curl) != CURLM_OK) {
    multi->lib->cleanup(transfer->curl);
    multi->lib->free_all(transfer->headers);
    free(transfer);
    return NULL;
  }
  return transfer;
}

void cc_multi_remove(cc_multi *multi, cc_transfer *transfer) {
  multi->lib->multi_remove(multi->multi, transfer->curl);
  multi->lib->cleanup(transfer->curl);
  multi->lib->free_all(transfer->headers);
  free(transfer);
}

void cc_transfer_resume(cc_transfer *transfer) { transfer->lib->pause(transfer->curl, CURLPAUSE_CONT); }

void cc_multi_run(cc_multi *multi) {
  int running = 0;
  multi->lib->multi_perform(multi->multi, &running);
}

void cc_multi_wait(cc_multi *multi, int milliseconds) {
  multi->lib->multi_poll(multi->multi, NULL, 0, milliseconds, NULL);
}

void cc_multi_wake(cc_multi *multi) { multi->lib->multi_wakeup(multi->multi); }

static enum cc_end end_of(CURLcode code, const cc_transfer *transfer) {
  if (transfer->stopped) return CC_STOPPED;
  switch (code) {
    case CURLE_OK: return CC_DONE;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT: return CC_CONNECT;
    case CURLE_SSL_CONNECT_ERROR: return CC_TLS;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM: return CC_TRUST;
    case CURLE_OPERATION_TIMEDOUT: return CC_TIMEOUT;
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING: return CC_CUT;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY: return CC_PROTOCOL;
    default: return CC_OTHER;
  }
}

void *cc_multi_ended(cc_multi *multi, enum cc_end *end, char *words) {
  int left = 0;
  CURLMsg *message;
  while ((message = multi->lib->multi_info(multi->multi, &left))) {
    if (message->msg != CURLMSG_DONE) continue;
    cc_transfer *transfer = NULL;
    multi->lib->getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    *end = end_of(message->data.result, transfer);
    const char *said = transfer->refused   ? "the address is link-local or that of a metadata service"
                       : transfer->error[0] ? transfer->error
                                            : multi->lib->words(message->data.result);
    snprintf(words, CURL_ERROR_SIZE, "%s", said);
    return transfer->context;
  }
  return NULL;
}
