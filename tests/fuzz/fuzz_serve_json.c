/* Bytes as calls of the JSON writer, and what it wrote read again: events whose JSON is the values
 * that were given, in a buffer of any size. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/json_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct feed {
    const uint8_t *data;
    size_t size, at;
} feed;

static uint8_t next(feed *f) {
    return f->at < f->size ? f->data[f->at++] : 0;
}

/* Bytes of the input itself. */
static const char *some(feed *f, size_t *size) {
    *size = next(f) % 64;
    if (*size > f->size - f->at) *size = f->size - f->at;
    const char *text = (const char *)f->data + f->at;
    f->at += *size;
    return text;
}

static void write_value(feed *f, json_out *o, const char *key, int depth) {
    static const char *const keys[] = {"a", "\"", "\xff", "d"};
    size_t size;
    const uint8_t kind = next(f) % (depth < 8 ? 9 : 7);
    const char *text = some(f, &size);
    double number = 0;
    switch (kind) {
    case 0:
        json_out_text(o, key, text, size);
        break;
    case 1:
        json_out_base64(o, key, text, size);
        break;
    case 2:
        json_out_int(o, key, (int64_t)((uint64_t)size << (next(f) % 64)));
        break;
    case 3:
        memcpy(&number, text, size < sizeof number ? size : sizeof number);
        json_out_number(o, key, number);
        break;
    case 4:
        json_out_bool(o, key, size % 2 != 0);
        break;
    case 5:
        json_out_null(o, key);
        break;
    case 6:
        json_out_text_open(o, key);
        json_out_text_more(o, text, size / 2);
        json_out_text_more(o, text + size / 2, size - size / 2);
        json_out_text_close(o);
        break;
    default:
        if (kind == 7)
            json_out_array(o, key);
        else
            json_out_object(o, key);
        for (int i = 0; i < (int)(size % 4); i++)
            write_value(f, o, kind == 7 ? NULL : keys[i], depth + 1);
        json_out_end(o);
    }
}

static void write_event(feed *f, json_out *o) {
    json_out_event_open(o);
    json_out_object(o, NULL);
    write_value(f, o, "value", 0);
    json_out_end(o);
    json_out_event_close(o);
}

static char *copy_of(const char *text, size_t size, size_t *copy_size) {
    json *root;
    json_out o;
    rnl_error error;
    if (json_parse(text, size, "written", &root, &error) != RNL_OK) abort();
    json_out_begin_growing(&o, 1 << 20);
    json_in_copy(root, &o, NULL);
    json_destroy(&root);
    char *copy = json_out_take(&o, copy_size);
    if (copy == NULL) abort();
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_out whole, part;
    feed f = {data, size, 0};
    json_out_begin_growing(&whole, 1 << 20);
    write_event(&f, &whole);
    if (!json_out_whole(&whole) || memcmp(whole.text, "data: {", 7) != 0) abort();
    if (memcmp(whole.text + whole.size - 3, "}\n\n", 3) != 0) abort();
    if (memchr(whole.text, '\n', whole.size - 2) != NULL) abort(); /* one line */
    /* A copy of what was read is the same from then on. */
    size_t first_size, second_size;
    char *first = copy_of(whole.text + 6, whole.size - 8, &first_size);
    char *second = copy_of(first, first_size, &second_size);
    if (first_size != second_size || memcmp(first, second, first_size) != 0) abort();
    free(first);
    free(second);
    /* In a buffer that is too small nothing is written behind its end. */
    char *text = malloc(whole.size);
    if (text == NULL) abort();
    const size_t cap = size > 0 ? data[size - 1] % whole.size : 0;
    f.at = 0;
    json_out_begin(&part, text, cap);
    write_event(&f, &part);
    if (json_out_whole(&part) || part.size > cap) abort();
    free(text);
    json_out_free(&whole);
    return 0;
}
