/* Frames of a film, by the program ffmpeg: one run for each, at its time. family.md 2.11. */
#ifndef PICTURE_VIDEO_H
#define PICTURE_VIDEO_H

#include "picture/picture.h"

enum { VIDEO_FRAMES_MAX = 256 };

/* Where the frames of a film are taken. */
typedef struct video_plan {
    double seconds; /* of the film; 0: it does not say */
    double rate;    /* frames a second; 0: spread over the film */
    int count;      /* frames, at least 1 */
} video_plan;

/* rate frames a second, in (0, 1000]; where that would be more than count_max, so many spread
 * evenly. Asks ffprobe for the length. RNL_ERR_IO (missing), RNL_ERR_DATA, RNL_ERR_UNSUPPORTED
 * (ffmpeg is not installed), RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status video_find(const char *path, double rate, int count_max, video_plan *out,
                                   rnl_error *error);
/* Seconds of frame index. */
double video_time(const video_plan *plan, int index);
/* The frame. The same errors. */
RNL_MUST_USE rnl_status video_frame(const char *path, const video_plan *plan, int index,
                                    int64_t pixel_max, picture *out, rnl_error *error);

#endif
