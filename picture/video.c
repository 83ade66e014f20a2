#include "picture/video.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/status.h"
#include "picture/format.h"

enum { TEXT_SIZE_MAX = 1 << 16 };

/* "file:PATH", so that a name is never an option or another protocol. Allocated; NULL: no
 * memory. */
static char *address_of(const char *path) {
    const size_t cap = strlen(path) + sizeof "file:";
    char *out = malloc(cap);
    if (out != NULL) (void)snprintf(out, cap, "file:%s", path);
    return out;
}

static rnl_status exhausted(const char *path, rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
}

/* What a run came to. */
static rnl_status check(const char *path, const child_result *made, rnl_error *error) {
    if (made->missing)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: only ffmpeg can read a film, and it is not installed: install "
                           "ffmpeg, or give pictures",
                           path);
    if (made->overran)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: ffmpeg takes too long for it, or a frame is over the limit of "
                           "pixels (--max-pixels)",
                           path);
    if (made->well) return RNL_OK;
    return status_fail(error, RNL_ERR_DATA, "%s: ffmpeg cannot decode it: %s", path,
                       made->reason[0] != '\0' ? made->reason : "it gives no reason");
}

rnl_status video_find(const char *path, double rate, int count_max, video_plan *out,
                      rnl_error *error) {
    *out = (video_plan){.count = 1};
    if (access(path, R_OK) != 0)
        return status_fail(error, RNL_ERR_IO, "%s: the file cannot be read: %s", path,
                           strerror(errno));
    char *address = address_of(path);
    if (address == NULL) return exhausted(path, error);
    const char *const arguments[] = {"ffprobe",
                                     "-v",
                                     "error",
                                     "-protocol_whitelist",
                                     "file",
                                     "-select_streams",
                                     "v:0",
                                     "-show_entries",
                                     "stream=codec_type:format=duration",
                                     "-of",
                                     "csv=p=0",
                                     "-i",
                                     address,
                                     NULL};
    const child_limits limits = {.size_max = TEXT_SIZE_MAX, .seconds_max = FFMPEG_SECONDS_MAX};
    child_result made;
    rnl_status status = child_run(arguments, -1, &limits, &made, error);
    free(address);
    if (status != RNL_OK) return status;
    status = check(path, &made, error);
    char text[256] = "";
    if (status == RNL_OK && made.size < sizeof text) memcpy(text, made.data, made.size);
    free(made.data);
    if (status != RNL_OK) return status;
    if (strncmp(text, "video", 5) != 0)
        return status_fail(error, RNL_ERR_DATA, "%s: there is no moving picture in it", path);
    const char *line = strchr(text, '\n');
    const double seconds = line != NULL ? strtod(line + 1, NULL) : 0;
    if (!isfinite(seconds) || seconds <= 0) return RNL_OK; /* a still, or not told */
    out->seconds = seconds;
    out->rate = rate;
    if (seconds * rate > count_max) {
        out->rate = 0;
        out->count = count_max;
        return RNL_OK;
    }
    out->count = (int)ceil(seconds * rate);
    if (out->count < 1) out->count = 1;
    return RNL_OK;
}

double video_time(const video_plan *plan, int index) {
    if (plan->rate > 0) return index / plan->rate;
    return (index + 0.5) * plan->seconds / plan->count;
}

static rnl_status run(const char *path, const char *address, double time, int64_t pixel_max,
                      child_result *made, rnl_error *error) {
    char at[32];
    (void)snprintf(at, sizeof at, "%.3f", time);
    const char *const input[] = {
        "-protocol_whitelist", "file,pipe", "-ss", at, "-i", address, "-map", "0:v:0", NULL};
    const rnl_status status = pixmap_make(input, -1, pixel_max, made, error);
    return status == RNL_OK ? check(path, made, error) : status;
}

rnl_status video_frame(const char *path, const video_plan *plan, int index, int64_t pixel_max,
                       picture *out, rnl_error *error) {
    const picture_source s = {.name = path, .pixel_max = pixel_max};
    child_result made = {0};
    int width, height;
    const unsigned char *pixels;
    *out = (picture){0};
    char *address = address_of(path);
    if (address == NULL) return exhausted(path, error);
    rnl_status status = run(path, address, video_time(plan, index), pixel_max, &made, error);
    free(address);
    if (status == RNL_OK && pixmap_read(made.data, made.size, &width, &height, &pixels) == 0)
        status = status_fail(error, RNL_ERR_DATA, "%s: there is no frame at %.2f s", path,
                             video_time(plan, index));
    if (status == RNL_OK) status = picture_make(&s, width, height, out, error);
    if (status == RNL_OK) memcpy(out->pixels, pixels, 3 * (size_t)width * (size_t)height);
    free(made.data);
    return status;
}
