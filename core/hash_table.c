#include "core/hash_table.h"

#include <stdlib.h>

#include "core/checked.h"

enum { CAP_MIN = 64 };

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i++) hash = (hash ^ at[i]) * UINT64_C(1099511628211);
    return hash;
}

static size_t first_slot(const hash_table *t, uint64_t hash) {
    return (size_t)(hash ^ hash >> 32) & (t->cap - 1);
}

size_t hash_table_find(const hash_table *t, uint64_t hash, hash_table_same_fn same,
                       const void *things, const void *key) {
    if (t->cap == 0) return HASH_NONE;
    for (size_t at = first_slot(t, hash); t->slots[at].next != 0; at = (at + 1) & (t->cap - 1)) {
        const size_t index = t->slots[at].next - 1;
        if (t->slots[at].hash == hash && same(things, index, key)) return index;
    }
    return HASH_NONE;
}

static void put(hash_table *t, hash_table_slot slot) {
    size_t at = first_slot(t, slot.hash);
    while (t->slots[at].next != 0) at = (at + 1) & (t->cap - 1);
    t->slots[at] = slot;
}

static bool grow(hash_table *t) {
    hash_table grown = {.cap = CAP_MIN, .count = t->count};
    if (t->cap > 0 && !checked_mul(t->cap, 2, &grown.cap)) return false;
    grown.slots = calloc(grown.cap, sizeof *grown.slots);
    if (grown.slots == NULL) return false;
    for (size_t i = 0; i < t->cap; i++)
        if (t->slots[i].next != 0) put(&grown, t->slots[i]);
    free(t->slots);
    *t = grown;
    return true;
}

bool hash_table_add(hash_table *t, uint64_t hash, size_t index) {
    if (2 * (t->count + 1) > t->cap && !grow(t)) return false;
    put(t, (hash_table_slot){hash, index + 1});
    t->count++;
    return true;
}

void hash_table_free(hash_table *t) {
    free(t->slots);
    *t = (hash_table){0};
}
