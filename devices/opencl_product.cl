/* Matrix products of a GPU, with the bits of the scalar level: the two laws of kernels/kernels.h.
 * A work-group makes sixteen rows (a slab) times up to TILE inputs:
 *
 *     packed   x -> codes and scales of SPAN blocks (local) -> sums of blocks, exact integers, by
 *              PARTS work-items for each row -> one chain of fused steps for each output, in order
 *     floats   eight work-items for each row: the eight running sums -> the fixed tree
 *
 * How columns are split over work-items shows in no bit: integer sums are exact, and what is
 * rounded is added by one work-item in the law's order. Behind it stands opencl_stack.cl. */
#pragma OPENCL FP_CONTRACT OFF

#define ROWS 16              /* of a slab: PACKED_ROWS */
#define PARTS 8              /* work-items that share a row; lanes of a float sum */
#define ITEMS (ROWS * PARTS) /* of every work-group */
#define TILE (ITEMS / ROWS)  /* inputs that meet a slab at once: each work-item ends one output */
#define BLOCK 32             /* columns: PACKED_BLOCK */
#define SPAN (ITEMS / PARTS) /* blocks that are rounded at once */
#define GROUPS (BLOCK / 4)   /* of four columns, in a block */
#define SLAB_ALIGN 64        /* PACKED_ALIGN */
#define WHOLE_GROUP __attribute__((reqd_work_group_size(ITEMS, 1, 1)))
#define SMALLEST 1e-30f /* a block below it everywhere is 0: KERNELS_TINY */

/* How a matrix lies in memory: gpu_form. */
#define FORM_F32 0
#define FORM_F16 1
#define FORM_BF16 2
#define FORM_Q4_0 3
#define FORM_Q8_0 4

/* a / b rounded to nearest, both positive and normal: a device may be wrong by 2.5 units in the
 * last place. The right one leaves the smallest rest, and fused steps tell rests exactly. */
static float quotient(float a, float b) {
    float q = a / b, rest = fma(-q, b, a);
    for (int i = 0; i < 3; i++) {
        const float next = as_float(as_int(q) + (rest > 0.0f ? 1 : -1));
        const float left = fma(-next, b, a);
        if (fabs(left) < fabs(rest)) {
            q = next;
            rest = left;
        }
    }
    return q;
}

/* The factor that takes a block to integers up to `most`, and the scale that takes them back.
 * largest: of its magnitudes; infinite: one of them is not finite. */
static float block_factor(float largest, float most, float *scale) {
    const bool finite = isfinite(largest), none = !finite || largest < SMALLEST;
    *scale = !finite ? NAN : none ? 0.0f : quotient(largest, most);
    return none ? 0.0f : quotient(most, largest);
}

static float magnitude(float v) {
    return isfinite(v) ? fabs(v) : INFINITY;
}

/* Rounds `blocks` blocks of `count` inputs; eight work-items for each block. largest [TILE, ITEMS]
 * is scratch. */
static void round_span(__global const float *x, int x_stride, int count, int blocks, float most,
                       __local short *codes, __local float *scales, __local float *largest) {
    const int item = get_local_id(0), b = item / PARTS, at = item * (BLOCK / PARTS);
    for (int t = 0; t < count && b < blocks; t++) {
        float m = 0.0f;
        for (int c = at; c < at + BLOCK / PARTS; c++) m = fmax(m, magnitude(x[t * x_stride + c]));
        largest[t * ITEMS + item] = m;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int t = 0; t < count && b < blocks; t++) {
        float m = 0.0f, scale;
        for (int i = 0; i < PARTS; i++) m = fmax(m, largest[t * ITEMS + b * PARTS + i]);
        const float factor = block_factor(m, most, &scale);
        for (int c = at; c < at + BLOCK / PARTS; c++)
            codes[t * SPAN * BLOCK + c] =
                factor == 0.0f ? (short)0 : convert_short_rte(x[t * x_stride + c] * factor);
        if (item % PARTS == 0) scales[t * SPAN + b] = scale;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* The codes of one row of a block, four columns together. line: its first word in the slab. */
static void unpack(__global const uint *line, bool wide, int4 *w) {
    if (wide) {
        for (int g = 0; g < GROUPS; g++) w[g] = convert_int4(as_char4(line[g * ROWS]));
        return;
    }
    for (int g = 0; g < GROUPS / 2; g++) {
        const uint word = line[g * ROWS];
        w[g] = convert_int4(as_char4(word & 0x0f0f0f0fu)) - 8;
        w[g + GROUPS / 2] = convert_int4(as_char4(word >> 4 & 0x0f0f0f0fu)) - 8;
    }
}

/* Of work-item t * ROWS + r: row r of the slab times input t. */
static float packed_sum(__global const uchar *slab, bool wide, int cols, __global const float *x,
                        int x_stride, int count, __local short4 *codes, __local float *scales,
                        __local float *sums) {
    const int r = get_local_id(0) % ROWS, part = get_local_id(0) / ROWS, blocks = cols / BLOCK;
    const int words = (wide ? GROUPS : GROUPS / 2) * ROWS; /* of a block */
    __global const uint *lines = (__global const uint *)slab;
    __global const half *d = (__global const half *)(lines + blocks * words);
    float y = 0.0f;
    for (int first = 0; first < blocks; first += SPAN) {
        const int n = min(SPAN, blocks - first);
        round_span(x + first * BLOCK, x_stride, count, n, wide ? 32767.0f : 127.0f,
                   (__local short *)codes, scales, sums);
        for (int b = part; b < n; b += PARTS) {
            int4 w[GROUPS];
            unpack(lines + (first + b) * words + r, wide, w);
            for (int t = 0; t < count; t++) {
                __local const short4 *own = codes + (t * SPAN + b) * GROUPS;
                int4 s = (int4)(0);
                for (int g = 0; g < GROUPS; g++) s += w[g] * convert_int4(own[g]);
                sums[(t * SPAN + b) * ROWS + r] =
                    convert_float_rte(s.x + s.y + s.z + s.w) * scales[t * SPAN + b];
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int b = 0; b < n && part < count; b++)
            y = fma(vload_half((first + b) * ROWS + r, d), sums[(part * SPAN + b) * ROWS + r], y);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    return y;
}

static int float_size(int form) {
    return form == FORM_F32 ? 4 : 2;
}
static float weight_at(__global const uchar *row, int form, int c) {
    if (form == FORM_F32) return ((__global const float *)row)[c];
    if (form == FORM_F16) return vload_half(c, (__global const half *)row);
    return as_float((uint)((__global const ushort *)row)[c] << 16);
}

/* The same of rows of floats, of which there are `rows`. */
static float float_sum(__global const uchar *w, int form, int rows, int cols,
                       __global const float *x, int x_stride, int count, __local float *sums) {
    const int item = get_local_id(0), r = item / PARTS;
    __global const uchar *row = w + (size_t)r * cols * float_size(form);
    float lane[TILE];
    for (int t = 0; t < TILE; t++) lane[t] = 0.0f;
    for (int c = item % PARTS; c < cols && r < rows; c += PARTS) {
        const float weight = weight_at(row, form, c);
        for (int t = 0; t < TILE; t++)
            if (t < count) lane[t] += weight * x[t * x_stride + c];
    }
    for (int t = 0; t < TILE; t++) sums[t * ITEMS + item] = lane[t];
    barrier(CLK_LOCAL_MEM_FENCE);
    __local const float *s = sums + item / ROWS * ITEMS + item % ROWS * PARTS;
    const float y = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    barrier(CLK_LOCAL_MEM_FENCE);
    return y;
}

static size_t slab_size(int form, int cols) {
    const size_t of_block = (form == FORM_Q8_0 ? GROUPS : GROUPS / 2) * ROWS * 4 + ROWS * 2;
    return (cols / BLOCK * of_block + SLAB_ALIGN - 1) / SLAB_ALIGN * SLAB_ALIGN;
}

/* Either, of slab number `slab` of a matrix of so many rows. */
static float slab_sum(__global const uchar *w, int form, int rows, int cols, int slab,
                      __global const float *x, int x_stride, int count, __local short4 *codes,
                      __local float *scales, __local float *sums) {
    if (form < FORM_Q4_0)
        return float_sum(w + (size_t)slab * ROWS * cols * float_size(form), form,
                         min(ROWS, rows - slab * ROWS), cols, x, x_stride, count, sums);
    return packed_sum(w + slab * slab_size(form, cols), form == FORM_Q8_0, cols, x, x_stride, count,
                      codes, scales, sums);
}

static int slab_count(int rows) {
    return (rows + ROWS - 1) / ROWS;
}

#define LOCAL_OF_PRODUCT                                                                           \
    __local short4 codes[TILE * SPAN * GROUPS];                                                    \
    __local float scales[TILE * SPAN], sums[TILE * SPAN * ROWS]

/* y[t, r] = bias[r] + sum_c w[r, c] x[t, c] (+ y[t, r] when it adds) for the rows of up to three
 * matrices of as many columns, one behind the other. Biases: where in vectors; -1: none. Group
 * (slab, tile of inputs). */
__kernel WHOLE_GROUP void product(__global float *y, int y_stride, __global const float *x,
                                  int x_stride, int count, int cols, __global const float *vectors,
                                  int adds, __global const uchar *w0, int form0, int rows0,
                                  int bias0, __global const uchar *w1, int form1, int rows1,
                                  int bias1, __global const uchar *w2, int form2, int rows2,
                                  int bias2) {
    LOCAL_OF_PRODUCT;
    const int part = get_local_id(0) / ROWS, r = get_local_id(0) % ROWS;
    const int first = get_group_id(1) * TILE, n = min(TILE, count - first);
    __global const uchar *w = w0;
    int slab = get_group_id(0), form = form0, rows = rows0, bias = bias0, base = 0;
    if (slab >= slab_count(rows0)) {
        slab -= slab_count(rows0);
        base = rows0;
        w = w1, form = form1, rows = rows1, bias = bias1;
        if (slab >= slab_count(rows1)) {
            slab -= slab_count(rows1);
            base += rows1;
            w = w2, form = form2, rows = rows2, bias = bias2;
        }
    }
    const float sum = slab_sum(w, form, rows, cols, slab, x + (size_t)first * x_stride, x_stride, n,
                               codes, scales, sums);
    const int row = slab * ROWS + r;
    if (part >= n || row >= rows) return;
    __global float *out = y + (size_t)(first + part) * y_stride + base + row;
    const float all = bias < 0 ? sum : vectors[bias + row] + sum;
    *out = adds ? *out + all : all;
}

/* y[t, r] = silu(gate x) * (up x). */
__kernel WHOLE_GROUP void gated_product(__global float *y, int y_stride, __global const float *x,
                                        int x_stride, int count, int cols, int rows,
                                        __global const uchar *gate, int gate_form,
                                        __global const uchar *up, int up_form) {
    LOCAL_OF_PRODUCT;
    const int part = get_local_id(0) / ROWS, slab = get_group_id(0);
    const int first = get_group_id(1) * TILE, n = min(TILE, count - first);
    const int row = slab * ROWS + get_local_id(0) % ROWS;
    __global const float *from = x + (size_t)first * x_stride;
    const float a =
        slab_sum(gate, gate_form, rows, cols, slab, from, x_stride, n, codes, scales, sums);
    const float b = slab_sum(up, up_form, rows, cols, slab, from, x_stride, n, codes, scales, sums);
    if (part < n && row < rows)
        y[(size_t)(first + part) * y_stride + row] = a / (1.0f + exp(-a)) * b;
}
