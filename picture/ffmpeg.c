/* Formats that no library here knows, by the program ffmpeg: bytes -> a temporary file without a
 * name -> ffmpeg -> a pixmap in a pipe. ffmpeg is told which format it is, so that a stranger's
 * bytes choose none of its others, and reads files only. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "picture/exif.h"
#include "picture/format.h"

enum { HEADER_CAP = 64 };

/* A decimal number behind white space; 0: there is none, or too large a one. */
static int pixmap_number(const unsigned char *data, size_t size, size_t *at) {
    int value = 0;
    while (*at < size && (data[*at] == ' ' || data[*at] == '\n')) ++*at;
    for (; *at < size && data[*at] >= '0' && data[*at] <= '9'; ++*at) {
        value = 10 * value + (data[*at] - '0');
        if (value > PICTURE_SIDE_MAX) return 0;
    }
    return value;
}

size_t pixmap_read(const unsigned char *data, size_t size, int *width, int *height,
                   const unsigned char **pixels) {
    size_t at = 2;
    if (size < 2 || memcmp(data, "P6", 2) != 0) return 0;
    *width = pixmap_number(data, size, &at);
    *height = pixmap_number(data, size, &at);
    if (*width == 0 || *height == 0 || pixmap_number(data, size, &at) != 255) return 0;
    const size_t bytes = 3 * (size_t)*width * (size_t)*height;
    if (++at > size || size - at < bytes) return 0;
    *pixels = data + at;
    return at + bytes;
}

/* The bytes as a file that ffmpeg can seek in; NULL with errno. */
static FILE *keep(const picture_source *s) {
    FILE *f = tmpfile();
    if (f == NULL) return NULL;
    (void)fcntl(fileno(f), F_SETFD, FD_CLOEXEC);
    if (fwrite(s->data, 1, s->size, f) == s->size && fflush(f) == 0 && fseek(f, 0, SEEK_SET) == 0)
        return f;
    const int fault = errno;
    (void)fclose(f);
    errno = fault;
    return NULL;
}

static const char *demuxer_of(picture_content content) {
    switch (content) {
    case PICTURE_GIF:
        return "gif";
    case PICTURE_BMP:
        return "bmp_pipe";
    case PICTURE_TIFF:
        return "tiff_pipe";
    default:
        return "mov";
    }
}

rnl_status pixmap_make(const char *const *input, int in, int64_t pixel_max, child_result *made,
                       rnl_error *error) {
    char most[32];
    (void)snprintf(most, sizeof most, "%lld", (long long)pixel_max);
    const char *const before[] = {"ffmpeg", "-nostdin", "-nostats",    "-hide_banner",
                                  "-v",     "error",    "-max_pixels", most};
    const char *const behind[] = {"-frames:v", "1",  "-pix_fmt",   "rgb24",  "-c:v",
                                  "ppm",       "-f", "image2pipe", "pipe:1", NULL};
    enum { BEFORE = sizeof before / sizeof *before, BEHIND = sizeof behind / sizeof *behind };
    const char *arguments[BEFORE + PIXMAP_INPUT_CAP + BEHIND];
    int count = 0;
    memcpy(arguments, before, sizeof before);
    while (input[count] != NULL) {
        assert(count < PIXMAP_INPUT_CAP);
        arguments[BEFORE + count] = input[count];
        count++;
    }
    memcpy(arguments + BEFORE + count, behind, sizeof behind);
    const child_limits limits = {.size_max = 3 * (size_t)pixel_max + HEADER_CAP,
                                 .seconds_max = FFMPEG_SECONDS_MAX};
    return child_run(arguments, in, &limits, made, error);
}

static rnl_status run(const picture_source *s, int in, child_result *made, rnl_error *error) {
    const char *const input[] = {
        "-xerror", "-protocol_whitelist", "file", "-f", demuxer_of(s->content),
        "-i",      "file:/dev/stdin",     NULL};
    return pixmap_make(input, in, s->pixel_max, made, error);
}

static rnl_status missing(const picture_source *s, rnl_error *error) {
    return status_fail(error, RNL_ERR_UNSUPPORTED,
                       "%s: only ffmpeg can read this %s, and it is not installed: install ffmpeg, "
                       "or convert the picture to PNG, JPEG or WebP",
                       s->name, picture_content_name(s->content));
}

static int64_t number(const unsigned char *p) {
    return (int64_t)p[0] << 24 | (int64_t)p[1] << 16 | (int64_t)p[2] << 8 | p[3];
}

/* Pixels of the largest picture that a HEIC or AVIF file tells of ("ispe": version, width, height).
 * Cameras store tiles, and older ffmpegs decode one of them as if it were all. */
static int64_t told_pixels(const picture_source *s) {
    int64_t most = 0;
    for (size_t i = 0; i + 16 <= s->size; i++) {
        if (memcmp(s->data + i, "ispe", 4) != 0) continue;
        const int64_t width = number(s->data + i + 8), height = number(s->data + i + 12);
        if (width <= PICTURE_SIDE_MAX && height <= PICTURE_SIDE_MAX && width * height > most)
            most = width * height;
    }
    return most;
}

static rnl_status take(const picture_source *s, const child_result *made, picture *out,
                       rnl_error *error) {
    int width, height;
    const unsigned char *pixels;
    if (made->overran)
        return picture_damaged(s, "it is larger than it says, or takes too long", error);
    if (!made->well || pixmap_read(made->data, made->size, &width, &height, &pixels) == 0)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: ffmpeg cannot decode this %s: %s; convert it to PNG or JPEG",
                           s->name, picture_content_name(s->content),
                           made->reason[0] != '\0' ? made->reason : "it gives no reason");
    const bool tiled = s->content == PICTURE_HEIC || s->content == PICTURE_AVIF;
    if (tiled && told_pixels(s) > (int64_t)width * height)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: this ffmpeg decodes only a tile of this %s; convert it to PNG or "
                           "JPEG (heif-convert does)",
                           s->name, picture_content_name(s->content));
    const rnl_status status = picture_make(s, width, height, out, error);
    if (status == RNL_OK) memcpy(out->pixels, pixels, 3 * (size_t)width * (size_t)height);
    return status;
}

rnl_status ffmpeg_decode(const picture_source *s, picture *out, int *orientation,
                         rnl_error *error) {
    FILE *file = keep(s);
    if (file == NULL)
        return status_fail(error, RNL_ERR_IO, "%s: no temporary file can be made: %s", s->name,
                           strerror(errno));
    child_result made;
    rnl_status status = run(s, fileno(file), &made, error);
    (void)fclose(file);
    if (status != RNL_OK) return status;
    status = made.missing ? missing(s, error) : take(s, &made, out, error);
    free(made.data);
    if (s->content == PICTURE_TIFF) *orientation = exif_orientation(s->data, s->size);
    return status;
}
