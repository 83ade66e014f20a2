#include "search/devices.h"

#include <stdio.h>
#include <string.h>

enum { MADE_UP_LOSS, MADE_UP_DECODE, MADE_UP_PREFILL, MADE_UP_CACHE, MADE_UP_ACTIVATION };
static const search_metric made_up_rows[] = {
    [MADE_UP_LOSS] = {"loss", "", false},
    [MADE_UP_DECODE] = {"decode", "", false},
    [MADE_UP_PREFILL] = {"prefill", "", false},
    [MADE_UP_CACHE] = {"cache", "", false},
    [MADE_UP_ACTIVATION] = {"activation", "", false},
};
static const search_metrics made_up_metrics = {made_up_rows,
                                               sizeof made_up_rows / sizeof *made_up_rows};

static const search_metric real_rows[] = {
    [SEARCH_REAL_QUALITY] = {"quality", "bits + misses", false},
    [SEARCH_REAL_LOSS] = {"loss", "bits a byte", false},
    [SEARCH_REAL_RECALL] = {"recall", "", true},
    [SEARCH_REAL_PREFILL_1K] = {"prefill_1k", "ms", false},
    [SEARCH_REAL_PREFILL_4K] = {"prefill_4k", "ms", false},
    [SEARCH_REAL_DECODE_1K] = {"decode_1k", "ms", false},
    [SEARCH_REAL_DECODE_4K] = {"decode_4k", "ms", false},
    [SEARCH_REAL_MEMORY] = {"memory", "bytes", false},
    [SEARCH_REAL_CACHE] = {"cache", "bytes", false},
    [SEARCH_REAL_ACTIVATION] = {"activation", "bytes", false},
};
static const search_metrics real_metrics = {real_rows, sizeof real_rows / sizeof *real_rows};

const char *search_device_default(void) {
    return "here";
}

const char *search_device_names(void) {
    return "here, made-up, and a command with {cmd} that leads to another machine";
}

bool search_device_plan(search_plan *p, const char *name) {
    static const int made_up[] = {MADE_UP_LOSS, MADE_UP_DECODE, MADE_UP_CACHE};
    static const int real[] = {SEARCH_REAL_QUALITY, SEARCH_REAL_DECODE_4K, SEARCH_REAL_MEMORY};
    enum { OBJECTIVES = 3 };
    p->is_remote = strstr(name, "{cmd}") != NULL;
    p->is_real = p->is_remote || strcmp(name, "here") == 0;
    if (!p->is_real && strcmp(name, "made-up") != 0) return false;
    if ((size_t)snprintf(p->device, sizeof p->device, "%s", name) >= sizeof p->device) return false;
    p->metrics = p->is_real ? &real_metrics : &made_up_metrics;
    p->objective_count = OBJECTIVES;
    for (int i = 0; i < OBJECTIVES; i++) p->objectives[i] = p->is_real ? real[i] : made_up[i];
    p->limit_count = p->is_real;
    p->limits[0] =
        (search_limit){.metric = SEARCH_REAL_PREFILL_4K, .bound = 1.5, .times_first = true};
    return true;
}

/* ---- Made up ---- */

/* The reference's own numbers (learn.md 6.7), so that logs can be compared. */
typedef struct price {
    double decode, prefill, gain;
} price;
static const price prices[SEARCH_OPERATOR_COUNT] = {
    [SEARCH_CONVOLUTION] = {1.0, 1.0, 0.25}, [SEARCH_FULL] = {3.0, 2.0, 0.5},
    [SEARCH_SLIDING] = {1.5, 1.5, 0.25},     [SEARCH_LINEAR] = {2.0, 2.5, 0.125},
    [SEARCH_SSD] = {2.5, 3.0, 0.25},
};

static double made_up_cache(const search_block *b) {
    switch (b->op) {
    case SEARCH_FULL:
        return b->share == SEARCH_SHARE_KEYS ? 0.0 : 8.0 * b->p1;
    case SEARCH_SLIDING:
        return (double)(b->p1 * b->p2) / 64;
    case SEARCH_LINEAR:
        return 0.5;
    case SEARCH_SSD:
        return (double)b->p1 / 32;
    default:
        return 0.0;
    }
}

static rnl_status measure_made_up(void *context, const search_history *h, const search_candidate *c,
                                  int coming, double *values, json_draft **measured,
                                  rnl_error *error) {
    double loss = 0, decode = 0, prefill = 0, cache = 0;
    int far = 0;
    (void)context;
    (void)h;
    (void)coming;
    (void)measured;
    (void)error;
    for (int i = 0; i < c->genome.count; i++) {
        const search_block b = search_block_of(&c->genome.genes[i]);
        const price *own = &prices[b.op];
        decode += own->decode + (double)b.quarters / 16;
        prefill += own->prefill + (double)b.quarters / 8;
        cache += made_up_cache(&b);
        loss -= own->gain;
        far += b.op == SEARCH_FULL;
    }
    values[MADE_UP_LOSS] = loss + (8.0 + (far == 0 ? 4.0 : far == 1 ? 1.0 : 0.0));
    values[MADE_UP_DECODE] = decode;
    values[MADE_UP_PREFILL] = prefill;
    values[MADE_UP_CACHE] = cache;
    values[MADE_UP_ACTIVATION] = 0;
    return RNL_OK;
}

const search_device search_made_up = {.measure = measure_made_up};
