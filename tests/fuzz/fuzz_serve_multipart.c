/* Any bytes as a multipart body, whole and in pieces: the same parts either way, within the limits,
 * or the same refusal. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct told {
    uint64_t hash;
    int parts, ends;
    size_t size;
} told;

static void tell(told *t, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) t->hash = (t->hash ^ (uint8_t)bytes[i]) * 1099511628211u;
}

static bool on_begin(void *context, const multipart_part *part) {
    told *t = context;
    if (t->parts != t->ends || ++t->parts > MULTIPART_PART_CAP) abort();
    if (part->name[0] == '\0' || (!part->is_file && part->file[0] != '\0')) abort();
    tell(t, part->name, strlen(part->name));
    tell(t, part->file, strlen(part->file));
    tell(t, part->type, strlen(part->type));
    t->size = 0;
    return true;
}

static bool on_data(void *context, const char *bytes, size_t size) {
    told *t = context;
    if (size == 0 || t->parts != t->ends + 1) abort();
    t->size += size;
    tell(t, bytes, size);
    return true;
}

static bool on_end(void *context) {
    told *t = context;
    if (t->parts != ++t->ends) abort();
    tell(t, "]", 1);
    return true;
}

static multipart_fault scan(const char *boundary, const char *body, size_t size, size_t step,
                            told *t) {
    static multipart m;
    multipart_begin(&m, boundary, &(multipart_sink){on_begin, on_data, on_end, t});
    for (size_t at = 0; at < size; at += step)
        (void)multipart_push(&m, body + at, size - at < step ? size - at : step);
    return multipart_finish(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char boundary[MULTIPART_BOUNDARY_CAP + 1];
    if (size < 2) return 0;
    const size_t step = 1 + data[0] % 16, head = data[1] % 64 < size - 2 ? data[1] % 64 : 0;
    const char *body = (const char *)data + 2 + head;
    /* The first bytes are a content type, or the boundary is the one that the corpus has. */
    if (!multipart_boundary((const char *)data + 2, head, boundary)) strcpy(boundary, "b");
    told whole = {0}, cut = {0};
    const multipart_fault a = scan(boundary, body, size - 2 - head, size, &whole);
    const multipart_fault b = scan(boundary, body, size - 2 - head, step, &cut);
    if (a != b || whole.ends != cut.ends || whole.parts != cut.parts) abort();
    if (a == MULTIPART_NONE && whole.hash != cut.hash) abort();
    return 0;
}
