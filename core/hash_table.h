/* A hash table over things that its owner keeps in an array: from a hash to the index of the thing
 * that has it. Open addressing, at most half full. */
#ifndef CORE_HASH_TABLE_H
#define CORE_HASH_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FNV-1a of 64 bits: starts at HASH_START and goes on over further bytes. The same everywhere and
 * for ever: shares of several machines depend on it. Its lowest bits mix least. */
#define HASH_START UINT64_C(14695981039346656037)
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size);

#define HASH_NONE SIZE_MAX

typedef struct hash_table_slot {
    uint64_t hash;
    size_t next; /* index + 1; 0: empty */
} hash_table_slot;

/* {0} is an empty table. */
typedef struct hash_table {
    hash_table_slot *slots; /* [cap] a power of two */
    size_t cap, count;
} hash_table;

/* Whether the thing at the index is the one looked for; asked only where the hashes are equal. */
typedef bool (*hash_table_same_fn)(const void *things, size_t index, const void *key);

/* The index, or HASH_NONE. */
size_t hash_table_find(const hash_table *t, uint64_t hash, hash_table_same_fn same,
                       const void *things, const void *key);
/* Adds an index that find has not found. False: no memory, nothing changed. */
bool hash_table_add(hash_table *t, uint64_t hash, size_t index);
void hash_table_free(hash_table *t); /* leaves an empty one */

#endif
