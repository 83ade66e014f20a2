/* Writing super-blocks of 256 elements, Q2_K to Q6_K: each sub-block gets a scale (and a minimum)
 * by a small search, the scales are rounded to a few bits, and the elements are then coded again
 * with what was stored. Layouts: backbone.md 6.1; formulas and order of operations: 6.4.
 *
 *     Q4_K Q5_K   8 sub-blocks of 32, scale and minimum of 6 bits     fit_range
 *     Q2_K       16 sub-blocks of 16, scale and minimum of 4 bits     fit_range
 *     Q6_K       16 sub-blocks of 16, signed scale of 8 bits          fit_signed
 *     Q3_K       16 sub-blocks of 16, signed scale of 6 bits          fit_by_sweeps
 *
 * All sums run in index order from element 0: another order is another file. */
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

static float range_error(const range_search *s, const float *x, const float *w, float scale,
                         float low, const unsigned char *codes) {
    float error = 0;
    for (int i = 0; i < s->count; i++) {
        const float miss = scale * (float)codes[i] + low - x[i];
        error += w[i] * (s->uses_abs ? fabsf(miss) : miss * miss);
    }
    return error;
}

static void range_codes(const range_search *s, const float *x, float inverse, float low,
                        unsigned char *codes) {
    for (int i = 0; i < s->count; i++)
        codes[i] = (unsigned char)clamp(nearest(inverse * (x[i] - low)), 0, s->top);
}

/* Scale and offset of least squared error for these codes; the offset is never positive. False when
 * all codes are alike. */
static bool range_solve(const range_search *s, const float *x, const float *w,
                        const unsigned char *codes, float sum_w, float sum_x, float *scale,
                        float *low) {
    float sum_l = 0, sum_ll = 0, sum_xl = 0;
    for (int i = 0; i < s->count; i++) {
        const float l = (float)codes[i], wl = w[i] * l;
        sum_l += wl;
        sum_ll += wl * l;
        sum_xl += wl * x[i];
    }
    const float divisor = sum_w * sum_ll - sum_l * sum_l;
    if (!(divisor > 0)) return false;
    *scale = (sum_w * sum_xl - sum_x * sum_l) / divisor;
    *low = (sum_ll * sum_x - sum_l * sum_xl) / divisor;
    if (*low > 0) {
        *low = 0;
        *scale = sum_xl / sum_ll;
    }
    return true;
}

/* Returns the scale; min and codes [count] by pointer. */
static float fit_range(const range_search *s, const float *x, const float *w, float *min,
                       unsigned char *codes) {
    float low = x[0], high = x[0], sum_w = w[0], sum_x = w[0] * x[0];
    for (int i = 1; i < s->count; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        sum_w += w[i];
        sum_x += w[i] * x[i];
    }
    if (low > 0) low = 0;
    *min = -low;
    if (high == low) {
        memset(codes, 0, (size_t)s->count);
        return 0;
    }
    float inverse = (float)s->top / (high - low), scale = 1 / inverse;
    range_codes(s, x, inverse, low, codes);
    float best = range_error(s, x, w, scale, low, codes);
    for (int t = 0; t <= s->step_count; t++) {
        unsigned char tried[SUB_MAX];
        float tried_scale, tried_low;
        /* low is the best offset so far, not the smallest element: the reference has it so. */
        inverse = (s->first + s->step * (float)t + (float)s->top) / (high - low);
        range_codes(s, x, inverse, low, tried);
        if (!range_solve(s, x, w, tried, sum_w, sum_x, &tried_scale, &tried_low)) continue;
        const float error = range_error(s, x, w, tried_scale, tried_low, tried);
        if (!(error < best)) continue;
        memcpy(codes, tried, (size_t)s->count);
        best = error;
        scale = tried_scale;
        low = tried_low;
    }
    *min = -low;
    return scale;
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
    const range_search *s = has_high ? &search_q5_k : &search_q4_k;
    unsigned char codes[SUPER], scales[8], mins[8];
    float sub_scales[8], sub_mins[8];
    for (int j = 0; j < 8; j++) {
        const float *sub = x + 32 * j;
        float square_sum = 0, w[32];
        for (int i = 0; i < 32; i++) square_sum += sub[i] * sub[i];
        const float size = sqrtf(square_sum / 32);
        for (int i = 0; i < 32; i++) w[i] = size + fabsf(sub[i]);
        sub_scales[j] = fit_range(s, sub, w, &sub_mins[j], codes + 32 * j);
    }
    const float d = round_scales(sub_scales, 8, 63, scales, p);
    const float dmin = round_scales(sub_mins, 8, 63, mins, p + 2);
    recode_range(s, x, d, dmin, scales, mins, codes);
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
    unsigned char codes[SUPER], scales[16], mins[16];
    float sub_scales[16], sub_mins[16];
    for (int j = 0; j < 16; j++) {
        float w[16];
        for (int i = 0; i < 16; i++) w[i] = fabsf(x[16 * j + i]);
        sub_scales[j] = fit_range(&search_q2_k, x + 16 * j, w, &sub_mins[j], codes + 16 * j);
    }
    const float d = round_scales(sub_scales, 16, 15, scales, p + 80);
    const float dmin = round_scales(sub_mins, 16, 15, mins, p + 82);
    recode_range(&search_q2_k, x, d, dmin, scales, mins, codes);
    for (int j = 0; j < 16; j++) p[j] = (unsigned char)(scales[j] | mins[j] << 4);
    pack_pairs(codes, p + 16);
}

/* ---- Signed scale: x ~ scale * (code - half), code - half in [-half, half - 1] ---- */

/* Codes (with half added) for x * inverse, and the sums of w x l and w l l, w = x^2. */
static void signed_codes(const float *x, int half, float inverse, unsigned char *codes,
                         float *sum_lx, float *sum_ll) {
    *sum_lx = *sum_ll = 0;
    for (int i = 0; i < 16; i++) {
        const int code = clamp(nearest(inverse * x[i]), -half, half - 1);
        const float w = x[i] * x[i], l = (float)code;
        codes[i] = (unsigned char)(code + half);
        *sum_lx += w * x[i] * l;
        *sum_ll += w * l * l;
    }
}

/* 19 inverse scales around the one that gives the extreme element the code -half. */
static float fit_signed(const float *x, int half, unsigned char *codes) {
    const float extreme = quant_extreme(x, 16);
    if (fabsf(extreme) < QUANT_TINY) {
        memset(codes, 0, 16);
        return 0;
    }
    float sum_lx, sum_ll;
    signed_codes(x, half, (float)-half / extreme, codes, &sum_lx, &sum_ll);
    float scale = sum_ll != 0 ? sum_lx / sum_ll : 0.0f, best = scale * sum_lx;
    for (int t = -9; t <= 9; t++) {
        if (t == 0) continue;
        unsigned char tried[16];
        signed_codes(x, half, -((float)half + 0.1f * (float)t) / extreme, tried, &sum_lx, &sum_ll);
        if (!(sum_ll > 0) || !(sum_lx * sum_lx > best * sum_ll)) continue;
        memcpy(codes, tried, sizeof tried);
        scale = sum_lx / sum_ll;
        best = scale * sum_lx;
    }
    return scale;
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
    for (int b = 0; b < 16; b++) sub_scales[b] = fit_signed(x + 16 * b, 32, codes + 16 * b);
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
