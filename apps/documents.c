#include "apps/documents.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/messages.h"
#include "apps/npy.h"
#include "apps/sources.h"
#include "core/status.h"
#include "core/utf8.h"
#include "engine/model.h"
#include "tokenizer/unicode.h"

/* Bytes of a text that are read: its ids stay below 2^30. */
static const size_t size_max = (size_t)1 << 30;
enum { PIECE_CAP = 65536 };

static rnl_status encode(const bpe *text, const char *bytes, size_t size, int32_t *ids,
                         size_t *count, rnl_error *error) {
    bpe_scratch scratch;
    arena measured = {0};
    bpe_scratch_layout(&scratch, PIECE_CAP, &measured);
    void *memory = aligned_alloc(ARENA_ALIGN, measured.size_used);
    if (memory == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    arena placed = {.base = memory, .size_cap = measured.size_used};
    bpe_scratch_layout(&scratch, PIECE_CAP, &placed);
    const rnl_status status =
        bpe_encode(text, &scratch, bytes, size, true, ids, size, count, error);
    free(memory);
    return status;
}

rnl_status document_encode(const rnl_model *m, const char *name, const char *text, size_t size,
                           size_t first, int32_t **ids, size_t *count, rnl_error *error) {
    *ids = NULL;
    if (m->source.text == NULL)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: the model has no vocabulary: give ids instead", m->path);
    if (!utf8_is_valid(text, size))
        return status_fail(error, RNL_ERR_DATA, "%s: the text is not valid UTF-8; convert it first",
                           name);
    /* A token is a byte at least. */
    *ids = malloc((size + first + 1) * sizeof **ids);
    if (*ids == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    const rnl_status status = encode(m->source.text, text, size, *ids + first, count, error);
    *count += first;
    if (status == RNL_OK) return RNL_OK;
    free(*ids);
    *ids = NULL;
    return status;
}

/* As Python's \s: four separators of ASCII count too. */
static bool is_space(uint32_t code_point) {
    return unicode_is_space(code_point) || (code_point >= 0x1c && code_point <= 0x1f);
}

static size_t count_words(const char *text, size_t size) {
    size_t count = 1;
    bool spaced = false;
    for (size_t at = 0; at < size;) {
        uint32_t code_point;
        at += utf8_next(text + at, size - at, &code_point);
        const bool space = is_space(code_point);
        count += space && !spaced;
        spaced = space;
    }
    return count;
}

/* NULL after a complaint. */
static char *read_text(const char *path, size_t *size, int *code) {
    const bool standard = strcmp(path, "-") == 0;
    source_note(path);
    errno = 0;
    FILE *f = standard ? stdin : fopen(path, "rb");
    char *text = f != NULL ? read_to_end(f, size_max, size) : NULL;
    const bool damaged = f == NULL || ferror(f) != 0;
    const int reason = errno;
    if (f != NULL && !standard) (void)fclose(f);
    *code = EXIT_OK;
    if (text != NULL && !damaged) return text;
    free(text);
    *code = damaged ? complain(EXIT_INPUT, "%s: cannot be read: %s", path, strerror(reason))
                    : complain(EXIT_INPUT, "%s: the text has more than 1 GiB; split it", path);
    return NULL;
}

int document_read(const rnl_model *m, const char *path, document *out) {
    int code;
    size_t size;
    rnl_error error = {0};
    *out = (document){.name = path};
    char *text = read_text(path, &size, &code);
    if (text == NULL) return code;
    const size_t mark = utf8_mark_size(text, size);
    out->byte_count = size - mark;
    out->word_count = count_words(text + mark, size - mark);
    const rnl_status status =
        document_encode(m, path, text + mark, size - mark, 1, &out->ids, &out->count, &error);
    free(text);
    if (status != RNL_OK) return complain(exit_code(&error), "%s", error.text);
    out->ids[0] = m->ids.begin;
    return out->count > 1 ? EXIT_OK : complain(EXIT_INPUT, "%s: there is no text in it", path);
}

int document_read_ids(const char *path, document *out) {
    rnl_error error = {0};
    *out = (document){.name = path};
    source_note(path);
    if (!npy_read_ints(path, &out->ids, &out->count, &error))
        return complain(error.status == RNL_ERR_MEMORY ? EXIT_FAILED : EXIT_INPUT, "%s",
                        error.text);
    if (out->count > 1) return EXIT_OK;
    return complain(EXIT_INPUT,
                    "%s: one number says nothing: give the ids of a text, <|startoftext|> first",
                    path);
}

void document_free(document *d) {
    free(d->ids);
    *d = (document){0};
}
