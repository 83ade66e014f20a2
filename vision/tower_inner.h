/* What the files of the tower share. */
#ifndef VISION_TOWER_INNER_H
#define VISION_TOWER_INNER_H

#include "vision/tower.h"

enum {
    TOWER_QUERIES = 24, /* queries that attention takes at once */
    TOWER_PATCH_COLS = 3 * VIEWS_PATCH * VIEWS_PATCH
};

static inline int tower_patches(const tower_state *s) {
    return s->rows * s->cols;
}

/* Floats of scratch of a thread in tower_attend. */
size_t tower_scores_size(const tower_weights *w, int patch_cap);

/* s->v = attention of s->q, s->k, s->v [patches, width]. tower_attention.c */
void tower_attend(tower_state *s, const compute *c);

/* The same with inputs rounded to whole numbers: another arithmetic, for towers
 * with packed weights. tower_rounded.c */
void tower_attend_rounded(tower_state *s, const compute *c);
void tower_rounded_layout(tower_state *s, int thread_count, arena *a);

#endif
