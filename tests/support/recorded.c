#include "tests/support/recorded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "tests/support/folder.h"

static void add(recorded *r, const char *bytes, size_t size) {
    r->body = realloc(r->body, r->size + size + 1);
    assert_non_null(r->body);
    memcpy(r->body + r->size, bytes, size);
    r->size += size;
}

/* Bytes without CR LF, so that the recording's own lines stay what they were. */
static void add_noise(recorded *r, size_t size) {
    random_state random;
    random_seed(&random, size);
    char *noise = malloc(size + 1);
    assert_non_null(noise);
    for (size_t i = 0; i < size; i++) {
        noise[i] = (char)random_u64(&random);
        if (noise[i] == '\n') noise[i] = '-';
    }
    add(r, noise, size);
    free(noise);
}

static void read_head(recorded *r, const char *line) {
    unsigned long long length;
    (void)sscanf(line, "Content-Type: %255[^\n]", r->content_type);
    (void)sscanf(line, "content-type: %255[^\n]", r->content_type);
    if (sscanf(line, "Content-Length: %llu", &length) == 1) r->content_length = (size_t)length;
}

void recorded_read(const char *name, recorded *r) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/serve/requests/%s", TEST_DATA, name);
    memset(r, 0, sizeof *r);
    size_t size;
    char *text = (char *)read_whole(path, &size);
    text[size] = '\0';
    bool head = true, first = true;
    for (char *line = text, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) *next++ = '\0';
        if (head) {
            read_head(r, line);
            head = line[0] != '\0';
            continue;
        }
        unsigned long long count;
        if (!first) add(r, "\r\n", 2);
        first = false;
        if (sscanf(line, "<%llu bytes>", &count) == 1)
            add_noise(r, (size_t)count);
        else
            add(r, line, strlen(line));
    }
    free(text);
}

void recorded_free(recorded *r) {
    free(r->body);
    memset(r, 0, sizeof *r);
}
