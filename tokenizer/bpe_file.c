#include "tokenizer/bpe_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/status.h"

enum { JSON_SIZE_CAP = 64 << 20, MERGE_CAP = 1 << 22 };

typedef struct filling {
    bpe *b;
    const char *path;
    int vocab_count;
    const json *added; /* tokenizer.json: added_tokens */
    uint32_t *claims;  /* [vocab_count] index + 1 in added of the token that is to have the id */
    size_t *homeless;  /* [count of added] those that are to get another id, in order */
    size_t homeless_count;
    int moved_count; /* added tokens that have not the id which the file says */
    rnl_status status;
    rnl_error *error;
} filling;

static bool fail(filling *f, const char *what) {
    if (f->status == RNL_OK)
        f->status = status_fail(f->error, RNL_ERR_FORMAT,
                                "%s: %s; the file is damaged or of another "
                                "model",
                                f->path, what);
    return false;
}

static bool no_memory(filling *f) {
    f->status = status_fail(f->error, RNL_ERR_MEMORY, "%s: memory for the vocabulary is exhausted",
                            f->path);
    return false;
}

static bool take(filling *f, rnl_status status, const char *what) {
    if (status == RNL_OK) return true;
    return status == RNL_ERR_MEMORY ? no_memory(f) : fail(f, what);
}

/* "left right" at the first space after position 0 (backbone.md 4.4). */
static bool add_merge(filling *f, const char *text, size_t size) {
    const char *space = size > 1 ? memchr(text + 1, ' ', size - 1) : NULL;
    if (space == NULL) return fail(f, "a merge is no pair of tokens");
    const size_t left = (size_t)(space - text);
    return take(f, bpe_add_merge(f->b, text, left, space + 1, size - left - 1), "merges");
}

/* ---- tokenizer.json ---- */

static const char *added_text(const filling *f, size_t index, size_t *size) {
    return json_chars(json_get(json_at(f->added, index), "content"), size);
}

/* Which id an added token is to have: as in the reference that of its text in the vocabulary, else
 * what the file says, if that is free. */
static bool claim(filling *f, const json *vocabulary, size_t index) {
    int64_t id, own;
    size_t size;
    const char *text = added_text(f, index, &size);
    if (text == NULL || !json_int(json_get(json_at(f->added, index), "id"), 0, INT64_MAX, &id))
        return fail(f, "an entry of added_tokens has no content, or no id");
    const json *entry = strlen(text) == size ? json_get(vocabulary, text) : NULL;
    const bool known = json_int(entry, 0, f->vocab_count - 1, &own);
    f->moved_count += known && own != id;
    if (known) id = own;
    if (!known && (id >= f->vocab_count || f->claims[id] != 0)) {
        f->homeless[f->homeless_count++] = index;
        return true;
    }
    if (f->claims[id] != 0) { /* by one that only says so, or the same text once more */
        size_t other_size;
        const char *other = added_text(f, f->claims[id] - 1, &other_size);
        if (other_size != size || memcmp(other, text, size) != 0)
            f->homeless[f->homeless_count++] = f->claims[id] - 1;
    }
    f->claims[id] = (uint32_t)index + 1;
    return true;
}

static bool add_special(filling *f, size_t index, int32_t id) {
    size_t size;
    bool special = false;
    const char *text = added_text(f, index, &size);
    (void)json_bool(json_get(json_at(f->added, index), "special"), &special);
    return take(f, bpe_add_token(f->b, id, text, size, special ? BPE_CONTROL : BPE_USER),
                "added_tokens");
}

/* An entry of the vocabulary, which may be an added token, too. Where their texts differ the
 * vocabulary keeps the id. */
static bool add_entry(void *context, const char *key, size_t size, const json *value) {
    filling *f = context;
    int64_t id;
    size_t added_size;
    if (!json_int(value, 0, f->vocab_count - 1, &id))
        return fail(f, "a vocabulary entry has an id beyond the rows of the text embedding");
    const uint32_t claimed = f->claims[id];
    if (claimed != 0) {
        const size_t index = claimed - 1;
        const char *text = added_text(f, index, &added_size);
        f->claims[id] = 0;
        if (added_size == size && memcmp(text, key, size) == 0)
            return add_special(f, index, (int32_t)id);
        f->homeless[f->homeless_count++] = index;
    }
    return take(f, bpe_add_token(f->b, (int32_t)id, key, size, BPE_NORMAL),
                "two vocabulary entries share an id");
}

static bool is_free(const bpe *b, int32_t id) {
    size_t size;
    bpe_kind kind;
    return bpe_token_text(b, id, &size, &kind) == NULL;
}

/* Added tokens that the vocabulary does not have: at their own ids, then those without one behind
 * entry_count others, as the reference does, as long as the text embedding has rows. */
static bool add_others(filling *f, size_t entry_count) {
    for (int id = 0; id < f->vocab_count; id++)
        if (f->claims[id] != 0 && !add_special(f, f->claims[id] - 1, id)) return false;
    int next = entry_count < (size_t)f->vocab_count ? (int)entry_count : f->vocab_count;
    for (size_t i = 0; i < f->homeless_count; i++) {
        f->moved_count++;
        while (next < f->vocab_count && !is_free(f->b, next)) next++;
        if (next < f->vocab_count && !add_special(f, f->homeless[i], next)) return false;
    }
    return true;
}

static bool add_tokens(filling *f, const json *vocabulary) {
    const size_t count = json_count(f->added);
    f->claims = calloc((size_t)f->vocab_count + 1, sizeof *f->claims);
    f->homeless = calloc(count + 1, sizeof *f->homeless);
    bool done = f->claims != NULL && f->homeless != NULL ? true : no_memory(f);
    for (size_t i = 0; i < count && done; i++) done = claim(f, vocabulary, i);
    done = done && json_each(vocabulary, add_entry, f) && add_others(f, json_count(vocabulary));
    free(f->claims);
    free(f->homeless);
    return done;
}

/* "a b", or ["a", "b"] in newer files. */
static bool add_json_merge(filling *f, const json *merge) {
    size_t left_size, right_size;
    const char *left = json_chars(merge, &left_size);
    if (left != NULL) return add_merge(f, left, left_size);
    left = json_chars(json_at(merge, 0), &left_size);
    const char *right = json_chars(json_at(merge, 1), &right_size);
    if (left == NULL || right == NULL || json_count(merge) != 2)
        return fail(f, "a merge is no pair of tokens");
    return take(f, bpe_add_merge(f->b, left, left_size, right, right_size), "merges");
}

static void fill_from_json(filling *f, const json *root) {
    const json *model = json_get(root, "model");
    const json *merges = json_get(model, "merges");
    f->added = json_get(root, "added_tokens");
    if (!json_is_object(json_get(model, "vocab")) || !json_is_array(merges)) {
        (void)fail(f, "model.vocab or model.merges is missing");
        return;
    }
    if (json_count(merges) > MERGE_CAP) {
        (void)fail(f, "model.merges is too long");
        return;
    }
    bool ignore_merges = false; /* what an older file, without the key, means */
    const json *flag = json_get(model, "ignore_merges");
    if (flag != NULL && !json_is_null(flag) && !json_bool(flag, &ignore_merges)) {
        (void)fail(f, "model.ignore_merges is neither true nor false");
        return;
    }
    bpe_set_ignore_merges(f->b, ignore_merges);
    if (!add_tokens(f, json_get(model, "vocab"))) return;
    for (size_t i = 0; i < json_count(merges); i++)
        if (!add_json_merge(f, json_at(merges, i))) return;
}

/* Ends the building: out is NULL unless all went well. */
static rnl_status finish(filling *f, bpe **out) {
    if (f->status == RNL_OK) f->status = bpe_finish(f->b, f->path, f->error);
    if (f->status != RNL_OK) bpe_destroy(&f->b);
    *out = f->b;
    return f->status;
}

rnl_status bpe_from_json(const char *path, int vocab_count, bpe **out, int *moved_count,
                         rnl_error *error) {
    *out = NULL;
    if (moved_count != NULL) *moved_count = 0;
    json *root = NULL;
    const rnl_status status = json_read(path, JSON_SIZE_CAP, &root, error);
    if (status != RNL_OK) return status;
    filling f = {.path = path, .vocab_count = vocab_count, .error = error};
    if (bpe_create(vocab_count, &f.b) != RNL_OK)
        (void)no_memory(&f);
    else
        fill_from_json(&f, root);
    json_destroy(&root);
    if (moved_count != NULL) *moved_count = f.moved_count;
    return finish(&f, out);
}

/* ---- GGUF ---- */

typedef struct gguf_filling {
    filling f;
    const gguf *g;
    bool typed;
} gguf_filling;

static bool add_gguf_token(void *context, size_t index, const char *text, size_t size) {
    gguf_filling *f = context;
    int64_t type = BPE_NORMAL;
    if (f->typed &&
        (!gguf_array_int(f->g, "tokenizer.ggml.token_type", index, &type) || type < 1 || type > 6))
        return fail(&f->f, "tokenizer.ggml.token_type holds an unknown type");
    if (type == BPE_UNUSED) return true;
    if (type > BPE_UNUSED) type = BPE_NORMAL;
    return take(&f->f, bpe_add_token(f->f.b, (int32_t)index, text, size, (bpe_kind)type), "tokens");
}

static bool add_gguf_merge(void *context, size_t index, const char *text, size_t size) {
    gguf_filling *f = context;
    (void)index;
    return add_merge(&f->f, text, size);
}

static void fill_from_gguf(gguf_filling *f) {
    size_t count, types = 0, merges;
    const char *model;
    size_t size;
    if (!gguf_string(f->g, "tokenizer.ggml.model", &model, &size) || size != 4 ||
        memcmp(model, "gpt2", 4) != 0) {
        (void)fail(&f->f, "tokenizer.ggml.model is not gpt2");
        return;
    }
    f->typed = gguf_array_count(f->g, "tokenizer.ggml.token_type", &types);
    if (!gguf_array_count(f->g, "tokenizer.ggml.tokens", &count) ||
        count > (size_t)f->f.vocab_count || (f->typed && types != count)) {
        (void)fail(&f->f,
                   "tokenizer.ggml.tokens has more entries than the text embedding has rows, or "
                   "not as many as token_type");
        return;
    }
    if (!gguf_array_count(f->g, "tokenizer.ggml.merges", &merges) || merges > MERGE_CAP) {
        (void)fail(&f->f, "tokenizer.ggml.merges is missing or too long");
        return;
    }
    bool ignore_merges = true; /* what every reader of GGUF does (backbone.md 4.4) */
    if (gguf_bool(f->g, "runnel.tokenizer.ignore_merges", &ignore_merges))
        bpe_set_ignore_merges(f->f.b, ignore_merges);
    if (!gguf_each_string(f->g, "tokenizer.ggml.tokens", add_gguf_token, f) ||
        !gguf_each_string(f->g, "tokenizer.ggml.merges", add_gguf_merge, f))
        (void)fail(&f->f, "tokenizer.ggml.tokens or merges is no list of strings");
}

rnl_status bpe_from_gguf(const gguf *g, int vocab_count, bpe **out, rnl_error *error) {
    gguf_filling f = {.f = {.path = gguf_path(g), .vocab_count = vocab_count, .error = error},
                      .g = g};
    if (bpe_create(vocab_count, &f.f.b) != RNL_OK)
        (void)no_memory(&f.f);
    else
        fill_from_gguf(&f);
    return finish(&f.f, out);
}

typedef struct lists {
    const char **texts;
    size_t *sizes;
    int32_t *types;
    char *placeholders; /* [count, PLACEHOLDER_CAP] */
} lists;

enum { PLACEHOLDER_CAP = 24 };

static void put_tokens(const bpe *b, gguf_writer *w, lists *l, size_t count) {
    for (size_t i = 0; i < count; i++) {
        bpe_kind kind = BPE_UNUSED;
        l->texts[i] = bpe_token_text(b, (int32_t)i, &l->sizes[i], &kind);
        l->types[i] = (int32_t)kind;
        if (l->texts[i] != NULL) continue;
        char *text = l->placeholders + i * PLACEHOLDER_CAP;
        l->sizes[i] = (size_t)snprintf(text, PLACEHOLDER_CAP, "<|unused_%zu|>", i);
        l->texts[i] = text;
    }
    gguf_put_string_array(w, "tokenizer.ggml.tokens", l->texts, l->sizes, count);
    gguf_put_i32_array(w, "tokenizer.ggml.token_type", l->types, count);
}

static void put_special(const bpe *b, gguf_writer *w, const char *key, const char *text) {
    const int32_t id = bpe_find_special(b, text);
    if (id >= 0) gguf_put_u32(w, key, (uint32_t)id);
}

rnl_status bpe_to_gguf(const bpe *b, gguf_writer *w) {
    const size_t tokens = (size_t)bpe_token_cap(b), merges = bpe_merge_count(b);
    const size_t count = tokens > merges ? tokens : merges;
    lists l = {.texts = calloc(count + 1, sizeof *l.texts),
               .sizes = calloc(count + 1, sizeof *l.sizes),
               .types = calloc(count + 1, sizeof *l.types),
               .placeholders = malloc(tokens * PLACEHOLDER_CAP + 1)};
    const bool ready =
        l.texts != NULL && l.sizes != NULL && l.types != NULL && l.placeholders != NULL;
    if (ready) {
        gguf_put_string(w, "tokenizer.ggml.model", "gpt2", 4);
        gguf_put_string(w, "tokenizer.ggml.pre", "lfm2", 4);
        put_tokens(b, w, &l, tokens);
        for (size_t i = 0; i < merges; i++) l.texts[i] = bpe_merge_text(b, i, &l.sizes[i]);
        gguf_put_string_array(w, "tokenizer.ggml.merges", l.texts, l.sizes, merges);
        put_special(b, w, "tokenizer.ggml.bos_token_id", "<|startoftext|>");
        put_special(b, w, "tokenizer.ggml.eos_token_id", "<|im_end|>");
        put_special(b, w, "tokenizer.ggml.padding_token_id", "<|pad|>");
        gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true);
        gguf_put_bool(w, "tokenizer.ggml.add_sep_token", false);
        gguf_put_bool(w, "tokenizer.ggml.add_eos_token", false);
        gguf_put_bool(w, "runnel.tokenizer.ignore_merges", bpe_ignores_merges(b));
    }
    free(l.texts);
    free(l.sizes);
    free(l.types);
    free(l.placeholders);
    return ready ? RNL_OK : RNL_ERR_MEMORY;
}
