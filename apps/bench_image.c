/* One picture of 512 x 512 pixels through the tower and the projector, as a session does it. */
#include <stdlib.h>

#include "apps/bench_report.h"
#include "core/clock.h"

enum { SIDE = 512, PATCHES = SIDE / VIEWS_PATCH };

static double elements_of(const matrix *w) {
    return (double)w->row_count * (double)w->col_count;
}

/* Multiply-adds count as two; attention is among them. */
static double ops_of(const rnl_model *m) {
    const tower_weights *w = &m->tower;
    const double patches = PATCHES * PATCHES;
    double sum = elements_of(&w->patch);
    for (int i = 0; i < w->layer_count; i++) {
        const tower_layer *l = &w->layers[i];
        sum += elements_of(&l->q) + elements_of(&l->k) + elements_of(&l->v) + elements_of(&l->out) +
               elements_of(&l->up) + elements_of(&l->down) + 2 * patches * w->width;
    }
    sum += (elements_of(&m->projector.up) + elements_of(&m->projector.out)) / 4;
    return 2 * sum * patches;
}

static double seconds_of(rnl_session *s, const uint8_t *pixels) {
    pass *p = s->pass;
    compute c = p->compute; /* as pass_run.c has it */
    c.bf16 = true;
    const double begin = clock_seconds();
    tower_begin(&p->tower, pixels, PATCHES, PATCHES);
    while (tower_step(&p->tower, &c) == RNL_OK) continue;
    projector_forward(&p->projector, &c, tower_output(&p->tower), PATCHES, PATCHES, s->embeddings);
    return clock_seconds() - begin;
}

void bench_image(bench *b) {
    enum { SIZE = 3 * SIDE * SIDE };
    uint8_t *pixels = malloc(SIZE);
    if (pixels == NULL || b->s->pass->tower.patch_cap < PATCHES * PATCHES) {
        free(pixels); /* a small model of tests has no room for it */
        return;
    }
    random_state r;
    random_seed(&r, 1);
    for (int i = 0; i < SIZE; i++) pixels[i] = (uint8_t)(random_u64(&r) >> 56);
    const double op_count = ops_of(b->model);
    while (bench_more(b)) {
        const double peak = bench_peak(b, &b->model->tower.layers[0].up, true);
        bench_add(b, 1e3 * seconds_of(b->s, pixels), peak > 0 ? 1e3 * op_count / peak : 0);
    }
    bench_report(b, &(bench_row){.work = "image", .unit = "ms", .tokens = PATCHES * PATCHES / 4});
    free(pixels);
}
