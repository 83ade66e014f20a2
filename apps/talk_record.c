/* What was heard and what was said, side by side. The file is written beside its target and renamed
 * when it is complete. */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/messages.h"
#include "apps/replace.h"
#include "apps/talk.h"

struct talk_record {
    replacement file;
    const char *path; /* the caller's */
    uint32_t rate;
    uint64_t count; /* frames */
};

static int failed(const talk_record *r) {
    return complain(EXIT_FAILED, "%s: cannot be written: %s", r->path,
                    errno != 0 ? strerror(errno) : "the disk is full");
}

static void put16(unsigned char *to, uint32_t x) {
    to[0] = (unsigned char)x;
    to[1] = (unsigned char)(x >> 8);
}

static void put32(unsigned char *to, uint32_t x) {
    put16(to, x & 0xffff);
    put16(to + 2, x >> 16);
}

/* The canonical header; sizes beyond 4 GiB stand at their largest value. */
static bool write_header(talk_record *r) {
    const uint64_t bytes = 4 * r->count;
    const uint32_t size = bytes > UINT32_MAX - 36 ? UINT32_MAX - 36 : (uint32_t)bytes;
    unsigned char h[44];
    memcpy(h, "RIFF....WAVEfmt ", 16);
    put32(h + 4, 36 + size);
    put32(h + 16, 16);
    put16(h + 20, 1);
    put16(h + 22, 2);
    put32(h + 24, r->rate);
    put32(h + 28, 4 * r->rate);
    put16(h + 32, 4);
    put16(h + 34, 16);
    memcpy(h + 36, "data", 4);
    put32(h + 40, size);
    return fwrite(h, 1, sizeof h, r->file.file) == sizeof h;
}

talk_record *record_open(const char *path, int rate, int *code) {
    *code = check_target(path);
    if (*code != EXIT_OK) return NULL;
    talk_record *r = calloc(1, sizeof *r);
    if (r == NULL) {
        *code = complain(EXIT_FAILED, "%s: memory is exhausted", path);
        return NULL;
    }
    *r = (talk_record){.path = path, .rate = (uint32_t)rate};
    errno = 0;
    rnl_error error = {0};
    if (!replacement_open(&r->file, path, &error))
        *code = complain(EXIT_FAILED, "%s", error.text);
    else if (!write_header(r))
        *code = failed(r);
    else
        return r;
    (void)record_close(&r, true);
    return NULL;
}

static uint32_t rounded(float x) {
    const float clipped = x > 1.0f ? 1.0f : x < -1.0f ? -1.0f : x;
    return (uint32_t)(int32_t)lrintf(clipped * 32767.0f);
}

int record_write(talk_record *r, const float *left, const float *right, size_t count) {
    unsigned char frame[4];
    errno = 0;
    for (size_t i = 0; i < count; i++) {
        put16(frame, rounded(left[i]) & 0xffff);
        put16(frame + 2, rounded(right[i]) & 0xffff);
        if (fwrite(frame, 1, sizeof frame, r->file.file) != sizeof frame) return failed(r);
    }
    r->count += count;
    return EXIT_OK;
}

int record_close(talk_record **record, bool abort) {
    talk_record *r = *record;
    if (r == NULL) return EXIT_OK;
    *record = NULL;
    int code = EXIT_OK;
    errno = 0;
    FILE *f = r->file.file;
    rnl_error error = {0};
    if (!abort && (fflush(f) != 0 || fseek(f, 0, SEEK_SET) != 0 || !write_header(r)))
        code = failed(r);
    else if (!abort && !replacement_commit(&r->file, &error))
        code = complain(EXIT_FAILED, "%s", error.text);
    replacement_drop(&r->file);
    free(r);
    return code;
}
