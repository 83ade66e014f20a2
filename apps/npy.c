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

static bool bad(const char *path, const char *what, rnl_error *error) {
    (void)status_fail(error, RNL_ERR_FORMAT,
                      "%s: %s; an array of int32 with one dimension is wanted, as numpy.save "
                      "writes it",
                      path, what);
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
        void *to = cell_size == sizeof wide ? (void *)&wide : (void *)&narrow;
        if (fread(to, cell_size, 1, f) != 1) return false;
        if (cell_size != sizeof wide) wide = narrow;
        /* What does not fit is no id of any vocabulary. */
        out[i] = wide < 0 || wide > INT32_MAX ? -1 : (int32_t)wide;
    }
    return fgetc(f) == EOF;
}

static bool read_ints(FILE *f, const char *path, int32_t **out, size_t *count, rnl_error *error) {
    char header[HEADER_CAP];
    long long length = -1;
    int used = 0;
    if (!read_header(f, header)) return bad(path, "this is no .npy file", error);
    const char *type = value_of(header, "'descr'"), *shape = value_of(header, "'shape'");
    const size_t cell_size = strncmp(type, "<i8", 3) == 0 ? 8 : 4;
    if (cell_size == 4 && strncmp(type, "<i4", 3) != 0)
        return bad(path, "its numbers are no int32", error);
    if (sscanf(shape, "(%lld%*1[,])%n", &length, &used) != 1 || used == 0)
        return bad(path, "it has not one dimension", error);
    if (length < 1 || length > ID_CAP) return bad(path, "its length is not from 1 to 2^24", error);
    *count = (size_t)length;
    *out = malloc(*count * sizeof **out);
    if (*out == NULL) {
        (void)status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
        return false;
    }
    if (read_cells(f, *out, *count, cell_size)) return true;
    free(*out);
    *out = NULL;
    return bad(path, "it has not as many numbers as it says", error);
}

bool npy_read_ints(const char *path, int32_t **out, size_t *count, rnl_error *error) {
    *out = NULL;
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        (void)status_fail(error, RNL_ERR_IO, "%s: %s", path, strerror(errno));
        return false;
    }
    const bool good = read_ints(f, path, out, count, error);
    (void)fclose(f);
    return good;
}
