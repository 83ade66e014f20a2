/* The seam of formats: who adds one writes a file with a function like these, a mark in content.c
 * and a line in picture.c. */
#ifndef PICTURE_FORMAT_H
#define PICTURE_FORMAT_H

#include "core/child.h"
#include "picture/content.h"
#include "picture/picture.h"

typedef struct picture_source {
    const char *name; /* for sentences */
    const unsigned char *data;
    size_t size;
    picture_content content;
    int64_t pixel_max;
} picture_source;

/* Checks a size that a file states, and takes memory for it. RNL_ERR_DATA, RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status picture_make(const picture_source *s, int64_t width, int64_t height,
                                     picture *out, rnl_error *error);
/* "NAME: the FORMAT is damaged: REASON". Returns RNL_ERR_DATA. */
rnl_status picture_damaged(const picture_source *s, const char *reason, rnl_error *error);

/* Each decodes into *out, which is empty before, and finds the EXIF orientation, 1 where there is
 * none. What failed has left *out to the caller to free. */
RNL_MUST_USE rnl_status png_decode(const picture_source *s, picture *out, int *orientation,
                                   rnl_error *error);
RNL_MUST_USE rnl_status jpeg_decode(const picture_source *s, picture *out, int *orientation,
                                    rnl_error *error);
RNL_MUST_USE rnl_status webp_decode(const picture_source *s, picture *out, int *orientation,
                                    rnl_error *error);
RNL_MUST_USE rnl_status ffmpeg_decode(const picture_source *s, picture *out, int *orientation,
                                      rnl_error *error);

/* Has ffmpeg make a pixmap of one picture; input: at most PIXMAP_INPUT_CAP arguments from the first
 * option of the input to those behind its name, NULL behind the last. See child_run. */
enum { PIXMAP_INPUT_CAP = 10, FFMPEG_SECONDS_MAX = 120 };
RNL_MUST_USE rnl_status pixmap_make(const char *const *input, int in, int64_t pixel_max,
                                    child_result *made, rnl_error *error);
/* A portable pixmap of ffmpeg's: "P6", width, height, 255, then bytes. The size it has in all; 0:
 * the bytes are none, or not whole. *pixels points into them. */
size_t pixmap_read(const unsigned char *data, size_t size, int *width, int *height,
                   const unsigned char **pixels);

#endif
