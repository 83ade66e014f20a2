/* The payload of Wyoming's audio-chunk as samples: bytes of any cut become mono float.
 *
 *   s8, s16, s32, little end first, [frames, channels] --> mean of the channels, [-1, 1)
 *
 * Bytes are signed whatever their width, as the package's own converter takes them. */
#ifndef SERVE_WYOMING_SOUND_H
#define SERVE_WYOMING_SOUND_H

#include <stdbool.h>
#include <stddef.h>

enum { WYOMING_CHANNELS_CAP = 8, WYOMING_READY_CAP = 1024 };

typedef struct wyoming_sound {
    int rate, width, channels; /* Hz, bytes of a sample, count; rate 0: no clip yet */
    unsigned char part[4 * WYOMING_CHANNELS_CAP]; /* a frame of which not all bytes are there */
    size_t part_size;
    float ready[WYOMING_READY_CAP]; /* samples [ready_at, ready_end) wait */
    size_t ready_at, ready_end;
} wyoming_sound;

void wyoming_sound_reset(wyoming_sound *s); /* a new clip of any format */
/* The format of what follows: rate within [4000, 192000], width 1, 2 or 4, channels within
 * [1, WYOMING_CHANNELS_CAP]. False: the clip has another rate; nothing is changed then. */
bool wyoming_sound_format(wyoming_sound *s, int rate, int width, int channels);
/* Makes samples of bytes while there is room for them; returns the bytes taken. */
size_t wyoming_sound_push(wyoming_sound *s, const char *bytes, size_t size);

#endif
