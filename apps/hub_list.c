#include "apps/hub_list.h"

#include <stdlib.h>
#include <string.h>

#include "apps/hub_name.h"
#include "core/json.h"
#include "core/status.h"

/* No file of a model is larger; sums of so many sizes stay far from overflow. */
#define FILE_SIZE_MAX (INT64_C(1) << 44)

static bool bad(rnl_error *error, const char *name, const char *why) {
    (void)status_fail(error, RNL_ERR_FORMAT, "%s: the hub's listing cannot be used: %s", name, why);
    return false;
}

/* The sum that the file must have: of its content when it is large, else git's. */
static bool read_sum(const json *entry, hub_file *f) {
    size_t size = 0;
    const json *lfs = json_get(entry, "lfs");
    int64_t lfs_size;
    const bool large = !json_is_null(lfs);
    const char *hex = json_chars(json_get(large ? lfs : entry, "oid"), &size);
    if (hex == NULL || !hub_is_hex(hex, size, large ? DIGEST_SHA256_HEX : DIGEST_GIT_HEX))
        return false;
    if (large &&
        (!json_int(json_get(lfs, "size"), 0, FILE_SIZE_MAX, &lfs_size) || lfs_size != f->size))
        return false;
    memcpy(f->blob, hex, size + 1);
    f->kind = large ? DIGEST_SHA256 : DIGEST_GIT_BLOB;
    return true;
}

static bool add_entry(hub_list *l, const json *entry, const char *name, rnl_error *error) {
    hub_file f = {0};
    size_t type_size, size = 0;
    const char *type = json_chars(json_get(entry, "type"), &type_size);
    const char *path = json_chars(json_get(entry, "path"), &size);
    if (type == NULL || path == NULL) return bad(error, name, "an entry has no type or no path");
    if (!hub_path_is_safe(path, size))
        return bad(error, name,
                   "it names a file outside of the model's folder, or with a name that no file "
                   "should have; nothing was fetched");
    if (strcmp(type, "file") != 0) return true;
    if (!json_int(json_get(entry, "size"), 0, FILE_SIZE_MAX, &f.size))
        return bad(error, name, "a file has no size");
    if (!read_sum(entry, &f))
        return bad(error, name, "a file has no sum to check it by, or two sizes");
    if (l->count == l->cap) {
        const size_t cap = l->cap > 0 ? 2 * l->cap : 64;
        hub_file *grown = realloc(l->files, cap * sizeof *grown);
        if (grown == NULL) return bad(error, name, "memory is exhausted");
        l->files = grown;
        l->cap = cap;
    }
    f.path = strdup(path);
    if (f.path == NULL) return bad(error, name, "memory is exhausted");
    l->files[l->count++] = f;
    return true;
}

bool hub_list_add(hub_list *l, const char *text, size_t size, const char *name, rnl_error *error) {
    json *page = NULL;
    rnl_error fault = {0};
    bool good = json_parse(text, size, name, &page, &fault) == RNL_OK && json_is_array(page);
    if (!good) (void)bad(error, name, "it is no JSON array");
    for (size_t i = 0; good && i < json_count(page); i++)
        good = add_entry(l, json_at(page, i), name, error);
    json_destroy(&page);
    return good;
}

void hub_list_free(hub_list *l) {
    for (size_t i = 0; i < l->count; i++) free(l->files[i].path);
    free(l->files);
    *l = (hub_list){0};
}

/* Copies a string of the hub; what a terminal could obey becomes '?'. */
static void copy_clean(char *out, size_t cap, const json *value) {
    size_t size = 0;
    const char *text = json_chars(value, &size);
    if (text == NULL || size >= cap) size = 0;
    for (size_t i = 0; i < size; i++)
        out[i] =
            (char)((unsigned char)text[i] < 0x20 || (unsigned char)text[i] > 0x7e ? '?' : text[i]);
    out[size] = '\0';
}

bool hub_info_parse(hub_info *out, const char *text, size_t size, const char *repo,
                    rnl_error *error) {
    json *root = NULL;
    rnl_error fault = {0};
    *out = (hub_info){0};
    const bool parsed = json_parse(text, size, repo, &root, &fault) == RNL_OK;
    copy_clean(out->commit, sizeof out->commit, json_get(root, "sha"));
    const json *card = json_get(root, "cardData");
    const json *name = json_get(card, "license_name");
    copy_clean(out->licence, sizeof out->licence,
               json_is_string(name) ? name : json_get(card, "license"));
    copy_clean(out->licence_link, sizeof out->licence_link, json_get(card, "license_link"));
    json_destroy(&root);
    const bool told = out->licence[0] != '\0' && strcmp(out->licence, "other") != 0;
    out->licence_is_lfm = told ? strncmp(out->licence, "lfm", 3) == 0
                               : strncmp(repo, "LiquidAI/", strlen("LiquidAI/")) == 0;
    if (parsed && hub_is_commit(out->commit)) return true;
    (void)status_fail(error, RNL_ERR_FORMAT,
                      "%s: the hub's answer names no commit of it; is HF_ENDPOINT a model hub?",
                      repo);
    return false;
}
