/* libcurl's functions, found when the first is needed. */
#pragma once
#include <curl/curl.h>
/* The checks of types in curl's macros name functions that are not linked. */
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

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
  __typeof__(curl_easy_pause) *pause;
  __typeof__(curl_slist_append) *append;
  __typeof__(curl_slist_free_all) *free_all;
  __typeof__(curl_multi_init) *multi_init;
  __typeof__(curl_multi_cleanup) *multi_cleanup;
  __typeof__(curl_multi_setopt) *multi_setopt;
  __typeof__(curl_multi_add_handle) *multi_add;
  __typeof__(curl_multi_remove_handle) *multi_remove;
  __typeof__(curl_multi_perform) *multi_perform;
  __typeof__(curl_multi_poll) *multi_poll;
  __typeof__(curl_multi_wakeup) *multi_wakeup;
  __typeof__(curl_multi_info_read) *multi_info;
};

/* The functions; null when libcurl is not on this machine. */
const struct library *cc_library(void);
