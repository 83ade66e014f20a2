/* A small seeded generator (xoshiro256**, seeded through splitmix64): the same seed gives the same
 * draws on every machine. Not for secrets. */
#ifndef CORE_RANDOM_H
#define CORE_RANDOM_H

#include <stdint.h>

typedef struct random_state {
    uint64_t s[4];
} random_state;

void random_seed(random_state *r, uint64_t seed);
uint64_t random_u64(random_state *r);
double random_unit(random_state *r); /* uniform in [0, 1), 53 bits */

#endif
