/* Block formats: the table of types and reading the formats with blocks of up to 32 elements.
 * Super-blocks of 256 are in quant_k.c, writers in quant_write.c and quant_write_k.c. Formulas:
 * backbone.md 6.1 to 6.3. */
#include "kernels/quant.h"

#include <assert.h>

#include "kernels/quant_inner.h"

const int8_t quant_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};
/* Twice the values of E2M1, as backbone.md 6.2 lists them; the scale is halved in turn. */
static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static const quant_info types[QUANT_TYPE_CAP] = {
    [QUANT_F32] = {"F32", 1, 4, true},         [QUANT_F16] = {"F16", 1, 2, true},
    [QUANT_Q4_0] = {"Q4_0", 32, 18, true},     [QUANT_Q4_1] = {"Q4_1", 32, 20, true},
    [QUANT_Q5_0] = {"Q5_0", 32, 22, true},     [QUANT_Q5_1] = {"Q5_1", 32, 24, true},
    [QUANT_Q8_0] = {"Q8_0", 32, 34, true},     [QUANT_Q2_K] = {"Q2_K", 256, 84, true},
    [QUANT_Q3_K] = {"Q3_K", 256, 110, true},   [QUANT_Q4_K] = {"Q4_K", 256, 144, true},
    [QUANT_Q5_K] = {"Q5_K", 256, 176, true},   [QUANT_Q6_K] = {"Q6_K", 256, 210, true},
    [QUANT_IQ4_NL] = {"IQ4_NL", 32, 18, true}, [QUANT_IQ4_XS] = {"IQ4_XS", 256, 136, true},
    [QUANT_I8] = {"I8", 1, 1, false},          [QUANT_I16] = {"I16", 1, 2, false},
    [QUANT_I32] = {"I32", 1, 4, false},        [QUANT_I64] = {"I64", 1, 8, false},
    [QUANT_F64] = {"F64", 1, 8, false},        [QUANT_BF16] = {"BF16", 1, 2, true},
    [QUANT_MXFP4] = {"MXFP4", 32, 17, true},
};
static const quant_info unknown_type = {"?", 1, 0, false};

const quant_info *quant_describe(uint32_t type) {
    if (type >= QUANT_TYPE_CAP || types[type].block_size == 0) return &unknown_type;
    return &types[type];
}

/* ASCII only, so that no locale decides what a type is called. */
static char upper(char c) {
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool same_name(const char *a, const char *b) {
    while (*a != '\0' && upper(*a) == upper(*b)) a++, b++;
    return *a == '\0' && *b == '\0';
}

bool quant_parse(const char *name, quant_type *out) {
    for (uint32_t t = 0; t < QUANT_TYPE_CAP; t++) {
        if (types[t].block_size == 0 || !same_name(types[t].name, name)) continue;
        *out = (quant_type)t;
        return true;
    }
    return false;
}

static uint32_t bits_of(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

float quant_f16_to_f32(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff;
    if (rest < 0x0400) { /* zero and subnormals: multiples of 2^-24 */
        return float_of(bits_of((float)rest * 0x1p-24f) | sign);
    }
    if (rest > 0x7c00) { /* a signalling NaN becomes quiet, as F16C makes it */
        return float_of(sign | 0x7fc00000 | rest << 13);
    }
    if (rest == 0x7c00) return float_of(sign | 0x7f800000);
    return float_of(sign | (rest + ((127 - 15) << 10)) << 13);
}

uint16_t quant_f32_to_f16(float value) {
    const uint32_t u = bits_of(value), sign = u >> 16 & 0x8000, rest = u & 0x7fffffff;
    if (rest > 0x7f800000) return (uint16_t)(sign | 0x7e00);  /* NaN, backbone.md 6.3 */
    if (rest >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* from 65520 on: infinity */
    if (rest < 0x38800000) {
        /* Below 2^-14 the result counts steps of 2^-24, the last bit of a float at 0.5: adding 0.5
         * lets the addition round, to nearest even. */
        return (uint16_t)(sign | (bits_of(float_of(rest) + 0.5f) - bits_of(0.5f)));
    }
    const uint32_t rounded = rest + 0x0fff + (rest >> 13 & 1);
    return (uint16_t)(sign | (rounded - ((127u - 15u) << 23)) >> 13);
}

float quant_bf16_to_f32(uint16_t bf16) {
    return float_of((uint32_t)bf16 << 16);
}

uint16_t quant_f32_to_bf16(float value) {
    const uint32_t u = bits_of(value);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 64);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static void row_f16(const unsigned char *p, float *out, int64_t count) {
    for (int64_t i = 0; i < count; i++) out[i] = quant_load_f16(p + 2 * i);
}

static void row_bf16(const unsigned char *p, float *out, int64_t count) {
    for (int64_t i = 0; i < count; i++) out[i] = quant_bf16_to_f32(quant_load_u16(p + 2 * i));
}

static void block_q4_0(const unsigned char *p, float *out) {
    const float d = quant_load_f16(p);
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)((p[2 + j] & 15) - 8);
        out[j + 16] = d * (float)((p[2 + j] >> 4) - 8);
    }
}

static void block_q4_1(const unsigned char *p, float *out) {
    const float d = quant_load_f16(p), m = quant_load_f16(p + 2);
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)(p[4 + j] & 15) + m;
        out[j + 16] = d * (float)(p[4 + j] >> 4) + m;
    }
}

static void block_q5_0(const unsigned char *p, float *out) {
    const float d = quant_load_f16(p);
    const uint32_t high = quant_load_u32(p + 2);
    for (int j = 0; j < 16; j++) {
        const int a = (p[6 + j] & 15) | (int)(high >> j & 1) << 4;
        const int b = (p[6 + j] >> 4) | (int)(high >> (j + 16) & 1) << 4;
        out[j] = d * (float)(a - 16);
        out[j + 16] = d * (float)(b - 16);
    }
}

static void block_q5_1(const unsigned char *p, float *out) {
    const float d = quant_load_f16(p), m = quant_load_f16(p + 2);
    const uint32_t high = quant_load_u32(p + 4);
    for (int j = 0; j < 16; j++) {
        const int a = (p[8 + j] & 15) | (int)(high >> j & 1) << 4;
        const int b = (p[8 + j] >> 4) | (int)(high >> (j + 16) & 1) << 4;
        out[j] = d * (float)a + m;
        out[j + 16] = d * (float)b + m;
    }
}

static void block_q8_0(const unsigned char *p, float *out) {
    const float d = quant_load_f16(p);
    for (int j = 0; j < 32; j++) out[j] = d * (float)(int8_t)p[2 + j];
}

static void block_iq4_nl(const unsigned char *p, float *out) {
    const float d = quant_load_f16(p);
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)quant_iq4_values[p[2 + j] & 15];
        out[j + 16] = d * (float)quant_iq4_values[p[2 + j] >> 4];
    }
}

static void block_mxfp4(const unsigned char *p, float *out) {
    /* 2^(e - 128): exponents 0 and 1 are below the smallest normal float. */
    const float d = float_of(p[0] < 2 ? 0x00200000u << p[0] : (uint32_t)(p[0] - 1) << 23);
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)mxfp4_values[p[1 + j] & 15];
        out[j + 16] = d * (float)mxfp4_values[p[1 + j] >> 4];
    }
}

void quant_dequantise(quant_type type, const void *row, float *out, int64_t count) {
    const quant_info *info = quant_describe((uint32_t)type);
    assert(info->is_weight && count >= 0 && count % info->block_len == 0);
    const unsigned char *p = row;
    if (type == QUANT_F32) {
        memcpy(out, p, (size_t)count * sizeof *out);
        return;
    }
    if (type == QUANT_F16) {
        row_f16(p, out, count);
        return;
    }
    if (type == QUANT_BF16) {
        row_bf16(p, out, count);
        return;
    }
    const float *end = out + count;
    for (; out != end; out += info->block_len, p += info->block_size) {
        switch (type) {
        case QUANT_Q4_0:
            block_q4_0(p, out);
            break;
        case QUANT_Q4_1:
            block_q4_1(p, out);
            break;
        case QUANT_Q5_0:
            block_q5_0(p, out);
            break;
        case QUANT_Q5_1:
            block_q5_1(p, out);
            break;
        case QUANT_Q8_0:
            block_q8_0(p, out);
            break;
        case QUANT_IQ4_NL:
            block_iq4_nl(p, out);
            break;
        case QUANT_MXFP4:
            block_mxfp4(p, out);
            break;
        default:
            quant_super_block(type, p, out);
            break;
        }
    }
}
