/* What the files of the encoder share. */
#ifndef TOKENIZER_ENCODER_INNER_H
#define TOKENIZER_ENCODER_INNER_H

#include "tokenizer/encoder.h"

enum { ENCODER_QUERIES = 24 /* queries that attention takes at once */ };

/* Floats of attention scratch per thread: scores, position scores, two query rows per query. */
size_t encoder_scores_size(int position_cap, int head_width);

/* s->mixed = attention of s->q, s->k, s->v [position_count, width] with s->positions; s->wide is
 * overwritten. encoder_attention.c */
void encoder_attend(encoder_state *s, const compute *c, const encoder_layer *y);

/* s->x through one layer. encoder_layer.c */
void encoder_run_layer(encoder_state *s, const compute *c, const encoder_layer *y);

#endif
