/* Writing super-blocks of 256 elements, Q2_K to Q6_K: each sub-block gets a scale (and a minimum)
 * by a small search, the scales are rounded to a few bits, and the elements are then coded again
 * with what was stored. Layouts: backbone.md 6.1; formulas and order of operations: 6.4.
 *
 *     Q4_K Q5_K   8 sub-blocks of 32, scale and minimum of 6 bits     fit_range
 *     Q2_K       16 sub-blocks of 16, scale and minimum of 4 bits     fit_range
 *     Q6_K       16 sub-blocks of 16, signed scale of 8 bits          fit_signed
 *     Q3_K       16 sub-blocks of 16, signed scale of 6 bits          fit_by_sweeps
 *
 * All sums run in index order from element 0: another order is another file. To be fast all the
 * same, the searches take four sub-blocks at a time, one in each lane of a vector. */
#include "kernels/quant_inner.h"

#include <assert.h>
#include <math.h>

enum { SUPER = 256, SUB_MAX = 32 /* elements of the longest sub-block */ };

static int clamp(int v, int low, int high) {
    return v < low ? low : v > high ? high : v;
}

/* The nearest integer, ties to even, for |x| <= 4194303: the sum has one unit in its last bit.
 * Some integer for anything else. */
static int nearest(float x) {
    const float sum = x + 12582912.0f;
    uint32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return (int)(bits & 0x007fffff) - 0x00400000;
}

/* ---- LANES sub-blocks at a time, so that their sums, each in its order, run side by side ---- */

enum { LANES = 4 };
typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t lane_mask __attribute__((vector_size(4 * LANES))); /* all bits or none */

static lanes all(float v) {
    return (lanes){v, v, v, v};
}

static lanes pick(lane_mask mask, lanes yes, lanes no) {
    return (lanes)((mask & (lane_mask)yes) | (~mask & (lane_mask)no));
}

static lanes magnitude(lanes v) {
    return (lanes)((lane_mask)v & 0x7fffffff);
}

/* nearest() as floats. */
static lanes nearest_lanes(lanes x, float low, float high) {
    const lanes whole = (x + all(12582912.0f)) - all(12582912.0f);
    const lanes above = pick(whole < all(low), all(low), whole);
    return pick(above > all(high), all(high), above);
}

/* out[i] gets element i of LANES neighbouring sub-blocks. */
static void to_lanes(const float *x, int sub_len, lanes *out) {
    for (int i = 0; i < sub_len; i++)
        for (int l = 0; l < LANES; l++) out[i][l] = x[l * sub_len + i];
}

/* ---- Scale and minimum: x ~ scale * code - min, code in [0, top], min >= 0 ---- */

typedef struct range_search {
    int count, top; /* elements, largest code */
    /* The inverse scales (top + first + step * t) / (high - low), 0 <= t <= step_count. */
    float first, step;
    int step_count;
    bool uses_abs; /* error: weighted magnitudes instead of squares */
} range_search;

static const range_search search_q2_k = {16, 3, -0.5f, 0.1f, 15, true};
static const range_search search_q4_k = {32, 15, -1.0f, 0.1f, 20, false};
static const range_search search_q5_k = {32, 31, -0.5f, 0.1f, 15, false};

typedef struct range_input {
    const range_search *s;
    lanes x[SUB_MAX], w[SUB_MAX]; /* elements and their weights */
    lanes sum_w, sum_x;           /* of w, of w x */
} range_input;

typedef struct range_fit {
    lanes scale, low;               /* x ~ scale * code + low */
    lanes coded_inverse, coded_low; /* the codes are those of (x - coded_low) * coded_inverse */
    lanes error;
} range_fit;

static lanes range_code(const range_input *in, int i, const range_fit *f) {
    return nearest_lanes(f->coded_inverse * (in->x[i] - f->coded_low), 0, (float)in->s->top);
}

static void range_error(const range_input *in, range_fit *f) {
    f->error = all(0);
    for (int i = 0; i < in->s->count; i++) {
        const lanes miss = f->scale * range_code(in, i, f) + f->low - in->x[i];
        f->error += in->w[i] * (in->s->uses_abs ? magnitude(miss) : miss * miss);
    }
}

/* Scale and offset of least squared error for the codes; the offset is never positive. False where
 * all codes are alike. */
static lane_mask range_solve(const range_input *in, range_fit *f) {
    lanes sum_l = all(0), sum_ll = all(0), sum_xl = all(0);
    for (int i = 0; i < in->s->count; i++) {
        const lanes l = range_code(in, i, f), wl = in->w[i] * l;
        sum_l += wl;
        sum_ll += wl * l;
        sum_xl += wl * in->x[i];
    }
    const lanes divisor = in->sum_w * sum_ll - sum_l * sum_l;
    f->scale = (in->sum_w * sum_xl - in->sum_x * sum_l) / divisor;
    f->low = (sum_ll * in->sum_x - sum_l * sum_xl) / divisor;
    const lane_mask positive = f->low > all(0);
    f->low = pick(positive, all(0), f->low);
    f->scale = pick(positive, sum_xl / sum_ll, f->scale);
    return divisor > all(0);
}

static void range_take(range_fit *best, const range_fit *f, lane_mask better) {
    best->scale = pick(better, f->scale, best->scale);
    best->low = pick(better, f->low, best->low);
    best->coded_inverse = pick(better, f->coded_inverse, best->coded_inverse);
    best->coded_low = pick(better, f->coded_low, best->coded_low);
    best->error = pick(better, f->error, best->error);
}

/* scales, mins [LANES]; codes [LANES * count]. */
static void fit_range(range_input *in, float *scales, float *mins, unsigned char *codes) {
    const range_search *s = in->s;
    lanes low = in->x[0], high = in->x[0];
    in->sum_w = in->w[0];
    in->sum_x = in->w[0] * in->x[0];
    for (int i = 1; i < s->count; i++) {
        low = pick(in->x[i] < low, in->x[i], low);
        high = pick(in->x[i] > high, in->x[i], high);
        in->sum_w += in->w[i];
        in->sum_x += in->w[i] * in->x[i];
    }
    low = pick(low > all(0), all(0), low);
    const lane_mask flat = high == low; /* scale and codes are 0 */
    range_fit best = {.coded_inverse = all((float)s->top) / (high - low), .coded_low = low};
    best.scale = all(1) / best.coded_inverse;
    best.low = low;
    range_error(in, &best);
    for (int t = 0; t <= s->step_count; t++) {
        /* The offset is the best one so far, not the smallest element: the reference has it so. */
        const lanes wanted = all(s->first + s->step * (float)t + (float)s->top);
        range_fit f = {.coded_inverse = wanted / (high - best.low), .coded_low = best.low};
        const lane_mask solved = range_solve(in, &f);
        range_error(in, &f);
        range_take(&best, &f, solved & (f.error < best.error));
    }
    for (int l = 0; l < LANES; l++) {
        scales[l] = flat[l] != 0 ? 0 : best.scale[l];
        mins[l] = flat[l] != 0 ? -low[l] : -best.low[l];
        for (int i = 0; i < s->count; i++)
            codes[l * s->count + i] = (unsigned char)clamp(
                nearest(best.coded_inverse[l] * (in->x[i][l] - best.coded_low[l])), 0,
                flat[l] != 0 ? 0 : s->top);
    }
}

/* Rounds values >= 0 to [0, top] by their maximum, as bytes; stores the unit as f16 and returns it
 * as it was stored. */
static float round_scales(const float *values, int count, int top, unsigned char *rounded,
                          unsigned char *unit) {
    float max = 0;
    for (int j = 0; j < count; j++) max = values[j] > max ? values[j] : max;
    const float inverse = max > 0 ? (float)top / max : 0.0f;
    for (int j = 0; j < count; j++) {
        rounded[j] = (unsigned char)nearest(inverse * values[j]);
        if (rounded[j] > top) rounded[j] = (unsigned char)top;
    }
    quant_store_f16(unit, max / (float)top);
    return quant_load_f16(unit);
}

/* Codes of all sub-blocks again, with the scales that were stored. */
static void recode_range(const range_search *s, const float *x, float d, float dmin,
                         const unsigned char *scales, const unsigned char *mins,
                         unsigned char *codes) {
    for (int j = 0; j < SUPER / s->count; j++) {
        const float scale = d * (float)scales[j], min = dmin * (float)mins[j];
        if (scale == 0) continue;
        for (int i = s->count * j; i < s->count * (j + 1); i++)
            codes[i] = (unsigned char)clamp(nearest((x[i] + min) / scale), 0, s->top);
    }
}

/* Six bits of scale and minimum of eight sub-blocks in twelve bytes (backbone.md 6.2). */
static void pack_scales(const unsigned char *scales, const unsigned char *mins, unsigned char *s) {
    for (int j = 0; j < 4; j++) {
        s[j] = (unsigned char)(scales[j] | scales[j + 4] >> 4 << 6);
        s[j + 4] = (unsigned char)(mins[j] | mins[j + 4] >> 4 << 6);
        s[j + 8] = (unsigned char)((scales[j + 4] & 15) | (mins[j + 4] & 15) << 4);
    }
}

static void write_q45_k(const float *x, bool has_high, unsigned char *p) {
    range_input in = {.s = has_high ? &search_q5_k : &search_q4_k};
    unsigned char codes[SUPER], scales[8], mins[8];
    float sub_scales[8], sub_mins[8];
    for (int j = 0; j < 8; j += LANES) {
        lanes square_sum = all(0);
        to_lanes(x + 32 * j, 32, in.x);
        for (int i = 0; i < 32; i++) square_sum += in.x[i] * in.x[i];
        lanes size = square_sum / all(32);
        for (int l = 0; l < LANES; l++) size[l] = sqrtf(size[l]);
        for (int i = 0; i < 32; i++) in.w[i] = size + magnitude(in.x[i]);
        fit_range(&in, sub_scales + j, sub_mins + j, codes + 32 * j);
    }
    const float d = round_scales(sub_scales, 8, 63, scales, p);
    const float dmin = round_scales(sub_mins, 8, 63, mins, p + 2);
    recode_range(in.s, x, d, dmin, scales, mins, codes);
    pack_scales(scales, mins, p + 4);
    unsigned char *high = p + 16, *q = p + (has_high ? 48 : 16);
    for (int g = 0; g < 4; g++)
        for (int l = 0; l < 32; l++)
            q[32 * g + l] =
                (unsigned char)((codes[64 * g + l] & 15) | (codes[64 * g + 32 + l] & 15) << 4);
    if (!has_high) return;
    memset(high, 0, 32);
    for (int i = 0; i < SUPER; i++) high[i % 32] |= (unsigned char)((codes[i] >> 4) << i / 32);
}

/* Two bits of 256 codes to 64 bytes: element 128 p + 32 t + l to bits 2 t of byte 32 p + l. */
static void pack_pairs(const unsigned char *codes, unsigned char *q) {
    memset(q, 0, 64);
    for (int i = 0; i < SUPER; i++)
        q[32 * (i / 128) + i % 32] |= (unsigned char)((codes[i] & 3) << 2 * (i / 32 % 4));
}

static void write_q2_k(const float *x, unsigned char *p) {
    range_input in = {.s = &search_q2_k};
    unsigned char codes[SUPER], scales[16], mins[16];
    float sub_scales[16], sub_mins[16];
    for (int j = 0; j < 16; j += LANES) {
        to_lanes(x + 16 * j, 16, in.x);
        for (int i = 0; i < 16; i++) in.w[i] = magnitude(in.x[i]);
        fit_range(&in, sub_scales + j, sub_mins + j, codes + 16 * j);
    }
    const float d = round_scales(sub_scales, 16, 15, scales, p + 80);
    const float dmin = round_scales(sub_mins, 16, 15, mins, p + 82);
    recode_range(&search_q2_k, x, d, dmin, scales, mins, codes);
    for (int j = 0; j < 16; j++) p[j] = (unsigned char)(scales[j] | mins[j] << 4);
    pack_pairs(codes, p + 16);
}

/* ---- Signed scale: x ~ scale * (code - half), code - half in [-half, half - 1] ---- */

/* The sums of w x l and w l l, w = x^2, for the codes l of x * inverse. */
static void signed_sums(const lanes *x, float half, lanes inverse, lanes *sum_lx, lanes *sum_ll) {
    *sum_lx = *sum_ll = all(0);
    for (int i = 0; i < 16; i++) {
        const lanes l = nearest_lanes(inverse * x[i], -half, half - 1), w = x[i] * x[i];
        *sum_lx += w * x[i] * l;
        *sum_ll += w * l * l;
    }
}

/* 19 inverse scales around the one that gives the extreme element the code -half. scales [LANES],
 * codes [LANES * 16] with half added. */
static void fit_signed(const float *values, int half, float *scales, unsigned char *codes) {
    lanes x[16], extreme, sum_lx, sum_ll;
    to_lanes(values, 16, x);
    for (int l = 0; l < LANES; l++) extreme[l] = quant_extreme(values + 16 * l, 16);
    lanes coded_inverse = all((float)-half) / extreme;
    signed_sums(x, (float)half, coded_inverse, &sum_lx, &sum_ll);
    lanes scale = pick(sum_ll != all(0), sum_lx / sum_ll, all(0)), best = scale * sum_lx;
    for (int t = -9; t <= 9; t++) {
        if (t == 0) continue;
        const lanes inverse = all(-((float)half + 0.1f * (float)t)) / extreme;
        signed_sums(x, (float)half, inverse, &sum_lx, &sum_ll);
        const lane_mask better = (sum_ll > all(0)) & (sum_lx * sum_lx > best * sum_ll);
        scale = pick(better, sum_lx / sum_ll, scale);
        best = pick(better, scale * sum_lx, best);
        coded_inverse = pick(better, inverse, coded_inverse);
    }
    for (int l = 0; l < LANES; l++) {
        const bool tiny = fabsf(extreme[l]) < QUANT_TINY;
        scales[l] = tiny ? 0 : scale[l];
        for (int i = 0; i < 16; i++) {
            const int code = clamp(nearest(coded_inverse[l] * x[i][l]), -half, half - 1);
            codes[16 * l + i] = (unsigned char)(tiny ? 0 : code + half);
        }
    }
}

/* Codes of sub-block j of 16 again, with its stored scale. */
static void recode_signed(const float *x, float scale, int half, unsigned char *codes) {
    if (scale == 0) return;
    for (int i = 0; i < 16; i++)
        codes[i] = (unsigned char)(clamp(nearest(x[i] / scale), -half, half - 1) + half);
}

static void write_q6_k(const float *x, unsigned char *p) {
    unsigned char codes[SUPER];
    float sub_scales[16];
    for (int b = 0; b < 16; b += LANES) fit_signed(x + 16 * b, 32, sub_scales + b, codes + 16 * b);
    const float extreme = quant_extreme(sub_scales, 16);
    memset(p, 0, 210);
    if (fabsf(extreme) < QUANT_TINY) return;
    const float inverse = -128.0f / extreme;
    quant_store_f16(p + 208, 1 / inverse);
    const float d = quant_load_f16(p + 208);
    for (int b = 0; b < 16; b++) {
        const int scale = clamp(nearest(inverse * sub_scales[b]), -128, 127);
        p[192 + b] = (unsigned char)scale;
        recode_signed(x + 16 * b, d * (float)scale, 32, codes + 16 * b);
    }
    for (int i = 0; i < SUPER; i++) {
        const int half = i / 128, t = i / 32 % 4, l = i % 32;
        p[64 * half + 32 * (t % 2) + l] |= (unsigned char)((codes[i] & 15) << 4 * (t / 2));
        p[128 + 32 * half + l] |= (unsigned char)(codes[i] >> 4 << 2 * t);
    }
}

/* One sweep of coordinate descent over a sub-block of Q3_K: each element takes the code that is
 * best while the others stay. False when none changed. */
static bool sweep(const float *x, int *codes, float *sum_lx, float *sum_ll) {
    bool changed = false;
    for (int i = 0; i < 16; i++) {
        const float w = x[i] * x[i], old = (float)codes[i];
        float lx = *sum_lx - w * x[i] * old;
        if (!(lx > 0)) continue;
        float ll = *sum_ll - w * old * old;
        const int code = clamp(nearest(x[i] * ll / lx), -4, 3);
        if (code == codes[i]) continue;
        lx += w * x[i] * (float)code;
        ll += w * (float)code * (float)code;
        if (!(ll > 0) || !(lx * lx * *sum_ll > *sum_lx * *sum_lx * ll)) continue;
        codes[i] = code;
        *sum_lx = lx;
        *sum_ll = ll;
        changed = true;
    }
    return changed;
}

static float fit_by_sweeps(const float *x, unsigned char *stored) {
    const float extreme = quant_extreme(x, 16);
    memset(stored, 0, 16);
    if (fabsf(extreme) < QUANT_TINY) return 0;
    const float inverse = -4.0f / extreme;
    float sum_lx = 0, sum_ll = 0;
    int codes[16];
    for (int i = 0; i < 16; i++) {
        codes[i] = clamp(nearest(inverse * x[i]), -4, 3);
        const float w = x[i] * x[i], l = (float)codes[i];
        sum_lx += w * x[i] * l;
        sum_ll += w * l * l;
    }
    for (int round = 0; round < 5 && sweep(x, codes, &sum_lx, &sum_ll); round++) continue;
    for (int i = 0; i < 16; i++) stored[i] = (unsigned char)(codes[i] + 4);
    return sum_lx / sum_ll;
}

static void write_q3_k(const float *x, unsigned char *p) {
    unsigned char codes[SUPER];
    float sub_scales[16];
    for (int b = 0; b < 16; b++) sub_scales[b] = fit_by_sweeps(x + 16 * b, codes + 16 * b);
    const float extreme = quant_extreme(sub_scales, 16);
    const float inverse = extreme != 0 ? -32.0f / extreme : 0.0f;
    memset(p, 0, 110);
    quant_store_f16(p + 108, extreme != 0 ? 1 / inverse : 0.0f);
    const float d = quant_load_f16(p + 108);
    for (int b = 0; b < 16; b++) {
        if (extreme == 0) break;
        const int scale = clamp(nearest(inverse * sub_scales[b]), -32, 31);
        const int six = scale + 32;
        p[96 + b % 8] |= (unsigned char)((six & 15) << 4 * (b / 8));
        p[104 + b % 4] |= (unsigned char)(six >> 4 << 2 * (b / 4));
        recode_signed(x + 16 * b, d * (float)scale, 4, codes + 16 * b);
    }
    for (int i = 0; i < SUPER; i++) p[i % 32] |= (unsigned char)((codes[i] >> 2) << i / 32);
    pack_pairs(codes, p + 32);
}

void quant_write_super_block(quant_type type, const float *x, unsigned char *block) {
    switch (type) {
    case QUANT_Q2_K:
        write_q2_k(x, block);
        break;
    case QUANT_Q3_K:
        write_q3_k(x, block);
        break;
    case QUANT_Q4_K:
        write_q45_k(x, false, block);
        break;
    case QUANT_Q5_K:
        write_q45_k(x, true, block);
        break;
    default:
        assert(type == QUANT_Q6_K);
        write_q6_k(x, block);
        break;
    }
}
