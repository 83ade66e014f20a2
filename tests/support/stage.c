#include "tests/support/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/safetensors.h"

void stage_open(stage *s, int thread_count, int64_t col_cap) {
    memset(s, 0, sizeof *s);
    assert_int_equal(weights_create(&s->w), RNL_OK);
    s->l = (loader){.w = s->w, .prefix = "", .file = "test", .error = &s->error};
    kernels_select(&s->k, kernels_cpu_features());
    assert_int_equal(pool_create(thread_count, &s->pool), RNL_OK);
    for (int i = 0; i < 3; i++) {
        s->memory[i] = aligned_alloc(ARENA_ALIGN, STAGE_SIZE);
        assert_non_null(s->memory[i]);
    }
    stage_clear(s);
    arena panel = {.base = s->memory[2], .size_cap = STAGE_SIZE};
    compute_layout(&s->c, thread_count, col_cap, &panel);
    s->c.pool = s->pool;
    s->c.k = &s->k;
}

void stage_clear(stage *s) {
    s->kept = (arena){.base = s->memory[0], .size_cap = STAGE_SIZE};
    s->scratch = (arena){.base = s->memory[1], .size_cap = STAGE_SIZE};
}

static void close_file(void *file) {
    safetensors *f = file;
    safetensors_close(&f);
}

void stage_add(stage *s, const char *path, const char *prefix) {
    char full[1024];
    safetensors *file = NULL;
    (void)snprintf(full, sizeof full, "%s/%s", TEST_DATA, path);
    if (safetensors_open(full, &file, &s->error) != RNL_OK) fail_msg("%s", s->error.text);
    assert_int_equal(weights_own(s->w, file, close_file), RNL_OK);
    for (size_t i = 0; i < safetensors_tensor_count(file); i++) {
        tensor t = *safetensors_tensor(file, i);
        (void)snprintf(full, sizeof full, "%s%s", prefix, t.name);
        t.name = full;
        if (weights_add(s->w, &t, path, &s->error) != RNL_OK) fail_msg("%s", s->error.text);
    }
}

void stage_check(stage *s) {
    if (s->l.status != RNL_OK) fail_msg("%s", s->error.text);
}

void stage_close(stage *s) {
    pool_destroy(&s->pool);
    weights_destroy(&s->w);
    for (int i = 0; i < 3; i++) free(s->memory[i]);
}
