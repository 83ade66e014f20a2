#include "serve/wyoming_sound.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

void wyoming_sound_reset(wyoming_sound *s) {
    s->rate = s->width = s->channels = 0;
    s->part_size = s->ready_at = s->ready_end = 0;
}

bool wyoming_sound_format(wyoming_sound *s, int rate, int width, int channels) {
    if (s->rate != 0 && s->rate != rate) return false;
    if (s->width != width || s->channels != channels) s->part_size = 0;
    s->rate = rate;
    s->width = width;
    s->channels = channels;
    return true;
}

static float sample_of(const unsigned char *bytes, int width) {
    if (width == 1) return (float)(int8_t)bytes[0] / 128.0f;
    if (width == 2) return (float)(int16_t)(bytes[0] | bytes[1] << 8) / 32768.0f;
    const uint32_t value =
        bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    /* The mean of float32 samples near 1 stays below 1 with the lowest byte left out. */
    return (float)((int32_t)(value & ~(uint32_t)0xff)) / 2147483648.0f;
}

static float mean_of(const wyoming_sound *s) {
    float sum = 0;
    for (int c = 0; c < s->channels; c++) sum += sample_of(s->part + c * s->width, s->width);
    return sum / (float)s->channels;
}

size_t wyoming_sound_push(wyoming_sound *s, const char *bytes, size_t size) {
    assert(s->rate != 0);
    const size_t frame_size = (size_t)s->width * (size_t)s->channels;
    size_t taken = 0;
    if (s->ready_at == s->ready_end) s->ready_at = s->ready_end = 0;
    while (taken < size && s->ready_end < WYOMING_READY_CAP) {
        const size_t wanted = frame_size - s->part_size;
        const size_t moved = size - taken < wanted ? size - taken : wanted;
        memcpy(s->part + s->part_size, bytes + taken, moved);
        s->part_size += moved;
        taken += moved;
        if (s->part_size < frame_size) break;
        s->ready[s->ready_end++] = mean_of(s);
        s->part_size = 0;
    }
    return taken;
}
