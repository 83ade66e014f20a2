/* Sound between the codings of the wire and samples. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "serve/base64.h"
#include "serve/g711.h"
#include "serve/realtime_inner.h"

static g711_law law_of(realtime_format format) {
    return format.coding == REALTIME_ULAW ? G711_MU : G711_A;
}

static int16_t sample_of(unsigned char low, unsigned char high) {
    return (int16_t)(uint16_t)(low | high << 8);
}

/* s16le; the half sample of an odd count waits, or is passed over where nobody keeps it. */
static size_t decode_pcm(const realtime_decoding *d, const unsigned char *bytes, size_t size,
                         int16_t *out) {
    size_t count = 0, at = 0;
    if (d->odd != NULL && *d->has_odd && size > 0) {
        out[count++] = sample_of(*d->odd, bytes[0]);
        *d->has_odd = false;
        at = 1;
    }
    for (; at + 2 <= size; at += 2) out[count++] = sample_of(bytes[at], bytes[at + 1]);
    if (at < size && d->odd != NULL) {
        *d->odd = bytes[at];
        *d->has_odd = true;
    }
    return count;
}

bool realtime_sound_decode(const realtime_decoding *d, const char *text, size_t size,
                           int16_t **samples, size_t *count) {
    size_t made = 0;
    unsigned char *bytes = malloc(base64_size_max(size));
    *samples = malloc((base64_size_max(size) + 1) * sizeof **samples);
    *count = 0;
    if (bytes == NULL || *samples == NULL || !base64_decode(text, size, bytes, &made)) {
        free(bytes);
        free(*samples);
        *samples = NULL;
        return false;
    }
    if (d->format.coding == REALTIME_PCM) {
        *count = decode_pcm(d, bytes, made, *samples);
    } else {
        for (size_t i = 0; i < made; i++) (*samples)[i] = g711_decode(law_of(d->format), bytes[i]);
        *count = made;
    }
    free(bytes);
    return true;
}

size_t realtime_sound_encode(realtime_format format, const int16_t *samples, size_t count,
                             unsigned char *out) {
    if (format.coding != REALTIME_PCM) {
        for (size_t i = 0; i < count; i++) out[i] = g711_encode(law_of(format), samples[i]);
        return count;
    }
    for (size_t i = 0; i < count; i++) {
        const uint16_t value = (uint16_t)samples[i];
        out[2 * i] = (unsigned char)(value & 0xff);
        out[2 * i + 1] = (unsigned char)(value >> 8);
    }
    return 2 * count;
}

void realtime_sound_round(const float *samples, size_t count, int16_t *out) {
    for (size_t i = 0; i < count; i++) {
        const float value = rintf(samples[i] * 32768.0f);
        out[i] = (int16_t)(value > 32767.0f ? 32767.0f : value < -32768.0f ? -32768.0f : value);
    }
}

static void to_floats(const int16_t *samples, size_t count, float *out) {
    for (size_t i = 0; i < count; i++) out[i] = (float)samples[i] / 32768.0f;
}

/* All of it in pieces through a resampler, which is asked for the rest at the end. */
static size_t convert(resampler *r, const int16_t *samples, size_t count, float *out, size_t cap) {
    enum { PIECE = 1024 };
    float in[PIECE];
    size_t made = 0, at = 0, got, taken;
    while (at < count) {
        const size_t piece = count - at < PIECE ? count - at : PIECE;
        to_floats(samples + at, piece, in);
        resampler_push(r, in, piece, &taken, out + made, cap - made, &got);
        assert(taken > 0 || got > 0);
        at += taken;
        made += got;
    }
    do {
        resampler_finish(r, out + made, cap - made, &got);
        made += got;
    } while (got > 0);
    return made;
}

float *realtime_sound_at_16k(const int16_t *samples, size_t count, int rate, size_t *made) {
    const size_t cap = count * RNL_RATE_IN / (size_t)rate + 2;
    float *out = malloc(cap * sizeof *out);
    resampler *r = NULL;
    *made = 0;
    if (out == NULL) return NULL;
    if (rate == RNL_RATE_IN) {
        to_floats(samples, count, out);
        *made = count;
        return out;
    }
    if (resampler_create(&r) != RNL_OK) {
        free(out);
        return NULL;
    }
    resampler_begin(r, rate, RNL_RATE_IN);
    *made = convert(r, samples, count, out, cap);
    resampler_destroy(&r);
    return out;
}
