/* See bytes.h. A read that a signal interrupts is a fault, not tried again: the program wants to
 * end then, and a pipe may be silent for ever. */
#include "audio/bytes.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

void bytes_begin(bytes *b, int fd) {
    b->fd = fd;
    b->at = b->end = 0;
    b->fault = 0;
    b->ended = false;
}

static void fill(bytes *b) {
    const ssize_t got = read(b->fd, b->data + b->end, BYTES_CAP - b->end);
    if (got > 0) {
        b->end += (size_t)got;
        return;
    }
    b->ended = true;
    if (got < 0) b->fault = errno;
}

size_t bytes_peek(bytes *b, size_t wanted, const unsigned char **data) {
    assert(wanted <= BYTES_CAP);
    if (b->at > 0 && b->end - b->at < wanted) {
        memmove(b->data, b->data + b->at, b->end - b->at);
        b->end -= b->at;
        b->at = 0;
    }
    while (b->end - b->at < wanted && !b->ended) fill(b);
    *data = b->data + b->at;
    return b->end - b->at;
}

size_t bytes_take(bytes *b, void *out, size_t size) {
    size_t taken = 0;
    while (taken < size) {
        const unsigned char *data;
        size_t part = bytes_peek(b, 1, &data);
        if (part == 0) break;
        if (part > size - taken) part = size - taken;
        memcpy((unsigned char *)out + taken, data, part);
        b->at += part;
        taken += part;
    }
    return taken;
}

bool bytes_skip(bytes *b, uint64_t size) {
    while (size > 0) {
        const unsigned char *data;
        const size_t there = bytes_peek(b, 1, &data);
        if (there == 0) return false;
        const size_t part = there < size ? there : (size_t)size;
        b->at += part;
        size -= part;
    }
    return true;
}
