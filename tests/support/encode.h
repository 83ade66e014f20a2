/* The encoder by itself, on the CPU, as exact models compute it. Fails the test that calls it. */
#ifndef TESTS_SUPPORT_ENCODE_H
#define TESTS_SUPPORT_ENCODE_H

#include "engine/model.h"

typedef struct encode_rig {
    compute c;
    encoder_state encoder;
    void *memory;
} encode_rig;

void encode_open(encode_rig *u, const rnl_model *m, int frame_cap);
void encode_close(encode_rig *u);
/* mel [frame_count, bands]; rows valid until the next call. */
const float *encode_clip(encode_rig *u, const float *mel, int frame_count);
/* Random mel frames; free() them. */
float *encode_mel(const rnl_model *m, int frame_count, uint64_t seed);

#endif
