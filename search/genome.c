#include "search/genome.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

const char *const search_operator_names[SEARCH_OPERATOR_COUNT] = {"skip", "conv", "gqa",
                                                                  "swa",  "lin",  "ssd"};

enum { ALLELE_CAP = 4, SHARE_COUNT = 3, HALVINGS = 40 };

typedef struct alleles {
    int count;
    int value[ALLELE_CAP];
} alleles;

/* learn.md 6.6. */
static const alleles p1_of[SEARCH_OPERATOR_COUNT] = {
    [SEARCH_SKIP] = {1, {0}},       [SEARCH_CONVOLUTION] = {4, {3, 4, 5, 7}},
    [SEARCH_FULL] = {3, {1, 2, 4}}, [SEARCH_SLIDING] = {3, {1, 2, 4}},
    [SEARCH_LINEAR] = {2, {0, 1}},  [SEARCH_SSD] = {3, {16, 32, 64}},
};
static const alleles p2_of[SEARCH_OPERATOR_COUNT] = {
    [SEARCH_SKIP] = {1, {0}},         [SEARCH_CONVOLUTION] = {1, {0}},
    [SEARCH_FULL] = {1, {0}},         [SEARCH_SLIDING] = {4, {16, 32, 64, 128}},
    [SEARCH_LINEAR] = {3, {2, 4, 8}}, [SEARCH_SSD] = {3, {2, 4, 8}},
};
static const int quarters_of[] = {4, 6, 8, 10, 12, 16, 20};
enum { FF_COUNT = sizeof quarters_of / sizeof *quarters_of };

/* How many alleles a place of a gene has; p1 and p2 go by the operator that stands there now. */
static int allele_count(const search_gene *g, int place) {
    switch (place) {
    case SEARCH_OP:
        return SEARCH_OPERATOR_COUNT;
    case SEARCH_P1:
        return p1_of[g->at[SEARCH_OP]].count;
    case SEARCH_P2:
        return p2_of[g->at[SEARCH_OP]].count;
    case SEARCH_FF:
        return FF_COUNT;
    default:
        return SHARE_COUNT;
    }
}

search_block search_block_of(const search_gene *g) {
    const int op = g->at[SEARCH_OP];
    assert(op >= 0 && op < SEARCH_OPERATOR_COUNT);
    return (search_block){.op = (search_operator)op,
                          .p1 = p1_of[op].value[g->at[SEARCH_P1] % p1_of[op].count],
                          .p2 = p2_of[op].value[g->at[SEARCH_P2] % p2_of[op].count],
                          .quarters = quarters_of[g->at[SEARCH_FF]],
                          .share = (search_share)g->at[SEARCH_SHARING]};
}

void search_canonical(const search_genome *g, search_genome *out) {
    search_genome clean = {.count = 0};
    for (int i = 0; i < g->count; i++) {
        search_gene x = g->genes[i];
        const int op = x.at[SEARCH_OP];
        if (op == SEARCH_SKIP) continue;
        x.at[SEARCH_P1] %= p1_of[op].count;
        x.at[SEARCH_P2] %= p2_of[op].count;
        if (x.at[SEARCH_SHARING] == SEARCH_SHARE_FF) x.at[SEARCH_FF] = 0;
        clean.genes[clean.count++] = x;
    }
    *out = clean;
}

void search_key(const search_genome *canonical, char key[SEARCH_KEY_CAP]) {
    size_t used = 0;
    for (int i = 0; i < canonical->count; i++) {
        if (i > 0) key[used++] = '-';
        for (int p = 0; p < SEARCH_PLACE_COUNT; p++)
            key[used++] = (char)('0' + canonical->genes[i].at[p]);
    }
    key[used] = '\0';
}

bool search_key_read(const char *key, search_genome *canonical) {
    search_genome g = {.count = 0};
    const char *at = key;
    for (;;) {
        if (g.count == SEARCH_BLOCK_CAP) return false;
        search_gene *x = &g.genes[g.count++];
        for (int p = 0; p < SEARCH_PLACE_COUNT; p++) {
            if (*at < '0' || *at > '9') return false;
            x->at[p] = *at++ - '0';
            if (x->at[p] >= allele_count(x, p)) return false;
        }
        if (x->at[SEARCH_OP] == SEARCH_SKIP) return false;
        if (*at == '\0') break;
        if (*at++ != '-') return false;
    }
    *canonical = g;
    return true;
}

/* ---- Parameters ---- */

static int64_t operator_params(const search_space *s, const search_block *b) {
    const int64_t d = s->d, head = s->d / s->heads;
    const int64_t taps = b->p1, state = b->p1;
    const int64_t key_heads = s->heads / 4 * b->p1, scan_heads = s->heads / 4 * b->p2;
    switch (b->op) {
    case SEARCH_CONVOLUTION:
        return 4 * d * d + d * taps;
    case SEARCH_FULL:
    case SEARCH_SLIDING:
        return b->share == SEARCH_SHARE_KEYS ? 2 * d * d + head
                                             : 2 * d * d + 2 * d * head * key_heads + 2 * head;
    case SEARCH_LINEAR:
        return 4 * d * d + d / scan_heads;
    case SEARCH_SSD:
        return d * (2 * d + 2 * state + scan_heads) + (d + 2 * state) * 4 + 3 * scan_heads + d +
               d * d;
    default:
        return 0;
    }
}

int search_window(const search_space *s, int p2) {
    const int64_t window = (int64_t)p2 * s->length / 256;
    return window > 1 ? (int)window : 1;
}

int search_ff_width(const search_space *s, int quarters, double factor) {
    const int m = s->ff_multiple;
    const int width = (int)floor(factor * quarters * s->d / 4 / m + 0.5) * m;
    return width > m ? width : m;
}

int64_t search_params(const search_space *s, const search_genome *g, double factor) {
    search_genome clean;
    int64_t n = (int64_t)s->vocab * s->d + s->d;
    search_canonical(g, &clean);
    for (int i = 0; i < clean.count; i++) {
        const search_block b = search_block_of(&clean.genes[i]);
        n += operator_params(s, &b) + 2 * s->d;
        if (b.share != SEARCH_SHARE_FF)
            n += (int64_t)3 * s->d * search_ff_width(s, b.quarters, factor);
    }
    return n;
}

/* ---- Repair ---- */

static void into_range(search_genome *g) {
    for (int i = 0; i < g->count; i++) {
        search_gene *x = &g->genes[i];
        for (int p = 0; p < SEARCH_PLACE_COUNT; p++) x->at[p] %= allele_count(x, p);
    }
}

static bool looks_far(const search_gene *x) {
    return x->at[SEARCH_OP] != SEARCH_SKIP && x->at[SEARCH_OP] != SEARCH_CONVOLUTION;
}

/* The block in the middle of those that there are learns to attend, when no block looks far. */
static void look_far(search_genome *g, int live_count) {
    int live = 0, i = 0;
    for (int k = 0; k < g->count; k++)
        if (looks_far(&g->genes[k])) return;
    for (;; i++) {
        if (g->genes[i].at[SEARCH_OP] == SEARCH_SKIP) continue;
        if (live++ == live_count / 2) break;
    }
    search_gene *x = &g->genes[i];
    x->at[SEARCH_OP] = SEARCH_FULL;
    x->at[SEARCH_P1] %= p1_of[SEARCH_FULL].count;
    x->at[SEARCH_P2] = 0;
    x->at[SEARCH_SHARING] = SEARCH_OWN;
}

/* What is shared stands above; shared keys are as many as their target has. */
static void mend_sharing(search_genome *g) {
    int key_heads = -1; /* p1 of the nearest block with keys of its own */
    bool ff = false;
    for (int i = 0; i < g->count; i++) {
        int *x = g->genes[i].at;
        if (x[SEARCH_OP] == SEARCH_SKIP) x[SEARCH_SHARING] = SEARCH_OWN;
        if (x[SEARCH_OP] == SEARCH_SKIP) continue;
        if (x[SEARCH_SHARING] == SEARCH_SHARE_KEYS &&
            (x[SEARCH_OP] != SEARCH_FULL || key_heads < 0))
            x[SEARCH_SHARING] = SEARCH_OWN;
        if (x[SEARCH_SHARING] == SEARCH_SHARE_FF && !ff) x[SEARCH_SHARING] = SEARCH_OWN;
        if (x[SEARCH_OP] == SEARCH_FULL) {
            if (x[SEARCH_SHARING] == SEARCH_SHARE_KEYS)
                x[SEARCH_P1] = key_heads;
            else
                key_heads = x[SEARCH_P1];
        }
        if (x[SEARCH_SHARING] != SEARCH_SHARE_FF) ff = true;
    }
}

bool search_repair(const search_space *s, search_genome *g, double *factor) {
    int live = 0;
    into_range(g);
    for (int i = 0; i < g->count; i++) live += g->genes[i].at[SEARCH_OP] != SEARCH_SKIP;
    if (live == 0) return false;
    if (s->need_far) look_far(g, live);
    mend_sharing(g);
    double low = 0.25, high = 4.0;
    for (int i = 0; i < HALVINGS; i++) {
        const double middle = sqrt(low * high);
        if (search_params(s, g, middle) > s->params)
            high = middle;
        else
            low = middle;
    }
    *factor = low;
    const int64_t off = llabs(search_params(s, g, low) - s->params);
    return (double)off <= s->tolerance * (double)s->params;
}

/* ---- Change ---- */

int search_below(random_state *r, int n) {
    return (int)(random_unit(r) * n);
}

void search_random_genome(random_state *r, const search_space *s, search_genome *out) {
    out->count = s->blocks;
    for (int i = 0; i < s->blocks; i++) {
        search_gene *x = &out->genes[i];
        for (int p = 0; p < SEARCH_SHARING; p++) x->at[p] = search_below(r, allele_count(x, p));
        x->at[SEARCH_SHARING] = random_unit(r) < 0.9 ? SEARCH_OWN : 1 + search_below(r, 2);
    }
}

void search_cross(random_state *r, const search_genome *a, const search_genome *b,
                  search_genome *out) {
    assert(a->count == b->count);
    const int i = search_below(r, a->count + 1), j = search_below(r, a->count + 1);
    const int from = i < j ? i : j, to = i < j ? j : i;
    *out = *a;
    for (int k = from; k < to; k++) out->genes[k] = b->genes[k];
}

void search_mutate(random_state *r, search_genome *g, double rate) {
    for (int i = 0; i < g->count; i++) {
        search_gene *x = &g->genes[i];
        for (int p = 0; p < SEARCH_PLACE_COUNT; p++)
            if (random_unit(r) < rate) x->at[p] = search_below(r, allele_count(x, p));
    }
    if (random_unit(r) < rate) {
        const int i = search_below(r, g->count), j = search_below(r, g->count);
        const search_gene kept = g->genes[i];
        g->genes[i] = g->genes[j];
        g->genes[j] = kept;
    }
}

void search_seed_genome(const search_space *s, int which, search_genome *out) {
    static const search_gene convolves = {{SEARCH_CONVOLUTION, 0, 0, 2, SEARCH_OWN}};
    static const search_gene attends = {{SEARCH_FULL, 1, 0, 2, SEARCH_OWN}};
    out->count = s->blocks;
    for (int i = 0; i < s->blocks; i++) {
        const bool third = i % 3 == 2 && i < s->blocks - 1;
        const bool attention = which == 1 || (which == 0 && third);
        out->genes[i] = attention ? attends : convolves;
    }
}
