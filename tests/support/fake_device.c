#include "tests/support/fake_device.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/random.h"
#include "core/status.h"

enum { COL_CAP = 1 << 14 };

static fake_plan current;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of it: one that hangs has read it */
static atomic_int passes, clips, open_count;

typedef struct fake {
    kernels k;
    compute c;
    void *memory;
    int product_count;
} fake;

typedef struct fake_stack {
    fake *device;
    stack_work work;
    stack_piece *pieces; /* [row_cap] of copies */
    float *x;            /* [row_cap, width] */
    void *memory;
    size_t size;
} fake_stack;

typedef struct fake_encoder {
    fake *device;
    encoder_state state;
    void *memory;
    size_t size;
    int frame_cap;
} fake_encoder;

void fake_begin(const fake_plan *p) {
    (void)pthread_mutex_lock(&mutex);
    current = *p;
    (void)pthread_mutex_unlock(&mutex);
    atomic_store(&passes, 0);
    atomic_store(&clips, 0);
}

static fake_plan plan(void) {
    (void)pthread_mutex_lock(&mutex);
    const fake_plan p = current;
    (void)pthread_mutex_unlock(&mutex);
    return p;
}

int fake_passes(void) {
    return atomic_load(&passes);
}

int fake_clips(void) {
    return atomic_load(&clips);
}

int fake_open(void) {
    return atomic_load(&open_count);
}

/* For good: what it holds is then in use, and no leak. */
static void hang(void) {
    for (;;) (void)pause();
}

static void *need(void *memory) { /* in a thread where a test cannot fail */
    if (memory == NULL) abort();
    return memory;
}

static void *take_aligned(size_t size) {
    return need(aligned_alloc(ARENA_ALIGN, size));
}

/* ---- The device ---- */

static const stack_device_facts facts = {.name = "Fake NPU", .driver = "Imagined 1.0"};

static int list(const rnl_device_config *config, stack_device_entry *entries, int cap) {
    (void)config;
    if (cap > 0) entries[0] = (stack_device_entry){.facts = facts};
    return 1;
}

static rnl_status open_fake(const rnl_device_config *config, const char *name, void **device,
                            stack_device_facts *out, rnl_error *error) {
    (void)config;
    if (plan().hangs_opening) hang();
    if (plan().no_library != NULL) return status_fail(error, RNL_ERR_IO, "%s", plan().no_library);
    if (!stack_device_named(&facts, name))
        return status_fail(error, RNL_ERR_UNSUPPORTED, "no device is named %s", name);
    fake *f = need(calloc(1, sizeof *f));
    kernels_select(&f->k, kernels_cpu_features() & ~(unsigned)KERNELS_CPU_ROUNDS);
    f->c.k = &f->k;
    arena a = {0};
    compute_layout(&f->c, 1, COL_CAP, &a);
    f->memory = take_aligned(a.size_used);
    a = (arena){.base = f->memory, .size_cap = a.size_used};
    compute_layout(&f->c, 1, COL_CAP, &a);
    if (pool_create(1, &f->c.pool) != RNL_OK) abort();
    *out = facts;
    *device = f;
    (void)atomic_fetch_add(&open_count, 1);
    return RNL_OK;
}

static void close_fake(void *device) {
    fake *f = device;
    pool_destroy(&f->c.pool);
    free(f->memory);
    free(f);
    (void)atomic_fetch_sub(&open_count, 1);
}

static float bound(const void *device, const matrix *w) {
    (void)device;
    return w->col_count <= COL_CAP ? plan().bound : -1;
}

static rnl_status product(void *device, const matrix *w, bool exact, const float *x, int count,
                          float *y, rnl_error *error) {
    fake *f = device;
    const size_t cells = (size_t)count * (size_t)w->row_count;
    random_state random;
    (void)error;
    f->c.exact = exact;
    linear(&f->c, w, NULL, x, (size_t)w->col_count, y, (size_t)w->row_count, count);
    double squares = 0;
    for (size_t i = 0; i < cells; i++) squares += (double)y[i] * y[i] / (double)cells;
    random_seed(&random, 3);
    const double noise = plan().noise * sqrt(3 * squares);
    for (size_t i = 0; i < cells; i++) y[i] += (float)(noise * (2 * random_unit(&random) - 1));
    if (++f->product_count == 2 && plan().wrong_row > 0)
        for (int t = 0; t < count; t++)
            y[(size_t)t * (size_t)w->row_count + (size_t)plan().wrong_row - 1] *= -1;
    return RNL_OK;
}

/* ---- Stacks ---- */

static void layout_stack(fake_stack *s, const stack_weights *w, const stack_device_room *room,
                         arena *a) {
    const size_t rows = (size_t)room->row_cap, width = (size_t)w->config.width;
    stack_work_layout(&s->work, w, room->row_cap, room->position_cap, 1, a);
    s->pieces = arena_take(a, rows, sizeof *s->pieces);
    s->x = arena_take(a, rows * width, sizeof *s->x);
}

static rnl_status load(void *device, const stack_weights *w, const stack_device_room *room,
                       void **stack, rnl_error *error) {
    if (plan().no_memory != NULL) return status_fail(error, RNL_ERR_MEMORY, "%s", plan().no_memory);
    if (plan().lacks_depth && w->final_norm == NULL)
        return status_fail(error, RNL_ERR_UNSUPPORTED, "it has no stack without a final norm");
    fake_stack *s = need(calloc(1, sizeof *s));
    arena a = {0};
    s->device = device;
    s->device->c.exact = room->exact;
    layout_stack(s, w, room, &a);
    s->size = a.size_used;
    s->memory = take_aligned(s->size);
    a = (arena){.base = s->memory, .size_cap = s->size};
    layout_stack(s, w, room, &a);
    *stack = s;
    (void)atomic_fetch_add(&open_count, 1);
    return RNL_OK;
}

static void unload(void *stack) {
    fake_stack *s = stack;
    free(s->memory);
    free(s);
    (void)atomic_fetch_sub(&open_count, 1);
}

static size_t memory(const void *stack) {
    return ((const fake_stack *)stack)->size;
}

static void layout_mirror(stack_state *m, const stack_state *s, arena *kept, arena *appended) {
    stack_state_layout(m, s->w, s->cache, s->position_cap, s->step_cap, kept, appended);
}

typedef struct fake_mirror {
    stack_state state;
    void *memory;
} fake_mirror;

static rnl_status attach(void *stack, const stack_state *s, void **mirror, rnl_error *error) {
    (void)stack;
    if (plan().no_states) return status_fail(error, RNL_ERR_MEMORY, "it has no room for it");
    fake_mirror *m = need(calloc(1, sizeof *m));
    arena kept = {0}, appended = {0};
    layout_mirror(&m->state, s, &kept, &appended);
    const size_t kept_size = kept.size_used, size = kept_size + appended.size_used;
    m->memory = take_aligned(size);
    memset(m->memory, 0xff, size); /* what was not copied shows */
    kept = (arena){.base = m->memory, .size_cap = kept_size};
    appended = (arena){.base = kept.base + kept_size, .size_cap = size - kept_size};
    layout_mirror(&m->state, s, &kept, &appended);
    *mirror = m;
    (void)atomic_fetch_add(&open_count, 1);
    return RNL_OK;
}

static void detach(void *stack, void *mirror) {
    fake_mirror *m = mirror;
    (void)stack;
    free(m->memory);
    free(m);
    (void)atomic_fetch_sub(&open_count, 1);
}

/* The state's bytes into its copy, as far as that has not seen them. */
static void refresh(const stack_state *s) {
    fake_mirror *m = s->mirror;
    if (s->fixed_size > 0) memcpy(m->state.fixed, s->fixed, s->fixed_size);
    if (s->unseen < s->position) memcpy(m->state.appended_base, s->appended_base, s->appended_size);
    m->state.position = s->position;
}

static rnl_status forward(void *stack, const stack_pass *p, float *x, rnl_error *error) {
    fake_stack *s = stack;
    const size_t width = (size_t)s->work.w->config.width;
    const int pass = atomic_fetch_add(&passes, 1) + 1;
    if (pass == plan().hangs_at) hang();
    memcpy(s->x, x, (size_t)p->row_count * width * sizeof *x);
    for (int i = 0; i < p->piece_count; i++) {
        const stack_state *state = p->pieces[i].state;
        refresh(state);
        s->pieces[i] = (stack_piece){.state = &((fake_mirror *)state->mirror)->state,
                                     .count = p->pieces[i].count};
    }
    const bool lost = plan().lost_at > 0 && pass >= plan().lost_at;
    if (lost && !plan().torn) return status_fail(error, RNL_ERR_IO, "the fake is lost");
    stack_forward(&s->work, &s->device->c, s->pieces, p->piece_count, s->x);
    if (lost) return status_fail(error, RNL_ERR_IO, "the fake is lost halfway");
    return RNL_DONE;
}

static void take(void *stack, const stack_pass *p, float *x) {
    const fake_stack *s = stack;
    const size_t width = (size_t)s->work.w->config.width;
    memcpy(x, s->x, (size_t)p->row_count * width * sizeof *x);
    for (int i = 0; i < p->piece_count; i++) {
        const stack_state *to = p->pieces[i].state, *from = s->pieces[i].state;
        if (to->fixed_size > 0) memcpy(to->fixed, from->fixed, to->fixed_size);
        if (to->appended_size > 0)
            memcpy(to->appended_base, from->appended_base, to->appended_size);
    }
}

/* ---- The encoder ---- */

enum { FRAME_CAP = 1500 };

static rnl_status load_encoder(void *device, const encoder_weights *w, bool exact, void **encoder,
                               rnl_error *error) {
    (void)exact;
    if (plan().no_memory != NULL) return status_fail(error, RNL_ERR_MEMORY, "%s", plan().no_memory);
    fake_encoder *e = need(calloc(1, sizeof *e));
    arena a = {0};
    e->device = device;
    encoder_layout(&e->state, w, FRAME_CAP, 1, &a);
    e->size = a.size_used;
    e->memory = take_aligned(e->size);
    a = (arena){.base = e->memory, .size_cap = e->size};
    encoder_layout(&e->state, w, FRAME_CAP, 1, &a);
    *encoder = e;
    (void)atomic_fetch_add(&open_count, 1);
    return RNL_OK;
}

static void unload_encoder(void *encoder) {
    fake_encoder *e = encoder;
    free(e->memory);
    free(e);
    (void)atomic_fetch_sub(&open_count, 1);
}

static size_t memory_of_encoder(const void *encoder) {
    return ((const fake_encoder *)encoder)->size;
}

static int frame_cap(const void *encoder) {
    (void)encoder;
    return FRAME_CAP;
}

static rnl_status encode(void *encoder, const float *mel, int frame_count, rnl_error *error) {
    fake_encoder *e = encoder;
    (void)error, (void)atomic_fetch_add(&clips, 1);
    encoder_begin(&e->state, mel, frame_count);
    while (encoder_step(&e->state, &e->device->c) == RNL_OK) continue;
    return RNL_OK;
}

static void take_rows(void *encoder, float *out) {
    const encoder_state *s = &((fake_encoder *)encoder)->state;
    memcpy(out, encoder_output(s),
           (size_t)s->position_count * (size_t)encoder_width(s->w) * sizeof *out);
}

static const stack_device_ops ops = {
    .kind = "npu",
    .list = list,
    .open = open_fake,
    .close = close_fake,
    .bound = bound,
    .product = product,
    .load = load,
    .unload = unload,
    .memory = memory,
    .attach = attach,
    .detach = detach,
    .forward = forward,
    .take = take,
};

static const encoder_device_ops encoder_ops = {
    .load = load_encoder,
    .unload = unload_encoder,
    .memory = memory_of_encoder,
    .frame_cap = frame_cap,
    .encode = encode,
    .take = take_rows,
};

const device_kind fake_row = {.ops = &ops, .encoder = &encoder_ops};
