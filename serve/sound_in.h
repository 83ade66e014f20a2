/* Sounds and pictures that stand in a request as base64, decoded. By content, never by a name; no
 * program is started and no file is opened for them. */
#ifndef SERVE_SOUND_IN_H
#define SERVE_SOUND_IN_H

#include <runnel/runnel.h>

#include "serve/api_error.h"

typedef struct clip {
    float *samples; /* [count] mono, from malloc */
    size_t count;
    int rate; /* Hz */
} clip;

/* param: what a refusal calls it. At most seconds_max and sample_max. INVALID_VALUE: no base64;
 * INVALID_AUDIO: no sound, damaged, cut off, too long. *out is empty then. */
bool clip_decode(const char *base64, size_t size, const char *param, double seconds_max,
                 size_t sample_max, clip *out, api_error *error);

typedef struct bitmap {
    uint8_t *pixels; /* [height, width, 3] R G B, from malloc */
    int width, height;
} bitmap;

/* Of a data URI ("data:image/png;base64,...") or bare base64: PNG, JPEG, WebP of at most
 * BITMAP_FILE_MAX bytes and pixel_max pixels. INVALID_VALUE: another address, which is not fetched,
 * no base64, no such picture, damaged, too large. */
enum {
    BITMAP_FILE_MAX = 16 << 20,
    BITMAP_PIXELS_MAX = 64 << 20 /* of all pictures of a request, or of a conversation */
};
bool bitmap_decode(const char *url, size_t size, const char *param, int64_t pixel_max, bitmap *out,
                   api_error *error);

#endif
