/* Pictures of strangers, from a file or standard input to RGB bytes:
 *
 *     file, pipe -> bytes -> content.c: what they are -> png.c, jpeg.c, webp.c, ffmpeg.c
 *        -> turned as EXIF says (exif.c) -> RGB [height, width, 3]
 *
 * What the bytes are is told by themselves, never by a name. Transparency is dropped, not blended;
 * of 16 bits the high byte counts; colour profiles do not; of several frames the first is taken
 * (family.md 2.2). Sizes are checked against the limits before anything is decoded. */
#ifndef PICTURE_PICTURE_H
#define PICTURE_PICTURE_H

#include <runnel/runnel.h>

enum {
    PICTURE_SIDE_MAX = 65535,
    PICTURE_PIXELS_DEFAULT = 50000000,
    PICTURE_PIXELS_MAX = 178956970, /* of a limit: where Pillow gives up as well */
    PICTURE_FILE_SIZE_MAX = 256 << 20
};

typedef struct picture {
    uint8_t *pixels; /* [height, width, 3], owned */
    int width, height;
} picture;

/* Reads a file, or standard input for "-". pixel_max in [1, PICTURE_PIXELS_MAX]. One sentence for
 * every fault: RNL_ERR_IO (missing, unreadable), RNL_ERR_DATA (damaged, cut off, no picture, over a
 * limit), RNL_ERR_UNSUPPORTED (a format of ffmpeg's, which is not installed), RNL_ERR_MEMORY; *out
 * is empty then. */
RNL_MUST_USE rnl_status picture_read(const char *path, int64_t pixel_max, picture *out,
                                     rnl_error *error);
/* The same of bytes in memory; name stands in sentences. */
RNL_MUST_USE rnl_status picture_decode(const char *name, const unsigned char *data, size_t size,
                                       int64_t pixel_max, picture *out, rnl_error *error);
void picture_free(picture *p); /* an empty one is fine */

/* Whether a regular file begins as a picture does. False also for what cannot be read. */
bool picture_is(const char *path);

#endif
