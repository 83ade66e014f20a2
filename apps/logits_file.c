#include "apps/logits_file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/status.h"

enum {
    MAGIC_SIZE = 8,
    HEAD_SIZE = MAGIC_SIZE + 3 * 4,
    ROW_HEAD_SIZE = 8,
    WINDOW_CAP = 1 << 20,
    VOCAB_CAP = 1 << 24,
    CHUNK_CAP = 1 << 24,
    CODE_MAX = 65535,
    RANGE = 16 /* what lies further below the best is kept as that far */
};
static const char magic[] = "_logits_";

/* ---- Numbers as they lie in the file ---- */

static void put32(unsigned char *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get32(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_float(unsigned char *at, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put32(at, bits);
}

static float get_float(const unsigned char *at) {
    const uint32_t bits = get32(at);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

size_t logits_row_size(int vocab_count) {
    return ROW_HEAD_SIZE + 2 * (2 * (((size_t)vocab_count + 1) / 2));
}

/* ---- Writing ---- */

bool logits_put_head(FILE *f, int window, int vocab_count, int chunk_count, const int32_t *tokens) {
    unsigned char head[HEAD_SIZE], token[4];
    memcpy(head, magic, MAGIC_SIZE);
    put32(head + MAGIC_SIZE, (uint32_t)window);
    put32(head + MAGIC_SIZE + 4, (uint32_t)vocab_count);
    put32(head + MAGIC_SIZE + 8, (uint32_t)chunk_count);
    bool good = fwrite(head, sizeof head, 1, f) == 1;
    const size_t count = (size_t)window * (size_t)chunk_count;
    for (size_t i = 0; i < count && good; i++) {
        put32(token, (uint32_t)tokens[i]);
        good = fwrite(token, sizeof token, 1, f) == 1;
    }
    return good;
}

bool logits_put_row(FILE *f, const float *logits, int vocab_count, double normaliser,
                    unsigned char *row) {
    float most = logits[0], least = logits[0];
    for (int i = 1; i < vocab_count; i++) {
        most = fmaxf(most, logits[i]);
        least = fminf(least, logits[i]);
    }
    const float low = fmaxf(least, most - RANGE), scale = (most - low) / CODE_MAX;
    memset(row, 0, logits_row_size(vocab_count));
    put_float(row, scale);
    put_float(row + 4, (float)(low - normaliser));
    for (int i = 0; i < vocab_count && scale > 0; i++) {
        if (!(logits[i] > low)) continue;
        const float code = rintf((logits[i] - low) / scale);
        const unsigned kept = code < CODE_MAX ? (unsigned)code : CODE_MAX;
        row[ROW_HEAD_SIZE + 2 * (size_t)i] = (unsigned char)kept;
        row[ROW_HEAD_SIZE + 2 * (size_t)i + 1] = (unsigned char)(kept >> 8);
    }
    return fwrite(row, logits_row_size(vocab_count), 1, f) == 1;
}

/* ---- Reading ---- */

bool logits_file_is(const char *path) {
    char head[MAGIC_SIZE];
    FILE *f = fopen(path, "rb");
    if (f == NULL) return false;
    const bool is = fread(head, sizeof head, 1, f) == 1 && memcmp(head, magic, MAGIC_SIZE) == 0;
    (void)fclose(f);
    return is;
}

static rnl_status fail_read(const logits_file *f, rnl_error *error) {
    if (ferror(f->file) != 0)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be read: %s", f->path, strerror(errno));
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: the file ends before its last row; write it again with --save-logits",
                       f->path);
}

static rnl_status read_head(logits_file *f, rnl_error *error) {
    unsigned char head[HEAD_SIZE];
    if (fread(head, sizeof head, 1, f->file) != 1) return fail_read(f, error);
    const uint32_t window = get32(head + MAGIC_SIZE), vocab = get32(head + MAGIC_SIZE + 4);
    const uint32_t chunks = get32(head + MAGIC_SIZE + 8);
    if (memcmp(head, magic, MAGIC_SIZE) != 0 || window < 4 || window > WINDOW_CAP || vocab < 1 ||
        vocab > VOCAB_CAP || chunks < 1 || chunks > CHUNK_CAP)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: window %u, vocabulary %u, chunks %u: no file of --save-logits",
                           f->path, window, vocab, chunks);
    f->window = (int)window;
    f->vocab_count = (int)vocab;
    f->chunk_count = (int)chunks;
    return RNL_OK;
}

/* The file is as long as its head says, before memory is taken for it. */
static rnl_status check_size(logits_file *f, rnl_error *error) {
    const size_t rows = (size_t)(f->window - 1 - f->window / 2);
    size_t size, chunk;
    const bool fits = checked_mul(rows, logits_row_size(f->vocab_count), &chunk) &&
                      checked_add(chunk, 4 * (size_t)f->window, &chunk) &&
                      checked_mul(chunk, (size_t)f->chunk_count, &size) &&
                      checked_add(size, HEAD_SIZE, &size);
    if (fseek(f->file, 0, SEEK_END) != 0)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be read: %s", f->path, strerror(errno));
    const long end = ftell(f->file);
    if (!fits || end < 0 || (size_t)end != size)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: has %ld bytes, but its head says others; write it again with "
                           "--save-logits",
                           f->path, end);
    (void)fseek(f->file, HEAD_SIZE, SEEK_SET);
    return RNL_OK;
}

static rnl_status read_tokens(logits_file *f, rnl_error *error) {
    const size_t count = (size_t)f->window * (size_t)f->chunk_count;
    f->tokens = malloc(count * sizeof *f->tokens);
    f->row = malloc(logits_row_size(f->vocab_count));
    if (f->tokens == NULL || f->row == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", f->path);
    for (size_t i = 0; i < count; i++) {
        unsigned char token[4];
        if (fread(token, sizeof token, 1, f->file) != 1) return fail_read(f, error);
        const uint32_t id = get32(token);
        if (id >= (uint32_t)f->vocab_count)
            return status_fail(error, RNL_ERR_FORMAT, "%s: token %zu is %u, of a vocabulary of %d",
                               f->path, i, id, f->vocab_count);
        f->tokens[i] = (int32_t)id;
    }
    return RNL_OK;
}

rnl_status logits_file_open(const char *path, logits_file *out, rnl_error *error) {
    *out = (logits_file){.path = path, .file = fopen(path, "rb")};
    if (out->file == NULL)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    rnl_status status = read_head(out, error);
    if (status == RNL_OK) status = check_size(out, error);
    if (status == RNL_OK) status = read_tokens(out, error);
    return status;
}

rnl_status logits_file_next(logits_file *f, float *row, rnl_error *error) {
    if (fread(f->row, logits_row_size(f->vocab_count), 1, f->file) != 1) return fail_read(f, error);
    const float scale = get_float(f->row), least = get_float(f->row + 4);
    /* Neither end of what its codes can say. */
    if (!isfinite(scale * CODE_MAX + least) || !isfinite(least) || scale < 0)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: a row is not finite; write it again with "
                           "--save-logits",
                           f->path);
    for (int i = 0; i < f->vocab_count; i++) {
        const unsigned char *at = f->row + ROW_HEAD_SIZE + 2 * (size_t)i;
        row[i] = scale * (float)(at[0] | at[1] << 8) + least;
    }
    return RNL_OK;
}

void logits_file_close(logits_file *f) {
    if (f->file != NULL) (void)fclose(f->file);
    free(f->tokens);
    free(f->row);
    *f = (logits_file){0};
}
