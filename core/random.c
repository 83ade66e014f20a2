#include "core/random.h"

static uint64_t rotate_left(uint64_t x, int by) {
    return x << by | x >> (64 - by);
}

void random_seed(random_state *r, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u; /* splitmix64: neighbouring seeds give unrelated states */
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

uint64_t random_u64(random_state *r) {
    const uint64_t out = rotate_left(r->s[1] * 5, 7) * 9;
    const uint64_t carried = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= carried;
    r->s[3] = rotate_left(r->s[3], 45);
    return out;
}

double random_unit(random_state *r) {
    return (double)(random_u64(r) >> 11) * 0x1.0p-53;
}
