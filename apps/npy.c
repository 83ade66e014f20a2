#include "apps/npy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/replace.h"
#include "core/status.h"

enum { HEADER_CAP = 4096, ID_CAP = 1 << 24 /* of a file: far more than any context */ };

static bool write_array(FILE *f, const void *context) {
    const npy_array *a = context;
    const size_t cells = a->rows * (a->cols > 0 ? a->cols : 1), cell_size = 4;
    char header[128], shape[64];
    if (a->cols > 0)
        (void)snprintf(shape, sizeof shape, "(%zu, %zu)", a->rows, a->cols);
    else
        (void)snprintf(shape, sizeof shape, "(%zu,)", a->rows);
    const int length = snprintf(header + 10, sizeof header - 10,
                                "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                                a->is_int ? "<i4" : "<f4", shape);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 118 bytes follow: 128 in all */
    memset(header + 10 + length, ' ', sizeof header - 10 - (size_t)length);
    header[sizeof header - 1] = '\n';
    return fwrite(header, 1, sizeof header, f) == sizeof header &&
           fwrite(a->cells, cell_size, cells, f) == cells;
}

bool npy_write(const char *path, const npy_array *a, rnl_error *error) {
    return replace_file(path, write_array, a, error);
}

/* ---- Reading ---- */

/* What is read, and how many dimensions are wanted. */
typedef struct reading {
    FILE *f;
    const char *path;
    int rank;
} reading;

static bool bad(const reading *r, const char *what, rnl_error *error) {
    (void)status_fail(error, RNL_ERR_FORMAT,
                      "%s: %s; an array of int32 with %s is wanted, as numpy.save writes it",
                      r->path, what, r->rank == 1 ? "one dimension" : "two dimensions");
    return false;
}

/* The header's text, terminated. */
static bool read_header(FILE *f, char header[HEADER_CAP]) {
    unsigned char start[12];
    size_t size;
    if (fread(start, 1, 10, f) != 10 || memcmp(start, "\x93NUMPY", 6) != 0) return false;
    size = start[8] | (size_t)start[9] << 8;
    if (start[6] > 1) { /* later versions: four bytes of size */
        if (fread(start + 10, 1, 2, f) != 2) return false;
        size |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    }
    if (size >= HEADER_CAP || fread(header, 1, size, f) != size) return false;
    header[size] = '\0';
    return true;
}

/* What stands behind "'key':", without spaces. */
static const char *value_of(const char *header, const char *key) {
    const char *at = strstr(header, key);
    if (at == NULL) return "";
    at += strlen(key);
    return at + strspn(at, "': ");
}

static bool read_cells(FILE *f, int32_t *out, size_t count, size_t cell_size) {
    for (size_t i = 0; i < count; i++) {
        int64_t wide = 0;
        int32_t narrow = 0;
        int16_t half = 0;
        void *to = cell_size == 8 ? (void *)&wide : cell_size == 4 ? (void *)&narrow : &half;
        if (fread(to, cell_size, 1, f) != 1) return false;
        if (cell_size != 8) wide = cell_size == 4 ? narrow : half;
        /* What does not fit is no id of any vocabulary. */
        out[i] = wide < 0 || wide > INT32_MAX ? -1 : (int32_t)wide;
    }
    return fgetc(f) == EOF;
}

/* shape [r->rank], each at least 1, 2^24 numbers at most. */
static bool read_shape(const reading *r, const char *text, size_t shape[2], rnl_error *error) {
    long long length[2] = {-1, 1};
    int used = 0;
    if (r->rank == 1 && (sscanf(text, "(%lld%*1[,])%n", &length[0], &used) != 1 || used == 0))
        return bad(r, "it has not one dimension", error);
    if (r->rank == 2 &&
        (sscanf(text, "(%lld, %lld)%n", &length[0], &length[1], &used) != 2 || used == 0))
        return bad(r, "it has not two dimensions", error);
    if (length[0] < 1 || length[0] > ID_CAP || length[1] < 1 || length[1] > ID_CAP / length[0])
        return bad(r, "its length is not from 1 to 2^24", error);
    shape[0] = (size_t)length[0];
    shape[1] = (size_t)length[1];
    return true;
}

static bool read_ints(const reading *r, int32_t **out, size_t shape[2], rnl_error *error) {
    char header[HEADER_CAP];
    if (!read_header(r->f, header)) return bad(r, "this is no .npy file", error);
    const char *type = value_of(header, "'descr'");
    const size_t cell_size = strncmp(type, "<i8", 3) == 0   ? 8
                             : strncmp(type, "<i4", 3) == 0 ? 4
                             : strncmp(type, "<i2", 3) == 0 ? 2
                                                            : 0;
    if (cell_size == 0) return bad(r, "its numbers are no int32", error);
    if (strncmp(value_of(header, "'fortran_order'"), "True", 4) == 0)
        return bad(r, "its columns lie behind each other", error);
    if (!read_shape(r, value_of(header, "'shape'"), shape, error)) return false;
    *out = malloc(shape[0] * shape[1] * sizeof **out);
    if (*out == NULL) {
        (void)status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", r->path);
        return false;
    }
    if (read_cells(r->f, *out, shape[0] * shape[1], cell_size)) return true;
    free(*out);
    *out = NULL;
    return bad(r, "it has not as many numbers as it says", error);
}

static bool read_file(const char *path, int rank, int32_t **out, size_t shape[2],
                      rnl_error *error) {
    *out = NULL;
    reading r = {.f = fopen(path, "rb"), .path = path, .rank = rank};
    if (r.f == NULL) {
        (void)status_fail(error, RNL_ERR_IO, "%s: %s", path, strerror(errno));
        return false;
    }
    const bool good = read_ints(&r, out, shape, error);
    (void)fclose(r.f);
    return good;
}

bool npy_read_ints(const char *path, int32_t **out, size_t *count, rnl_error *error) {
    size_t shape[2] = {0, 0};
    const bool good = read_file(path, 1, out, shape, error);
    *count = shape[0];
    return good;
}

bool npy_read_table(const char *path, int32_t **out, size_t *rows, size_t *cols, rnl_error *error) {
    size_t shape[2] = {0, 0};
    const bool good = read_file(path, 2, out, shape, error);
    *rows = shape[0];
    *cols = shape[1];
    return good;
}
