#include "measure/device.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/child.h"
#include "core/status.h"
#include "measure/report.h"

enum {
    ANSWER_SIZE_MAX = 16 << 20, /* bytes of what a command prints */
    TRIES = 2,
    PATH_CAP = 4096
};

static rnl_status exhausted(rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
}

/* ---- Templates ---- */

static const measure_placeholder *
placeholder_at(const char *text, const measure_placeholder *placeholders, int count) {
    for (int i = 0; i < count; i++)
        if (strncmp(text, placeholders[i].name, strlen(placeholders[i].name)) == 0)
            return &placeholders[i];
    return NULL;
}

/* The words, each terminated; returns their number, or -1 for a quote that stays open. */
static int write_words(FILE *out, const char *text, const measure_placeholder *placeholders,
                       int count) {
    int words = 0;
    char quote = '\0';
    bool inside = false;
    for (; *text != '\0'; text++) {
        const bool blank = strchr(" \t\r\n", *text) != NULL && quote == '\0';
        const bool quotes = quote != '\0' ? *text == quote : *text == '\'' || *text == '"';
        if (blank && inside) (void)fputc('\0', out);
        words += !blank && !inside;
        inside = !blank;
        if (blank) continue;
        if (quotes) {
            quote = quote != '\0' ? '\0' : *text;
            continue;
        }
        const measure_placeholder *p = placeholder_at(text, placeholders, count);
        (void)(p != NULL ? fputs(p->value, out) : fputc(*text, out));
        if (p != NULL) text += strlen(p->name) - 1;
    }
    if (inside) (void)fputc('\0', out);
    return quote != '\0' ? -1 : words;
}

/* Pointers first, then what they point to. */
static char **place_words(const char *words, size_t size, int count) {
    const size_t pointers = ((size_t)count + 1) * sizeof(char *);
    char **out = malloc(pointers + size);
    if (out == NULL) return NULL;
    char *at = (char *)out + pointers;
    memcpy(at, words, size);
    for (int i = 0; i < count; i++, at += strlen(at) + 1) out[i] = at;
    out[count] = NULL;
    return out;
}

rnl_status measure_words(const char *text, const measure_placeholder *placeholders,
                         int placeholder_count, char ***out, rnl_error *error) {
    char *words = NULL;
    size_t size = 0;
    *out = NULL;
    FILE *f = open_memstream(&words, &size);
    if (f == NULL) return exhausted(error);
    const int count = write_words(f, text, placeholders, placeholder_count);
    const bool written = fclose(f) == 0;
    if (written && count > 0) *out = place_words(words, size, count);
    free(words);
    if (*out != NULL) return RNL_OK;
    if (!written || count > 0) return exhausted(error);
    return status_fail(error, RNL_ERR_ARGUMENT,
                       count < 0 ? "the command \"%s\" opens a quote that it does not close"
                                 : "the command \"%s\" names no program",
                       text);
}

static rnl_status check(const char *text, const char *first, const char *second, rnl_error *error) {
    char **words;
    if (strstr(text, first) == NULL || (second != NULL && strstr(text, second) == NULL))
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "the command \"%s\" lacks %s, in whose place %s stands", text,
                           strstr(text, first) == NULL ? first : second,
                           strcmp(first, "{cmd}") == 0 ? "what the device is to run"
                                                       : "a file here or its place there");
    const rnl_status status = measure_words(text, NULL, 0, &words, error);
    free(words);
    return status;
}

rnl_status measure_device_check(const measure_device *d, rnl_error *error) {
    const rnl_status status = check(d->command, "{cmd}", NULL, error);
    if (status != RNL_OK || d->push == NULL) return status;
    return check(d->push, "{file}", "{path}", error);
}

/* ---- Running ---- */

static rnl_status failed(const measure_device *d, const char *program, const child_result *r,
                         rnl_error *error) {
    if (r->missing)
        return status_fail(error, RNL_ERR_IO,
                           "%s: there is no such program; name one that reaches the device",
                           program);
    if (r->overran)
        return status_fail(error, RNL_ERR_IO,
                           "%s: the device did not answer within %g s, twice; see that it can be "
                           "reached, or give it longer (--timeout)",
                           program, d->seconds_max);
    return status_fail(error, RNL_ERR_IO, "%s: the command failed: %s", program,
                       r->reason[0] != '\0' ? r->reason : "it said nothing");
}

/* What it prints is the caller's to free. */
static rnl_status run(const measure_device *d, const char *text,
                      const measure_placeholder *placeholders, int count, child_result *result,
                      rnl_error *error) {
    const child_limits limits = {ANSWER_SIZE_MAX, d->seconds_max, d->stop};
    char **words;
    rnl_status status = measure_words(text, placeholders, count, &words, error);
    if (status != RNL_OK) return status;
    for (int try = 0; try < TRIES; try++) {
        status = child_run((const char *const *)words, -1, &limits, result, error);
        if (status != RNL_OK || !result->overran) break;
        if (d->stop != NULL && d->stop()) {
            status = status_fail(error, RNL_ERR_STATE, "stopped");
            break;
        }
        if (try + 1 < TRIES) free(result->data);
    }
    if (status == RNL_OK && !result->well) status = failed(d, words[0], result, error);
    if (status != RNL_OK) {
        free(result->data);
        *result = (child_result){0};
    }
    free(words);
    return status;
}

static rnl_status push(const measure_device *d, const char *file, const char *path,
                       rnl_error *error) {
    const measure_placeholder both[] = {{"{file}", file}, {"{path}", path}};
    child_result result = {0};
    const rnl_status status = run(d, d->push, both, 2, &result, error);
    free(result.data);
    return status;
}

/* ---- Names there ---- */

/* Where a file is on the device; name: what it is called below the folder. */
static rnl_status path_there(const measure_device *d, const char *here, const char *name,
                             char path[PATH_CAP], rnl_error *error) {
    const int size = d->push != NULL ? snprintf(path, PATH_CAP, "%s/%s", d->folder, name)
                                     : snprintf(path, PATH_CAP, "%s", here);
    if (size >= 0 && size < PATH_CAP) return RNL_OK;
    return status_fail(error, RNL_ERR_ARGUMENT, "%.200s...: the name is too long", here);
}

rnl_status measure_device_prepare(const measure_device *d, rnl_error *error) {
    char path[PATH_CAP];
    if (d->push == NULL) return RNL_OK;
    const rnl_status status = path_there(d, d->program, "runnel-measure", path, error);
    return status == RNL_OK ? push(d, d->program, path, error) : status;
}

/* ---- Measuring there ---- */

/* A word for the shell of the device. */
static void put_word(FILE *out, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./=:,+@%";
    (void)fputc(' ', out);
    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        (void)fputs(word, out);
        return;
    }
    (void)fputc('\'', out);
    for (; *word != '\0'; word++) (void)(*word == '\'' ? fputs("'\\''", out) : fputc(*word, out));
    (void)fputc('\'', out);
}

static void put_settings(FILE *out, const measure_config *c) {
    if (c->round_count > 0)
        (void)fprintf(out, " --json --rounds %d --again %d", c->round_count, c->again_max);
    else
        (void)fputs(" --json --no-times", out);
    (void)fprintf(out, " --type %s", quant_describe((uint32_t)c->type)->name);
    if (c->thread_count > 0) (void)fprintf(out, " --threads %d", c->thread_count);
    if (c->exact) (void)fputs(" --exact", out);
    if (c->cpu != NULL) {
        (void)fputs(" --cpu", out);
        put_word(out, c->cpu);
    }
}

/* Sends a file and names it in the command. */
static rnl_status add_file(const measure_device *d, FILE *out, const char *here, const char *name,
                           rnl_error *error) {
    char path[PATH_CAP];
    rnl_status status = path_there(d, here, name, path, error);
    if (status == RNL_OK && d->push != NULL) status = push(d, here, path, error);
    if (status == RNL_OK) put_word(out, path);
    return status;
}

static rnl_status write_command(const measure_device *d, FILE *out, const measure_config *c,
                                const char *reference, const char *const *paths, int path_count,
                                rnl_error *error) {
    char path[PATH_CAP], name[64];
    rnl_status status = path_there(d, d->program, "runnel-measure", path, error);
    if (status != RNL_OK) return status;
    put_word(out, path);
    put_settings(out, c);
    if (reference != NULL && c->round_count > 0) {
        (void)fputs(" --reference", out);
        status = add_file(d, out, reference, "runnel-measure-reference.json", error);
    }
    for (int i = 0; i < path_count && status == RNL_OK; i++) {
        (void)snprintf(name, sizeof name, "runnel-measure-%d.json", i);
        status = add_file(d, out, paths[i], name, error);
    }
    return status;
}

/* The last line that begins as an object does: whatever else a device says is passed over. */
static const char *find_report(const child_result *r, size_t *size) {
    const char *text = (const char *)r->data, *found = NULL;
    for (size_t at = 0; at < r->size;) {
        const char *end = memchr(text + at, '\n', r->size - at);
        const size_t line = end != NULL ? (size_t)(end - (text + at)) : r->size - at;
        if (line > 1 && text[at] == '{' && text[at + 1] == '"') found = text + at, *size = line;
        at += line + 1;
    }
    return found;
}

static rnl_status read_answer(const child_result *r, const char *reference,
                              const char *const *paths, int path_count, measure_report *out,
                              rnl_error *error) {
    size_t size = 0;
    const char *text = find_report(r, &size);
    if (text == NULL)
        return status_fail(error, RNL_ERR_FORMAT,
                           "the device: it printed no report; name a runnel-measure for its "
                           "processor (--program)");
    const rnl_status status = measure_report_read(text, size, "the device's report", out, error);
    if (status != RNL_OK) return status;
    if (out->count != path_count)
        return status_fail(error, RNL_ERR_FORMAT, "the device's report: %d models, and not %d",
                           out->count, path_count);
    for (int i = 0; i < path_count; i++)
        (void)snprintf(out->results[i].name, sizeof out->results[i].name, "%s", paths[i]);
    if (reference != NULL && out->reference[0] != '\0')
        (void)snprintf(out->reference, sizeof out->reference, "%s", reference);
    return RNL_OK;
}

rnl_status measure_remote(const measure_device *d, const measure_config *c, const char *reference,
                          const char *const *paths, int path_count, measure_report *out,
                          rnl_error *error) {
    char *command = NULL;
    size_t size = 0;
    assert(path_count >= 1 && path_count <= MEASURE_MODEL_CAP);
    *out = (measure_report){0};
    FILE *f = open_memstream(&command, &size);
    if (f == NULL) return exhausted(error);
    rnl_status status = write_command(d, f, c, reference, paths, path_count, error);
    if (fclose(f) != 0 && status == RNL_OK) status = exhausted(error);
    if (status == RNL_OK) {
        const measure_placeholder cmd = {"{cmd}", command + 1}; /* a blank stands before it */
        child_result result = {0};
        status = run(d, d->command, &cmd, 1, &result, error);
        if (status == RNL_OK)
            status = read_answer(&result, reference, paths, path_count, out, error);
        free(result.data);
    }
    free(command);
    return status;
}
