#include "devices/opencl_product.h"

#include <limits.h>

#include "core/status.h"

enum { TILE = 8 /* inputs of a work-group, as opencl_product.cl has it */ };

gpu_form gpu_form_of(const matrix *w, bool exact) {
    if (w->row_count < 1 || w->row_count > INT_MAX || w->col_count < 1 || w->col_count > INT_MAX)
        return GPU_NO_FORM;
    if (!exact && w->packed != NULL)
        return w->type == QUANT_Q4_0 ? GPU_Q4_0 : w->type == QUANT_Q8_0 ? GPU_Q8_0 : GPU_NO_FORM;
    const gpu_form form = w->type == QUANT_F32    ? GPU_F32
                          : w->type == QUANT_F16  ? GPU_F16
                          : w->type == QUANT_BF16 ? GPU_BF16
                                                  : GPU_NO_FORM;
    const size_t size = form == GPU_F32 ? sizeof(float) : sizeof(uint16_t);
    const bool plain = w->data != NULL && (uintptr_t)w->data % size == 0 &&
                       w->row_size == (size_t)w->col_count * size;
    return plain ? form : GPU_NO_FORM;
}

static size_t slab_count(int64_t row_count) {
    return (size_t)(row_count + PACKED_ROWS - 1) / PACKED_ROWS;
}

size_t gpu_matrix_size(const matrix *w, gpu_form form) {
    return form < GPU_Q4_0 ? (size_t)w->row_count * w->row_size
                           : slab_count(w->row_count) * w->packed->slab_size;
}

void gpu_matrix_place(gpu *g, const matrix *w, gpu_form form, gpu_matrix *out) {
    const unsigned char *from =
        form < GPU_Q4_0 ? w->data : w->packed->slabs + (size_t)w->slab * w->packed->slab_size;
    *out = (gpu_matrix){.memory = gpu_borrow(g, from, gpu_matrix_size(w, form)),
                        .form = form,
                        .row_count = (int)w->row_count,
                        .col_count = (int)w->col_count};
}

void gpu_matrix_drop(gpu *g, gpu_matrix *m) {
    gpu_release(g, &m->memory);
}

static size_t tile_count(int count) {
    return (size_t)(count + TILE - 1) / TILE;
}

void gpu_multiply(gpu *g, const gpu_product *p) {
    enum { COMMON = 8, OF_TASK = 4 };
    const gpu_matrix *first = p->w[0];
    gpu_arg args[COMMON + OF_TASK * GPU_TASK_CAP];
    size_t slabs = 0;
    int rows = 0;
    for (int i = 0; i < GPU_TASK_CAP; i++) {
        const gpu_matrix *w = p->w[i] != NULL ? p->w[i] : first; /* the kernel never comes there */
        gpu_arg *own = args + COMMON + OF_TASK * i;
        own[0] = gpu_of_buffer(w->memory);
        own[1] = gpu_of_int(w->form);
        own[2] = gpu_of_int(w->row_count);
        own[3] = gpu_of_int(p->bias[i]);
        if (p->w[i] == NULL) continue;
        slabs += slab_count(w->row_count);
        rows += w->row_count;
    }
    args[0] = gpu_of_buffer(p->y);
    args[1] = gpu_of_int(rows);
    args[2] = gpu_of_buffer(p->x);
    args[3] = gpu_of_int(first->col_count);
    args[4] = gpu_of_int(p->count);
    args[5] = gpu_of_int(first->col_count);
    args[6] = gpu_of_buffer(p->vectors);
    args[7] = gpu_of_int(p->adds);
    gpu_launch(g, GPU_PRODUCT, args, sizeof args / sizeof *args, slabs, tile_count(p->count));
}

void gpu_multiply_gated(gpu *g, const gpu_matrix *gate, const gpu_matrix *up, gpu_buffer x,
                        gpu_buffer y, int count) {
    const gpu_arg args[] = {gpu_of_buffer(y),
                            gpu_of_int(gate->row_count),
                            gpu_of_buffer(x),
                            gpu_of_int(gate->col_count),
                            gpu_of_int(count),
                            gpu_of_int(gate->col_count),
                            gpu_of_int(gate->row_count),
                            gpu_of_buffer(gate->memory),
                            gpu_of_int(gate->form),
                            gpu_of_buffer(up->memory),
                            gpu_of_int(up->form)};
    gpu_launch(g, GPU_GATED_PRODUCT, args, sizeof args / sizeof *args, slab_count(gate->row_count),
               tile_count(count));
}

rnl_status gpu_multiply_once(gpu *g, const matrix *w, bool exact, const float *x, int count,
                             float *y, rnl_error *error) {
    const gpu_form form = gpu_form_of(w, exact);
    const size_t inputs = (size_t)count * (size_t)w->col_count * sizeof *x;
    const size_t outputs = (size_t)count * (size_t)w->row_count * sizeof *y;
    if (form == GPU_NO_FORM)
        return status_fail(error, RNL_ERR_UNSUPPORTED, "it does not multiply by matrices of %s",
                           quant_describe(w->type)->name);
    gpu_matrix m;
    gpu_matrix_place(g, w, form, &m);
    gpu_buffer from = gpu_copy(g, x, inputs), to = gpu_take(g, outputs);
    const gpu_product p = {.w = {&m},
                           .bias = {-1, -1, -1},
                           .x = from,
                           .y = to,
                           .vectors = from, /* of which no bias is read */
                           .count = count};
    gpu_multiply(g, &p);
    gpu_read(g, to, 0, y, outputs);
    const rnl_status status = gpu_wait(g, error);
    gpu_release(g, &from);
    gpu_release(g, &to);
    gpu_matrix_drop(g, &m);
    return status;
}
