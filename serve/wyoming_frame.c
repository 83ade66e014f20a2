#include "serve/wyoming_frame.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum part { PART_LINE, PART_DATA, PART_PAYLOAD } part;

struct wyoming_reader {
    part part;
    size_t data_size, payload_size; /* of the event under way */
    size_t count;                   /* bytes of the part under way */
    json *line, *data;              /* parsed; data is NULL when nothing lies behind the line */
    const char *type;               /* the line's */
    const char *piece;
    size_t piece_size;
    char line_text[LIMIT_WYOMING_LINE_SIZE];
    char data_text[LIMIT_WYOMING_DATA_SIZE];
};

rnl_status wyoming_reader_create(wyoming_reader **out) {
    /* Not cleared: most connections never touch most of the room for data. */
    wyoming_reader *r = *out = malloc(sizeof *r);
    if (r == NULL) return RNL_ERR_MEMORY;
    r->part = PART_LINE;
    r->data_size = r->payload_size = r->count = r->piece_size = 0;
    r->line = r->data = NULL;
    r->type = r->piece = NULL;
    return RNL_OK;
}

void wyoming_reader_destroy(wyoming_reader **r) {
    if (*r == NULL) return;
    json_destroy(&(*r)->line);
    json_destroy(&(*r)->data);
    free(*r);
    *r = NULL;
}

/* Moves bytes behind what the part holds, to at most `end` bytes of it; returns how many. */
static size_t keep(wyoming_reader *r, char *to, size_t end, const char *bytes, size_t size) {
    const size_t wanted = end - r->count, moved = size < wanted ? size : wanted;
    if (moved > 0) memcpy(to + r->count, bytes, moved);
    r->count += moved;
    return moved;
}

/* A length of the line: absent and null are 0. False: it is none, or more than cap. */
static bool read_length(const json *line, const char *key, size_t cap, size_t *out) {
    const json *v = json_get(line, key);
    int64_t value = 0;
    if (!json_is_null(v) && !json_int(v, 0, (int64_t)cap, &value)) return false;
    *out = (size_t)value;
    return true;
}

static bool parse_line(wyoming_reader *r) {
    json_destroy(&r->line);
    json_destroy(&r->data);
    if (json_parse(r->line_text, r->count, "line", &r->line, NULL) != RNL_OK) return false;
    size_t size;
    r->type = json_chars(json_get(r->line, "type"), &size);
    if (r->type == NULL || strlen(r->type) != size) return false;
    const json *own = json_get(r->line, "data");
    return (json_is_null(own) || json_is_object(own)) &&
           read_length(r->line, "data_length", LIMIT_WYOMING_DATA_SIZE, &r->data_size) &&
           read_length(r->line, "payload_length", LIMIT_WYOMING_PAYLOAD_SIZE, &r->payload_size);
}

static bool parse_data(wyoming_reader *r) {
    return json_parse(r->data_text, r->count, "data", &r->data, NULL) == RNL_OK &&
           json_is_object(r->data);
}

static void go_on_with(wyoming_reader *r, part next) {
    r->part = next;
    r->count = 0;
}

/* The event is read up to its payload. */
static wyoming_got begin_payload(wyoming_reader *r) {
    go_on_with(r, r->payload_size > 0 ? PART_PAYLOAD : PART_LINE);
    return WYOMING_EVENT;
}

static wyoming_got take_line(wyoming_reader *r, const char *bytes, size_t size, size_t *taken) {
    const char *end = memchr(bytes, '\n', size);
    const size_t wanted = end != NULL ? (size_t)(end - bytes) : size;
    if (keep(r, r->line_text, LIMIT_WYOMING_LINE_SIZE, bytes, wanted) < wanted)
        return WYOMING_BROKEN;
    *taken = wanted + (end != NULL ? 1 : 0);
    if (end == NULL) return WYOMING_MORE;
    if (!parse_line(r)) return WYOMING_BROKEN;
    if (r->data_size == 0) return begin_payload(r);
    go_on_with(r, PART_DATA);
    return WYOMING_MORE;
}

static wyoming_got take_data(wyoming_reader *r, const char *bytes, size_t size, size_t *taken) {
    *taken = keep(r, r->data_text, r->data_size, bytes, size);
    if (r->count < r->data_size) return WYOMING_MORE;
    return parse_data(r) ? begin_payload(r) : WYOMING_BROKEN;
}

static wyoming_got take_payload(wyoming_reader *r, const char *bytes, size_t size, size_t *taken) {
    const size_t left = r->payload_size - r->count;
    r->piece = bytes;
    r->piece_size = *taken = size < left ? size : left;
    r->count += *taken;
    if (r->count == r->payload_size) go_on_with(r, PART_LINE);
    return WYOMING_PAYLOAD;
}

wyoming_got wyoming_read(wyoming_reader *r, const char *bytes, size_t size, size_t *taken) {
    *taken = 0;
    while (*taken < size) {
        const char *from = bytes + *taken;
        size_t count = 0;
        const wyoming_got got = r->part == PART_LINE ? take_line(r, from, size - *taken, &count)
                                : r->part == PART_DATA
                                    ? take_data(r, from, size - *taken, &count)
                                    : take_payload(r, from, size - *taken, &count);
        *taken += count;
        if (got != WYOMING_MORE) return got;
    }
    return WYOMING_MORE;
}

const char *wyoming_type(const wyoming_reader *r) {
    assert(r->type != NULL);
    return r->type;
}

size_t wyoming_payload_size(const wyoming_reader *r) {
    return r->payload_size;
}

const json *wyoming_field(const wyoming_reader *r, const char *key) {
    const json *behind = json_get(r->data, key);
    return behind != NULL ? behind : json_get(json_get(r->line, "data"), key);
}

const char *wyoming_piece(const wyoming_reader *r, size_t *size) {
    *size = r->piece_size;
    return r->piece;
}

size_t wyoming_write_head(char out[WYOMING_HEAD_CAP], const char *type, size_t data_size,
                          size_t payload_size) {
    char data[48] = "", payload[48] = "";
    if (data_size > 0) (void)snprintf(data, sizeof data, ", \"data_length\": %zu", data_size);
    if (payload_size > 0)
        (void)snprintf(payload, sizeof payload, ", \"payload_length\": %zu", payload_size);
    const int size =
        snprintf(out, WYOMING_HEAD_CAP, "{\"type\": \"%s\", \"version\": \"1.10.2\"%s%s}\n", type,
                 data, payload);
    assert(size > 0 && size < WYOMING_HEAD_CAP);
    return (size_t)size;
}
