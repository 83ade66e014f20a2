/* What lies between the products of a pass (opencl_stack.c). Memory of the host is only read: what
 * a pass makes of tails, keys and values goes to buffers of its own. */

/* Sum over the work-group, in a fixed tree; the same in every work-item. */
static float group_sum(float own, __local float *part) {
    const int item = get_local_id(0);
    part[item] = own;
    for (int n = ITEMS / 2; n > 0; n /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < n) part[item] += part[item + n];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return part[0];
}

/* y[c] = x[c] * gain[c] / sqrt(mean(x^2) + eps). Group: a row. */
__kernel WHOLE_GROUP void norm(__global float *y, __global const float *x,
                               __global const float *vectors, int gain, int width, float eps) {
    __local float part[ITEMS];
    __global const float *from = x + (size_t)get_group_id(0) * width;
    __global float *to = y + (size_t)get_group_id(0) * width;
    float sum = 0.0f;
    for (int c = get_local_id(0); c < width; c += ITEMS) sum = fma(from[c], from[c], sum);
    const float scale = 1.0f / sqrt(group_sum(sum, part) / (float)width + eps);
    for (int c = get_local_id(0); c < width; c += ITEMS)
        to[c] = from[c] * scale * vectors[gain + c];
}

/* Gate the input; taps, oldest first; gate the sum. Rows [first, first + count) of bcx [rows, 3 *
 * width] and out [rows, width] are those of a state; tails + tail [tap_count - 1, width] is what it
 * kept, and next + tail what it keeps after the pass. Group (channels, row); rows behind the last
 * make the tail. */
__kernel WHOLE_GROUP void convolve(__global float *out, __global const float *bcx,
                                   __global const float *tails, __global float *next, int tail,
                                   __global const float *vectors, int taps, int bias, int first,
                                   int count, int tap_count, int width) {
    const int c = get_global_id(0), t = get_global_id(1);
    __global const float *rows = bcx + (size_t)first * 3 * width;
    const int kept = tap_count - 1;
    if (c >= width) return;
    float z = 0.0f;
    /* A row behind the last keeps the one input that it is. */
    for (int j = t < count ? 0 : t - count; j < tap_count; j++) {
        const int from = min(t, count) + j - kept;
        __global const float *row = rows + (size_t)max(from, 0) * 3 * width + c;
        const float u =
            from < 0 ? tails[tail + (kept + from) * width + c] : row[0] * row[2 * width];
        if (t >= count) {
            next[tail + (t - count) * width + c] = u;
            return;
        }
        z += vectors[taps + j * width + c] * u;
    }
    if (bias >= 0) z += vectors[bias + c];
    out[(size_t)(first + t) * width + c] = z * rows[(size_t)t * 3 * width + width + c];
}

/* ---- Attention ---- */

/* How keys and values are kept: kernels_cache. */
#define CACHE_F32 0
#define CACHE_F16 1
#define CACHE_Q8_0 2
#define KEYS 128 /* whose scores wait in local memory */

static size_t cache_row_size(int cache, int width) {
    return cache == CACHE_Q8_0 ? width + width / BLOCK * 2 : width * (cache == CACHE_F32 ? 4 : 2);
}

static float cached(__global const uchar *row, int cache, int width, int i) {
    if (cache == CACHE_F32) return ((__global const float *)row)[i];
    if (cache == CACHE_F16) return vload_half(i, (__global const half *)row);
    return (float)((__global const char *)row)[i] *
           vload_half(i / BLOCK, (__global const half *)(row + width));
}

/* Norm and rotation of a head: gains NULL: neither. turns: cosines, then sines. */
typedef struct head_turn {
    __global const float *gains, *turns;
    int width, pairs, adjacent;
    float scale; /* of its norm */
} head_turn;

static float head_scale(__global const float *head, int width, float eps) {
    float sum = 0.0f;
    for (int i = 0; i < width; i++) sum = fma(head[i], head[i], sum);
    return 1.0f / sqrt(sum / (float)width + eps);
}

static float normed(__global const float *head, const head_turn *h, int i) {
    return head[i] * h->scale * h->gains[i];
}

/* Number i of the head. */
static float turned(__global const float *head, const head_turn *h, int i) {
    if (h->gains == 0) return head[i];
    const int half_width = h->width / 2, pair = h->adjacent ? i / 2 : i % half_width;
    const bool is_first = h->adjacent ? i % 2 == 0 : i < half_width;
    if (pair >= h->pairs) return normed(head, h, i);
    const int step = h->adjacent ? 1 : half_width;
    const float own = normed(head, h, i), other = normed(head, h, is_first ? i + step : i - step);
    const float c = h->turns[pair], s = h->turns[half_width + pair];
    return is_first ? own * c - other * s : other * s + own * c;
}

/* A row of the cache, by all work-items. */
static void keep_row(__global uchar *row, int cache, __global const float *head,
                     const head_turn *h) {
    for (int i = get_local_id(0); cache != CACHE_Q8_0 && i < h->width; i += ITEMS) {
        const float v = turned(head, h, i);
        if (cache == CACHE_F32)
            ((__global float *)row)[i] = v;
        else
            vstore_half_rte(v, i, (__global half *)row);
    }
    for (int b = get_local_id(0); cache == CACHE_Q8_0 && b < h->width / BLOCK; b += ITEMS) {
        float v[BLOCK], largest = 0.0f, scale;
        for (int i = 0; i < BLOCK; i++) {
            v[i] = turned(head, h, b * BLOCK + i);
            largest = fmax(largest, magnitude(v[i]));
        }
        const float factor = block_factor(largest, 127.0f, &scale);
        for (int i = 0; i < BLOCK; i++)
            ((__global char *)row)[b * BLOCK + i] =
                factor == 0.0f ? (char)0 : convert_char_rte(v[i] * factor);
        vstore_half_rte(scale, b, (__global half *)(row + h->width));
    }
}

/* Keys, normed and turned, and values of row t, head `head` of the pass, to fresh [2, kv_heads,
 * row_count] rows. qkv [row_count, (heads + 2 * kv_heads) * width]. */
static void keep_head(__global uchar *fresh, __global const float *qkv, int t, int row_count,
                      int head, int heads, int kv_heads, int cache, head_turn *h, float eps) {
    const size_t row_size = cache_row_size(cache, h->width);
    __global const float *key =
        qkv + ((size_t)t * (heads + 2 * kv_heads) + heads + head) * h->width;
    __global uchar *to = fresh + ((size_t)head * row_count + t) * row_size;
    h->scale = head_scale(key, h->width, eps);
    keep_row(to, cache, key, h);
    h->gains = 0;
    keep_row(to + (size_t)kv_heads * row_count * row_size, cache, key + kv_heads * h->width, h);
}

/* The rows [first, ...) of the pass that are those of a state, as `keep` and `attend` take them:
 * from `at` on fresh is the layer's; vectors + gain are the norms of keys, turns + turn_at the
 * layer's cosines and sines [row_count, turn_width]. */
#define ROWS_OF_PASS                                                                               \
    __global uchar *fresh, ulong at, __global const float *qkv, __global const float *vectors,     \
        int gain, __global const float *turns, int turn_at, int turn_width, int first,             \
        int row_count, int heads, int kv_heads, int width, int pairs, int adjacent, int cache,     \
        float eps

/* The same for all rows of a state, before they attend to each other. Group (head, row). */
__kernel WHOLE_GROUP void keep(ROWS_OF_PASS) {
    const int t = first + get_group_id(1);
    head_turn h = {
        vectors + gain, turns + turn_at + (size_t)t * turn_width, width, pairs, adjacent, 0.0f};
    keep_head(fresh + at, qkv, t, row_count, get_group_id(0), heads, kv_heads, cache, &h, eps);
}

/* What a work-group has of each query head in local memory, [group] of each. */
typedef struct attend_room {
    __local float *q, *out;          /* [group, width] */
    __local float *scores;           /* [group, KEYS] */
    __local float *most, *sum, *old; /* largest score; sum of exponentials; what older count for */
} attend_room;

/* Scores of n keys to the softmax under way: out and sum are of what was before, times old. */
static void weigh(const attend_room *r, int group, int n) {
    for (int g = get_local_id(0); g < group; g += ITEMS) {
        float most = r->most[g];
        for (int j = 0; j < n; j++) most = fmax(most, r->scores[g * KEYS + j]);
        r->old[g] = exp(r->most[g] - most);
        r->most[g] = most;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = get_local_id(0); i < group * n; i += ITEMS) {
        const int g = i / n, at = g * KEYS + i % n;
        r->scores[at] = exp(r->scores[at] - r->most[g]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int g = get_local_id(0); g < group; g += ITEMS) {
        float sum = r->sum[g] * r->old[g];
        for (int j = 0; j < n; j++) sum += r->scores[g * KEYS + j];
        r->sum[g] = sum;
    }
}

/* Row j of a head: kept before the pass, or made by it. */
static __global const uchar *row_at(__global const uchar *kept, __global const uchar *fresh,
                                    int before, size_t row_size, int j) {
    return j < before ? kept + j * row_size : fresh + (j - before) * row_size;
}

/* The query heads of one key and value head over all keys that row t of the state sees, KEYS at a
 * time, oldest first. Group (head, row). kept: keys [kv_heads, cap] rows from key_at on, values
 * from value_at on; `before` of each are there. scale: 1 / sqrt(width). stores: makes its own row
 * of fresh first (the only row of its state in the pass). room: local memory of attend_room. */
__kernel WHOLE_GROUP void attend(ROWS_OF_PASS, __global float *out, __global const uchar *kept,
                                 ulong key_at, ulong value_at, int cap, int before, int q_gain,
                                 int window, float scale, int stores, __local float *room) {
    const int head = get_group_id(0), t = first + get_group_id(1), item = get_local_id(0);
    const int group = heads / kv_heads, last = before + get_group_id(1);
    const size_t row_size = cache_row_size(cache, width);
    const attend_room r = {room,
                           room + group * width,
                           room + 2 * group * width,
                           room + group * (2 * width + KEYS),
                           room + group * (2 * width + KEYS + 1),
                           room + group * (2 * width + KEYS + 2)};
    head_turn h = {
        vectors + gain, turns + turn_at + (size_t)t * turn_width, width, pairs, adjacent, 0.0f};
    if (stores) keep_head(fresh + at, qkv, t, row_count, head, heads, kv_heads, cache, &h, eps);
    h.gains = vectors + q_gain;
    for (int i = item; i < group * width; i += ITEMS) {
        __global const float *q =
            qkv + ((size_t)t * (heads + 2 * kv_heads) + head * group + i / width) * width;
        h.scale = head_scale(q, width, eps);
        r.q[i] = turned(q, &h, i % width);
        r.out[i] = 0.0f;
    }
    for (int g = item; g < group; g += ITEMS) {
        r.most[g] = -INFINITY;
        r.sum[g] = 0.0f;
    }
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
    __global const uchar *keys = kept + key_at + (size_t)head * cap * row_size;
    __global const uchar *values = kept + value_at + (size_t)head * cap * row_size;
    __global const uchar *new_keys = fresh + at + ((size_t)head * row_count + first) * row_size;
    __global const uchar *new_values = new_keys + (size_t)kv_heads * row_count * row_size;
    for (int j = window > 0 && last >= window ? last - window + 1 : 0; j <= last; j += KEYS) {
        const int n = min(KEYS, last + 1 - j);
        for (int i = item; i < group * n; i += ITEMS) {
            __global const uchar *row = row_at(keys, new_keys, before, row_size, j + i % n);
            float sum = 0.0f;
            for (int c = 0; c < width; c++)
                sum = fma(r.q[i / n * width + c], cached(row, cache, width, c), sum);
            r.scores[i / n * KEYS + i % n] = sum * scale;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        weigh(&r, group, n);
        for (int i = item; i < group * width; i += ITEMS) {
            float sum = r.out[i] * r.old[i / width];
            for (int k = 0; k < n; k++)
                sum = fma(r.scores[i / width * KEYS + k],
                          cached(row_at(values, new_values, before, row_size, j + k), cache, width,
                                 i % width),
                          sum);
            r.out[i] = sum;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int i = item; i < group * width; i += ITEMS)
        out[((size_t)t * heads + head * group) * width + i] = r.out[i] / r.sum[i / width];
}
