/* Split GGUF: NAME-00001-of-00003.gguf and so on, as llama-gguf-split writes them. Every part is a
 * whole file with tensors of its own and the keys split.no (from 0), split.count and
 * split.tensors.count; all other keys are in the first. Any part may be named; what comes out is
 * one file. A count of 0 or 1 is what joined files and splits of one part keep. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/gguf_inner.h"
#include "core/status.h"

enum { PART_CAP = 1024, ENDING_SIZE = 20 /* "-00001-of-00003.gguf" */ };

size_t gguf_split_stem(const char *path, int *number, int *count) {
    const size_t size = strlen(path);
    const char *ending = path + size - ENDING_SIZE;
    char again[64];
    int used = 0;
    if (size <= ENDING_SIZE || sscanf(ending, "-%5d-of-%5d.gguf%n", number, count, &used) != 2)
        return 0;
    (void)snprintf(again, sizeof again, "-%05d-of-%05d.gguf", *number, *count);
    return used == ENDING_SIZE && strcmp(ending, again) == 0 ? size - ENDING_SIZE : 0;
}

/* The split keys of one part; which: its number, from 1. */
static rnl_status check_part(const gguf *g, int which, int count, rnl_error *error) {
    int64_t number, parts;
    if (gguf_int(g, "split.no", 0, PART_CAP, &number) && number == which - 1 &&
        gguf_int(g, "split.count", 2, PART_CAP, &parts) && parts == count)
        return RNL_OK;
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: split.no and split.count are not those of part %d of %d; the parts do "
                       "not belong together, download them again",
                       gguf_path(g), which, count);
}

/* All parts but the one at hand, g, which takes its place among them. */
static rnl_status open_parts(gguf *g, size_t stem, int which, int count, gguf **parts,
                             rnl_error *error) {
    const char *path = gguf_path(g);
    char *name = malloc(stem + ENDING_SIZE + 1);
    if (name == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    rnl_status status = check_part(g, which, count, error);
    for (int i = 1; i <= count && status == RNL_OK; i++) {
        if (i == which) continue;
        (void)snprintf(name, stem + ENDING_SIZE + 1, "%.*s-%05d-of-%05d.gguf", (int)stem, path, i,
                       count);
        if (access(name, F_OK) != 0)
            status =
                status_fail(error, RNL_ERR_IO,
                            "%s: this part of the split GGUF file is missing; put all %d parts "
                            "into one folder",
                            name, count);
        if (status == RNL_OK) status = gguf_open_one(name, &parts[i - 1], error);
        if (status == RNL_OK) status = check_part(parts[i - 1], i, count, error);
    }
    free(name);
    return status;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const tensor *const *)a)->name, (*(const tensor *const *)b)->name);
}

static rnl_status check_names(const gguf *g, rnl_error *error) {
    const tensor **order = calloc(g->tensor_count + 1, sizeof *order);
    if (order == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", g->path);
    for (size_t i = 0; i < g->tensor_count; i++) order[i] = &g->tensors[i];
    qsort(order, g->tensor_count, sizeof *order, by_name);
    rnl_status status = RNL_OK;
    for (size_t i = 1; i < g->tensor_count && status == RNL_OK; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            status = status_fail(error, RNL_ERR_FORMAT,
                                 "%s: tensor '%s' is in two parts of the split file; download them "
                                 "again",
                                 g->path, order[i]->name);
    free(order);
    return status;
}

/* The tensors of all parts, in order, become those of the first. */
static rnl_status join_tensors(gguf *first, gguf *const *parts, int count, rnl_error *error) {
    size_t total = 0, at = 0;
    for (int i = 0; i < count; i++) total += parts[i]->tensor_count;
    int64_t wanted;
    if (gguf_has(first, "split.tensors.count") &&
        (!gguf_int(first, "split.tensors.count", 0, INT32_MAX, &wanted) ||
         (uint64_t)wanted != total))
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: the parts hold %zu tensors, which split.tensors.count does not "
                           "say; they do not belong together, download them again",
                           first->path, total);
    if (total > GGUF_TENSOR_CAP)
        return status_fail(error, RNL_ERR_FORMAT, "%s: %zu tensors in all parts are too many",
                           first->path, total);
    tensor *all = calloc(total + 1, sizeof *all);
    if (all == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", first->path);
    for (int i = 0; i < count; i++) {
        if (parts[i]->tensor_count > 0)
            memcpy(all + at, parts[i]->tensors, parts[i]->tensor_count * sizeof *all);
        at += parts[i]->tensor_count;
    }
    free(first->tensors);
    first->tensors = all;
    first->tensor_count = total;
    return check_names(first, error);
}

rnl_status gguf_join(gguf **g, rnl_error *error) {
    int64_t parts_said;
    int which, count;
    if (!gguf_has(*g, "split.count")) return RNL_OK;
    if (!gguf_int(*g, "split.count", 0, PART_CAP, &parts_said))
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: split.count is no number up to %d; the file is damaged",
                           gguf_path(*g), PART_CAP);
    if (parts_said < 2) return RNL_OK;
    const size_t stem = gguf_split_stem(gguf_path(*g), &which, &count);
    if (stem == 0 || count != parts_said || which < 1 || which > count)
        return status_fail(error, RNL_ERR_FORMAT,
                           "%s: this is a part of a split GGUF file, and its name does not end as "
                           "in NAME-00001-of-%05lld.gguf; give all parts their names back",
                           gguf_path(*g), (long long)parts_said);
    gguf **parts = calloc((size_t)count, sizeof *parts);
    if (parts == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", gguf_path(*g));
    rnl_status status = open_parts(*g, stem, which, count, parts, error);
    gguf *own = *g;
    parts[which - 1] = own;
    if (status == RNL_OK) status = join_tensors(parts[0], parts, count, error);
    /* The first owns the others from here on; or, when that failed, whichever there is. */
    *g = parts[0] != NULL ? parts[0] : own;
    if (parts[0] == NULL) parts[0] = own, parts[which - 1] = NULL;
    (*g)->parts = parts;
    (*g)->part_count = (size_t)count;
    return status;
}
