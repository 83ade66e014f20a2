#include "picture/picture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/status.h"
#include "picture/exif.h"
#include "picture/format.h"

rnl_status picture_make(const picture_source *s, int64_t width, int64_t height, picture *out,
                        rnl_error *error) {
    if (width < 1 || height < 1 || width > PICTURE_SIDE_MAX || height > PICTURE_SIDE_MAX)
        return status_fail(
            error, RNL_ERR_DATA,
            "%s: a picture of %lld x %lld pixels is outside 1 to %d a side; scale it", s->name,
            (long long)width, (long long)height, PICTURE_SIDE_MAX);
    if (width * height > s->pixel_max)
        return status_fail(error, RNL_ERR_DATA,
                           "%s: a picture of %lld x %lld pixels is over the limit of %lld; scale "
                           "it, or raise the limit (--max-pixels)",
                           s->name, (long long)width, (long long)height, (long long)s->pixel_max);
    out->pixels = malloc(3 * (size_t)width * (size_t)height);
    if (out->pixels == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory for a picture is exhausted", s->name);
    out->width = (int)width;
    out->height = (int)height;
    return RNL_OK;
}

rnl_status picture_damaged(const picture_source *s, const char *reason, rnl_error *error) {
    return status_fail(error, RNL_ERR_DATA, "%s: the %s is damaged: %s", s->name,
                       picture_content_name(s->content), reason);
}

static rnl_status decode(const picture_source *s, picture *out, int *orientation,
                         rnl_error *error) {
    switch (s->content) {
    case PICTURE_PNG:
        return png_decode(s, out, orientation, error);
    case PICTURE_JPEG:
        return jpeg_decode(s, out, orientation, error);
    case PICTURE_WEBP:
        return webp_decode(s, out, orientation, error);
    case PICTURE_NONE:
        return status_fail(error, RNL_ERR_DATA,
                           "%s: this is no picture that is known (PNG, JPEG, WebP; GIF, BMP, TIFF, "
                           "HEIC, AVIF with ffmpeg)",
                           s->name);
    default:
        return ffmpeg_decode(s, out, orientation, error);
    }
}

rnl_status picture_decode(const char *name, const unsigned char *data, size_t size,
                          int64_t pixel_max, picture *out, rnl_error *error) {
    const picture_source s = {.name = name,
                              .data = data,
                              .size = size,
                              .content = picture_content_of(data, size),
                              .pixel_max = pixel_max};
    int orientation = 1;
    *out = (picture){0};
    rnl_status status = size > 0 ? decode(&s, out, &orientation, error)
                                 : status_fail(error, RNL_ERR_DATA, "%s: the file is empty", name);
    if (status == RNL_OK) status = exif_turn(out, orientation, name, error);
    if (status != RNL_OK) picture_free(out);
    return status;
}

void picture_free(picture *p) {
    free(p->pixels);
    *p = (picture){0};
}

/* ---- Files ---- */

static rnl_status io_fault(const char *name, int fault, rnl_error *error) {
    return status_fail(error, RNL_ERR_IO, "%s: the file cannot be read: %s", name, strerror(fault));
}

/* All bytes until the end. *data is owned by the caller in any case. */
static rnl_status read_all(int fd, const char *name, unsigned char **data, size_t *size,
                           rnl_error *error) {
    size_t cap = 0;
    for (*size = 0;;) {
        if (*size == cap) {
            cap = cap == 0 ? 1 << 16 : 2 * cap;
            unsigned char *grown = realloc(*data, cap);
            if (grown == NULL)
                return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
            *data = grown;
        }
        const ssize_t got = read(fd, *data + *size, cap - *size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return io_fault(name, errno, error);
        if (got == 0) return RNL_OK;
        *size += (size_t)got;
        if (*size > PICTURE_FILE_SIZE_MAX)
            return status_fail(error, RNL_ERR_DATA,
                               "%s: the file is over %d MiB, too large for a "
                               "picture",
                               name, PICTURE_FILE_SIZE_MAX >> 20);
    }
}

rnl_status picture_read(const char *path, int64_t pixel_max, picture *out, rnl_error *error) {
    const bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    *out = (picture){0};
    const int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return io_fault(name, errno, error);
    struct stat info;
    unsigned char *data = NULL;
    size_t size = 0;
    rnl_status status = RNL_OK;
    if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) status = io_fault(name, EISDIR, error);
    if (status == RNL_OK) status = read_all(fd, name, &data, &size, error);
    if (!standard) (void)close(fd);
    if (status == RNL_OK) status = picture_decode(name, data, size, pixel_max, out, error);
    free(data);
    return status;
}

bool picture_is(const char *path) {
    unsigned char head[PICTURE_HEAD_SIZE];
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode)) return false;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const ssize_t got = read(fd, head, sizeof head);
    (void)close(fd);
    return got > 0 && picture_content_of(head, (size_t)got) != PICTURE_NONE;
}
