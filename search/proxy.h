/* A candidate made narrow, with weights that know nothing yet: what is taught to tell stacks apart.
 * learn.md 6.1, 6.8. */
#ifndef SEARCH_PROXY_H
#define SEARCH_PROXY_H

#include "learn/network.h"
#include "search/devices.h"

typedef struct search_proxy {
    rnl_model *model;
    learn_network *network;
} search_proxy;

/* narrow: its widths and length. folder: where its two files stand for a moment. row_count rows of
 * narrow->length positions are learnt at a time. RNL_ERR_UNSUPPORTED: it has parts that do not
 * learn; RNL_ERR_IO; RNL_ERR_MEMORY. Free it in any case. */
RNL_MUST_USE rnl_status search_proxy_make(const search_space *narrow, const search_candidate *c,
                                          const char *folder, uint64_t seed, int thread_count,
                                          int row_count, search_proxy *out, rnl_error *error);
void search_proxy_free(search_proxy *p);

#endif
