/* Bytes as the base64 of sound in each coding of a realtime session, whole and in two appends: what
 * is taken is the same samples, and what was taken can be written and read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/base64.h"
#include "serve/json_out.h"
#include "serve/realtime_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good) {
    if (!good) abort();
}

/* The bytes of a text, if it is base64, are those of the text that is made of them. */
static void write_again(const char *text, size_t size) {
    unsigned char *bytes = malloc(base64_size_max(size));
    size_t made, again = 0;
    json_out o;
    must(bytes != NULL);
    if (base64_decode(text, size, bytes, &made)) {
        must(made <= base64_size_max(size));
        json_out_begin_growing(&o, 2 * size + 64);
        json_out_base64(&o, NULL, bytes, made);
        must(json_out_whole(&o) && o.size == json_out_base64_size(made) + 2);
        unsigned char *other = malloc(base64_size_max(o.size));
        must(other != NULL && base64_decode(o.text + 1, o.size - 2, other, &again));
        must(again == made && memcmp(other, bytes, made) == 0);
        free(other);
        json_out_free(&o);
    }
    free(bytes);
}

/* Samples of the texts, each in an append of its own. false: one is no base64. */
static bool append(realtime_format format, const char *const *texts, const size_t *sizes, int count,
                   int16_t *out, size_t *made) {
    unsigned char odd = 0;
    bool has_odd = false;
    const realtime_decoding d = {format, &odd, &has_odd};
    *made = 0;
    for (int i = 0; i < count; i++) {
        int16_t *samples;
        size_t some;
        if (!realtime_sound_decode(&d, texts[i], sizes[i], &samples, &some)) return false;
        if (some > 0) memcpy(out + *made, samples, some * sizeof *samples);
        *made += some;
        free(samples);
    }
    return true;
}

/* A code is that of its sample; PCM comes back as it is. */
static void encode_again(realtime_format format, const int16_t *samples, size_t count) {
    unsigned char *bytes = malloc(2 * count + 1), *other = malloc(2 * count + 1);
    int16_t *kept = malloc((count + 1) * sizeof *kept);
    must(bytes != NULL && other != NULL && kept != NULL);
    if (count > 0) memcpy(kept, samples, count * sizeof *kept);
    const size_t size = realtime_sound_encode(format, kept, count, bytes);
    must(size == (format.coding == REALTIME_PCM ? 2 * count : count));
    must(realtime_sound_encode(format, kept, count, other) == size);
    must(size == 0 || memcmp(bytes, other, size) == 0);
    free(bytes);
    free(other);
    free(kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const realtime_format formats[] = {
        {REALTIME_PCM, 24000}, {REALTIME_ULAW, 8000}, {REALTIME_ALAW, 8000}};
    if (size == 0) return 0;
    const realtime_format format = formats[data[0] % 3];
    const char *text = (const char *)data + 1;
    const size_t whole = size - 1, cut = whole / 8 * 4; /* a piece of base64 is 4 letters */
    const char *const one[] = {text}, *const two[] = {text, text + cut};
    const size_t one_size[] = {whole}, two_sizes[] = {cut, whole - cut};
    size_t made, made_in_two;
    int16_t *samples = malloc((base64_size_max(whole) + 4) * sizeof *samples),
            *in_two = malloc((base64_size_max(whole) + 4) * sizeof *in_two);
    must(samples != NULL && in_two != NULL);
    write_again(text, whole);
    if (append(format, one, one_size, 1, samples, &made)) {
        must(append(format, two, two_sizes, 2, in_two, &made_in_two) && made == made_in_two);
        must(made == 0 || memcmp(samples, in_two, made * sizeof *samples) == 0);
        encode_again(format, samples, made);
        free(realtime_sound_at_16k(samples, made, format.rate, &made_in_two));
    }
    free(samples);
    free(in_two);
    return 0;
}
