/* The vocabulary: tokens by id, by bytes (a hash), merges by pair of ids (a hash). */
#include "tokenizer/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "core/utf8.h"
#include "tokenizer/bpe_inner.h"

/* The byte a mapped code point stands for, or -1. Printable bytes stand for themselves, the
 * other 68 follow from U+0100 on in increasing order (backbone.md 4.3). */
static int byte_of(uint32_t c) {
    if (c < 0x21 || c == 0x7F || c == 0xAD || (c > 0x7F && c < 0xA1)) return -1;
    if (c < 0x100) return (int)c;
    if (c <= 0x120) return (int)(c - 0x100);
    if (c <= 0x142) return (int)(c - 0x121 + 0x7F);
    return c == 0x143 ? 0xAD : -1;
}

rnl_status bpe_create(int token_cap, bpe **out) {
    bpe *b = calloc(1, sizeof *b);
    *out = b;
    if (b == NULL) return RNL_ERR_MEMORY;
    b->token_cap = token_cap;
    b->tokens = calloc((size_t)token_cap + 1, sizeof *b->tokens);
    if (b->tokens != NULL) return RNL_OK;
    free(b);
    *out = NULL;
    return RNL_ERR_MEMORY;
}

void bpe_destroy(bpe **out) {
    bpe *b = *out;
    if (b == NULL) return;
    for (int i = 0; i < b->token_cap; i++) {
        free(b->tokens[i].text);
        free(b->tokens[i].bytes);
    }
    for (size_t i = 0; i < b->merge_count; i++) free(b->merges[i].text);
    free(b->tokens);
    free(b->merges);
    free(b->by_bytes);
    free(b->by_pair);
    free(b->specials);
    free(b);
    *out = NULL;
}

static char *copy(const char *text, size_t size) {
    char *out = malloc(size + 1);
    if (out == NULL) return NULL;
    memcpy(out, text, size);
    out[size] = '\0';
    return out;
}

/* Mapped text to raw bytes, in place of out; false when a character stands for no byte. */
static bool unmap(const char *text, size_t size, char *out, size_t *out_size) {
    *out_size = 0;
    for (size_t at = 0; at < size;) {
        uint32_t c;
        at += utf8_next(text + at, size - at, &c);
        const int byte = byte_of(c);
        if (byte < 0) return false;
        out[(*out_size)++] = (char)byte;
    }
    return true;
}

rnl_status bpe_add_token(bpe *b, int32_t id, const char *text, size_t size, bpe_kind kind) {
    if (id < 0 || id >= b->token_cap || b->tokens[id].text != NULL) return RNL_ERR_FORMAT;
    bpe_token *t = &b->tokens[id];
    t->kind = kind;
    t->size = size;
    t->text = copy(text, size);
    t->bytes = copy(text, size);
    if (t->text == NULL || t->bytes == NULL) return RNL_ERR_MEMORY;
    t->byte_size = size;
    size_t unmapped;
    /* A string outside the alphabet can still be shown, but no text encodes to it. */
    t->matches = kind == BPE_NORMAL && unmap(text, size, t->bytes, &unmapped);
    if (t->matches)
        t->byte_size = unmapped;
    else
        memcpy(t->bytes, text, size);
    if (t->byte_size > b->token_size_max) b->token_size_max = t->byte_size;
    if (id >= b->token_count) b->token_count = id + 1;
    return RNL_OK;
}

rnl_status bpe_add_merge(bpe *b, const char *left, size_t left_size, const char *right,
                         size_t right_size) {
    if (b->merge_count == b->merge_cap) {
        const size_t cap = b->merge_cap == 0 ? 4096 : 2 * b->merge_cap;
        bpe_merge *grown = realloc(b->merges, cap * sizeof *grown);
        if (grown == NULL) return RNL_ERR_MEMORY;
        b->merges = grown;
        b->merge_cap = cap;
    }
    bpe_merge *m = &b->merges[b->merge_count];
    m->size = left_size + 1 + right_size;
    m->left_size = left_size;
    m->text = malloc(m->size + 1);
    if (m->text == NULL) return RNL_ERR_MEMORY;
    memcpy(m->text, left, left_size);
    m->text[left_size] = ' ';
    memcpy(m->text + left_size + 1, right, right_size);
    m->text[m->size] = '\0';
    b->merge_count++;
    return RNL_OK;
}

/* ---- Hashes: open addressing, index + 1, a power of two of slots at most half full ---- */

static size_t slots_for(size_t count) {
    size_t slots = 16;
    while (slots < 2 * count + 2) slots *= 2;
    return slots;
}

static size_t hash_bytes(const char *bytes, size_t size) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++) h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 29);
}

static size_t hash_pair(int32_t left, int32_t right) {
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const uint64_t h = key * 0x9e3779b97f4a7c15u;
    return (size_t)(h ^ h >> 32);
}

int32_t bpe_find_bytes(const bpe *b, const char *bytes, size_t size) {
    size_t at = hash_bytes(bytes, size) & (b->by_bytes_slots - 1);
    for (; b->by_bytes[at] != 0; at = (at + 1) & (b->by_bytes_slots - 1)) {
        const bpe_token *t = &b->tokens[b->by_bytes[at] - 1];
        if (t->byte_size == size && memcmp(t->bytes, bytes, size) == 0)
            return (int32_t)(b->by_bytes[at] - 1);
    }
    return -1;
}

const bpe_merge *bpe_find_merge(const bpe *b, int32_t left, int32_t right) {
    size_t at = hash_pair(left, right) & (b->by_pair_slots - 1);
    for (; b->by_pair[at] != 0; at = (at + 1) & (b->by_pair_slots - 1)) {
        const bpe_merge *m = &b->merges[b->by_pair[at] - 1];
        if (m->left == left && m->right == right) return m;
    }
    return NULL;
}

void bpe_set_ignore_merges(bpe *b, bool ignore_merges) {
    b->merges_whole = !ignore_merges;
}

bool bpe_ignores_merges(const bpe *b) {
    return !b->merges_whole;
}

static bool is_special(const bpe_token *t) {
    return (t->kind == BPE_CONTROL || t->kind == BPE_USER) && t->size > 0;
}

static int by_text(const void *a, const void *b) {
    const bpe_special *x = a, *y = b;
    const int first = (unsigned char)x->text[0] - (unsigned char)y->text[0];
    if (first != 0) return first;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void sort_specials(bpe *b) {
    qsort(b->specials, b->special_count, sizeof *b->specials, by_text);
    size_t at = 0;
    for (size_t byte = 0; byte <= 256; byte++) {
        while (at < b->special_count && (unsigned char)b->specials[at].text[0] < byte) at++;
        b->special_begin[byte] = at;
    }
}

static rnl_status index_tokens(bpe *b) {
    b->by_bytes_slots = slots_for((size_t)b->token_count);
    b->by_bytes = calloc(b->by_bytes_slots, sizeof *b->by_bytes);
    b->specials = calloc((size_t)b->token_count + 1, sizeof *b->specials);
    if (b->by_bytes == NULL || b->specials == NULL) return RNL_ERR_MEMORY;
    for (int32_t id = 0; id < b->token_count; id++) {
        const bpe_token *t = &b->tokens[id];
        if (is_special(t))
            b->specials[b->special_count++] = (bpe_special){t->text, t->size, t->kind, id};
        b->user_count += t->kind == BPE_USER;
        if (!t->matches || bpe_find_bytes(b, t->bytes, t->byte_size) >= 0) continue;
        size_t at = hash_bytes(t->bytes, t->byte_size) & (b->by_bytes_slots - 1);
        while (b->by_bytes[at] != 0) at = (at + 1) & (b->by_bytes_slots - 1);
        b->by_bytes[at] = (uint32_t)id + 1;
    }
    sort_specials(b);
    return RNL_OK;
}

/* The token of a mapped string, or -1. */
static int32_t find_mapped(const bpe *b, const char *text, size_t size, char *buffer) {
    size_t raw;
    return unmap(text, size, buffer, &raw) ? bpe_find_bytes(b, buffer, raw) : -1;
}

static rnl_status index_merges(bpe *b) {
    b->by_pair_slots = slots_for(b->merge_count);
    b->by_pair = calloc(b->by_pair_slots, sizeof *b->by_pair);
    size_t longest = 0;
    for (size_t i = 0; i < b->merge_count; i++)
        if (b->merges[i].size > longest) longest = b->merges[i].size;
    char *joined = malloc(2 * longest + 2);
    if (b->by_pair == NULL || joined == NULL) {
        free(joined);
        return RNL_ERR_MEMORY;
    }
    char *buffer = joined + longest + 1;
    for (size_t rank = 0; rank < b->merge_count; rank++) {
        bpe_merge *m = &b->merges[rank];
        const size_t right_size = m->size - m->left_size - 1;
        memcpy(joined, m->text, m->left_size);
        memcpy(joined + m->left_size, m->text + m->left_size + 1, right_size);
        m->rank = (uint32_t)rank;
        m->left = find_mapped(b, m->text, m->left_size, buffer);
        m->right = find_mapped(b, m->text + m->left_size + 1, right_size, buffer);
        m->result = find_mapped(b, joined, m->left_size + right_size, buffer);
        if (m->left < 0 || m->right < 0 || m->result < 0 ||
            bpe_find_merge(b, m->left, m->right) != NULL)
            continue; /* never applied */
        size_t at = hash_pair(m->left, m->right) & (b->by_pair_slots - 1);
        while (b->by_pair[at] != 0) at = (at + 1) & (b->by_pair_slots - 1);
        b->by_pair[at] = (uint32_t)rank + 1;
    }
    free(joined);
    return RNL_OK;
}

rnl_status bpe_finish(bpe *b, const char *file, rnl_error *error) {
    rnl_status status = index_tokens(b);
    if (status == RNL_OK) status = index_merges(b);
    if (status != RNL_OK)
        return status_fail(error, status, "%s: memory for the vocabulary is exhausted", file);
    for (int byte = 0; byte < 256; byte++) {
        const char c = (char)byte;
        b->byte_ids[byte] = bpe_find_bytes(b, &c, 1);
        if (b->byte_ids[byte] < 0)
            return status_fail(error, RNL_ERR_FORMAT,
                               "%s: the vocabulary has no token for byte %d; the file is damaged",
                               file, byte);
    }
    return RNL_OK;
}

int bpe_token_count(const bpe *b) {
    return b->token_count;
}

int bpe_token_cap(const bpe *b) {
    return b->token_cap;
}

int bpe_token_size_max(const bpe *b) {
    return (int)b->token_size_max;
}

int32_t bpe_find_special(const bpe *b, const char *text) {
    const size_t size = strlen(text);
    for (size_t i = 0; i < b->special_count; i++) {
        const bpe_special *t = &b->specials[i];
        if (t->size == size && memcmp(t->text, text, size) == 0) return t->id;
    }
    return -1;
}

bool bpe_token_bytes(const bpe *b, int32_t id, const char **bytes, size_t *size, bool *special) {
    if (id < 0 || id >= b->token_count || b->tokens[id].text == NULL) return false;
    const bpe_token *t = &b->tokens[id];
    *bytes = t->bytes;
    *size = t->byte_size;
    *special = t->kind == BPE_CONTROL;
    return true;
}

const char *bpe_token_text(const bpe *b, int32_t id, size_t *size, bpe_kind *kind) {
    if (id < 0 || id >= b->token_count || b->tokens[id].text == NULL) return NULL;
    *size = b->tokens[id].size;
    *kind = b->tokens[id].kind;
    return b->tokens[id].text;
}

size_t bpe_merge_count(const bpe *b) {
    return b->merge_count;
}

const char *bpe_merge_text(const bpe *b, size_t rank, size_t *size) {
    *size = b->merges[rank].size;
    return b->merges[rank].text;
}
