/* The manifest. A line says which file, of what size and time, with which settings; whole lines
 * only are believed. */
#include "apps/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/messages.h"
#include "apps/replace.h"
#include "core/json.h"
#include "core/status.h"
#include "core/hash_table.h"
#include "core/utf8.h"

enum { LINE_CAP = 1 << 16, FILE_SIZE_CAP = 1 << 30, CHANNEL_CAP = 1024 };

/* Finished inputs as numbers: two hashes of 64 bits over path, size, time and settings. */
typedef struct done_row {
    uint64_t a, b;
    int channels;
    bool damaged;
} done_row;

struct manifest {
    char *path, *settings;
    FILE *out;
    done_row *rows; /* [row_count] */
    size_t row_cap, row_count;
    hash_table done; /* of the rows */
};

static done_row row_of(const char *path, size_t path_size, int64_t size, int64_t changed,
                       const char *settings, size_t settings_size) {
    done_row r = {0};
    uint64_t *const halves[] = {&r.a, &r.b};
    for (int i = 0; i < 2; i++) {
        uint64_t hash = hash_bytes(HASH_START, i == 0 ? "a" : "b", 1);
        hash = hash_bytes(hash, path, path_size + 1);
        hash = hash_bytes(hash, &size, sizeof size);
        hash = hash_bytes(hash, &changed, sizeof changed);
        *halves[i] = hash_bytes(hash, settings, settings_size);
    }
    return r;
}

static bool is_row(const void *rows, size_t index, const void *row) {
    return ((const done_row *)rows)[index].b == ((const done_row *)row)->b;
}

static size_t find_row(const manifest *m, const done_row *r) {
    return hash_table_find(&m->done, r->a, is_row, m->rows, r);
}

static bool add_row(manifest *m, done_row r) {
    const size_t at = find_row(m, &r);
    if (at != HASH_NONE) { /* done anew; in whatever order lines are read, once whole is whole */
        m->rows[at].channels = r.channels;
        m->rows[at].damaged = m->rows[at].damaged && r.damaged;
        return true;
    }
    if (m->row_count == m->row_cap) {
        const size_t cap = m->row_cap == 0 ? 64 : 2 * m->row_cap;
        done_row *grown = realloc(m->rows, cap * sizeof *grown);
        if (grown == NULL) return false;
        m->rows = grown;
        m->row_cap = cap;
    }
    if (!hash_table_add(&m->done, r.a, m->row_count)) return false;
    m->rows[m->row_count++] = r;
    return true;
}

/* The path of a line: JSON holds only UTF-8, so a name that is none stands there in hexadecimal
 * digits. NULL: there is none. *allocated is to be freed. */
static const char *path_of(const json *o, size_t *size, char **allocated) {
    size_t digits = 0;
    const char *hex = json_chars(json_get(o, "input_hex"), &digits);
    *allocated = NULL;
    if (hex == NULL) return json_chars(json_get(o, "input"), size);
    *size = digits / 2;
    *allocated = malloc(*size + 1);
    for (size_t i = 0; *allocated != NULL && i < *size; i++) {
        const char *const all = "0123456789abcdef";
        const char *high = strchr(all, hex[2 * i]), *low = strchr(all, hex[2 * i + 1]);
        if (high == NULL || low == NULL || hex[2 * i] == '\0' || hex[2 * i + 1] == '\0')
            return NULL;
        (*allocated)[i] = (char)((high - all) * 16 + (low - all));
    }
    if (*allocated != NULL) (*allocated)[*size] = '\0';
    return *allocated;
}

static void set_path(json_draft *o, const char *path) {
    const size_t size = strlen(path);
    json_set(o, "input", json_new_string(path, size));
    if (utf8_is_valid(path, size)) return;
    char *hex = malloc(2 * size + 1);
    for (size_t i = 0; hex != NULL && i < size; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)path[i]);
    json_set(o, "input_hex", hex != NULL ? json_new_string(hex, 2 * size) : NULL);
    free(hex);
}

/* One line; false: damaged. */
static bool take_line(manifest *m, const char *line, size_t size, bool *no_memory) {
    json *o = NULL;
    if (size > LINE_CAP || json_parse(line, size, "manifest", &o, NULL) != RNL_OK) return false;
    size_t path_size = 0, settings_size = 0;
    char *allocated;
    const char *path = path_of(o, &path_size, &allocated);
    const char *settings = json_chars(json_get(o, "settings"), &settings_size);
    int64_t file_size = 0, changed = 0, channels = 0;
    const json *written = json_get(o, "channels");
    const bool whole = path != NULL && settings != NULL &&
                       json_int(json_get(o, "size"), 0, INT64_MAX, &file_size) &&
                       json_int(json_get(o, "changed"), INT64_MIN, INT64_MAX, &changed) &&
                       (written == NULL || json_int(written, 0, CHANNEL_CAP, &channels));
    if (whole) {
        done_row r = row_of(path, path_size, file_size, changed, settings, settings_size);
        r.channels = (int)channels;
        r.damaged = json_get(o, "damaged") != NULL;
        if (!add_row(m, r)) *no_memory = true;
    }
    free(allocated);
    json_destroy(&o);
    return whole;
}

static bool take_text(manifest *m, const char *text, size_t size, size_t *damaged_count) {
    bool no_memory = false;
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, '\n', size - at);
        const size_t stop = end != NULL ? (size_t)(end - text) : size;
        /* A line without its end was cut off; were it whole by chance, its file is done again. */
        if (stop > at && (end == NULL || !take_line(m, text + at, stop - at, &no_memory)))
            ++*damaged_count;
        at = stop + 1;
    }
    return !no_memory;
}

static manifest *create(const char *settings) {
    manifest *m = calloc(1, sizeof *m);
    if (m == NULL) return NULL;
    m->settings = strdup(settings);
    if (m->settings == NULL) manifest_close(&m);
    return m;
}

manifest *manifest_from_text(const char *text, size_t size, const char *settings,
                             size_t *damaged_count) {
    manifest *m = create(settings);
    *damaged_count = 0;
    if (m != NULL && !take_text(m, text, size, damaged_count)) manifest_close(&m);
    return m;
}

static int read_one(manifest *m, const char *path) {
    FILE *f = fopen(path, "rb");
    if (f == NULL) return complain(EXIT_INPUT, "%s: cannot be read: %s", path, strerror(errno));
    struct stat info;
    int code = EXIT_OK;
    if (fstat(fileno(f), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > FILE_SIZE_CAP)
        code = complain(EXIT_INPUT, "%s: this is no manifest; move it away or leave --resume out",
                        path);
    char *text = code == EXIT_OK ? malloc((size_t)info.st_size + 1) : NULL;
    if (code == EXIT_OK && text == NULL) code = complain(EXIT_FAILED, "memory is exhausted");
    size_t damaged = 0;
    if (text != NULL) {
        const size_t size = fread(text, 1, (size_t)info.st_size, f);
        if (!take_text(m, text, size, &damaged))
            code = complain(EXIT_FAILED, "memory is exhausted");
    }
    free(text);
    (void)fclose(f);
    return code;
}

/* The folder's name may hold characters that mean something to glob. */
static char *escape(const char *folder) {
    char *out = malloc(2 * strlen(folder) + 1), *to = out;
    if (out == NULL) return NULL;
    for (; *folder != '\0'; folder++) {
        if (strchr("*?[]\\", *folder) != NULL) *to++ = '\\';
        *to++ = *folder;
    }
    *to = '\0';
    return out;
}

static int read_all(manifest *m, const char *folder) {
    char *escaped = escape(folder);
    const size_t cap = escaped != NULL ? strlen(escaped) + 40 : 0;
    char *pattern = escaped != NULL ? malloc(cap) : NULL;
    int code = EXIT_OK;
    if (pattern == NULL) {
        code = complain(EXIT_FAILED, "memory is exhausted");
    } else {
        glob_t found = {0};
        (void)snprintf(pattern, cap, "%s/runnel-manifest*.jsonl", escaped);
        if (glob(pattern, 0, NULL, &found) == 0)
            for (size_t i = 0; i < found.gl_pathc && code == EXIT_OK; i++)
                code = read_one(m, found.gl_pathv[i]);
        globfree(&found);
    }
    free(pattern);
    free(escaped);
    return code;
}

/* A line that a power cut has left half is ended, so that the next begins on its own. */
static bool end_last_line(const char *path, FILE *out) {
    FILE *f = fopen(path, "rb");
    if (f == NULL) return true;
    bool whole = true;
    if (fseek(f, -1, SEEK_END) == 0) whole = fgetc(f) == '\n';
    (void)fclose(f);
    return whole || fputc('\n', out) != EOF;
}

int manifest_open(const char *folder, const char *settings, int shard, int shard_count, bool resume,
                  manifest **out) {
    manifest *m = *out = create(settings);
    if (m == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    const size_t cap = strlen(folder) + 80;
    int code = resume ? read_all(m, folder) : EXIT_OK;
    m->path = malloc(cap);
    if (m->path == NULL && code == EXIT_OK) code = complain(EXIT_FAILED, "memory is exhausted");
    if (code == EXIT_OK) {
        if (shard_count > 1)
            (void)snprintf(m->path, cap, "%s/runnel-manifest.%d-of-%d.jsonl", folder, shard,
                           shard_count);
        else
            (void)snprintf(m->path, cap, "%s/runnel-manifest.jsonl", folder);
        code = check_target(m->path);
    }
    if (code == EXIT_OK) {
        m->out = fopen(m->path, resume ? "ab" : "wb");
        if (m->out == NULL || (resume && !end_last_line(m->path, m->out)))
            code = complain(EXIT_FAILED, "%s: cannot be written: %s", m->path, strerror(errno));
    }
    if (code != EXIT_OK) manifest_close(out);
    return code;
}

void manifest_close(manifest **out) {
    manifest *m = *out;
    if (m == NULL) return;
    *out = NULL;
    if (m->out != NULL) (void)fclose(m->out);
    hash_table_free(&m->done);
    free(m->rows);
    free(m->path);
    free(m->settings);
    free(m);
}

bool manifest_look(const char *path, manifest_input *out) {
    struct stat info;
    *out = (manifest_input){.path = path};
    if (stat(path, &info) != 0) return false;
    out->size = (int64_t)info.st_size;
    out->changed = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    return true;
}

static done_row row_of_input(const manifest *m, const manifest_input *input) {
    done_row r = row_of(input->path, strlen(input->path), input->size, input->changed, m->settings,
                        strlen(m->settings));
    r.channels = input->channels;
    r.damaged = input->damaged;
    return r;
}

bool manifest_is_done(const manifest *m, const manifest_input *input) {
    const done_row r = row_of_input(m, input);
    return find_row(m, &r) != HASH_NONE;
}

int manifest_channels(const manifest *m, const manifest_input *input) {
    const done_row r = row_of_input(m, input);
    const size_t at = find_row(m, &r);
    return at != HASH_NONE ? m->rows[at].channels : 0;
}

bool manifest_is_damaged(const manifest *m, const manifest_input *input) {
    const done_row r = row_of_input(m, input);
    const size_t at = find_row(m, &r);
    return at != HASH_NONE && m->rows[at].damaged;
}

bool manifest_add(manifest *m, const manifest_input *input, double seconds, rnl_error *error) {
    json_draft *o = json_new_object();
    set_path(o, input->path);
    json_set(o, "size", json_new_int(input->size));
    json_set(o, "changed", json_new_int(input->changed));
    json_set(o, "settings", json_new_string(m->settings, strlen(m->settings)));
    if (input->channels > 0) json_set(o, "channels", json_new_int(input->channels));
    json_set(o, "seconds", json_new_number(seconds));
    if (input->damaged) json_set(o, "damaged", json_new_bool(true));
    char *line = json_text(o);
    json_drop(&o);
    if (line == NULL) {
        (void)status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
        return false;
    }
    const bool written =
        fprintf(m->out, "%s\n", line) > 0 && fflush(m->out) == 0 && fsync(fileno(m->out)) == 0;
    free(line);
    if (!written) {
        (void)status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s", m->path, strerror(errno));
        return false;
    }
    (void)add_row(m, row_of_input(m, input));
    return true;
}

bool shard_parse(const char *text, int *shard, int *shard_count) {
    long parts[2];
    for (int i = 0; i < 2; i++) {
        const size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 7 || text[digits] != (i == 0 ? '/' : '\0')) return false;
        parts[i] = strtol(text, NULL, 10);
        text += digits + 1;
    }
    *shard = (int)parts[0];
    *shard_count = (int)parts[1];
    return parts[1] >= 1 && parts[1] <= 1000000 && parts[0] < parts[1];
}

int shard_of(const char *path, int shard_count) {
    /* The lowest bits of FNV-1a mix least, so the upper half decides. */
    return (int)((hash_bytes(HASH_START, path, strlen(path)) >> 32) % (uint64_t)shard_count);
}
