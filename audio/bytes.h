/* Bytes as they come out of a descriptor, with a look ahead: a pipe cannot be wound back. */
#ifndef AUDIO_BYTES_H
#define AUDIO_BYTES_H

#include <runnel/runnel.h>

enum { BYTES_CAP = 65536 };

typedef struct bytes {
    int fd;         /* borrowed */
    size_t at, end; /* what is buffered and not taken yet: data[at, end) */
    int fault;      /* errno of a read that failed, or 0; nothing is read after it */
    bool ended;     /* the descriptor gave its end */
    unsigned char data[BYTES_CAP];
} bytes;

void bytes_begin(bytes *b, int fd);
/* Gathers bytes until `wanted` (<= BYTES_CAP) are buffered or the stream ends; returns how many
 * are there, at *data. They are not taken. */
size_t bytes_peek(bytes *b, size_t wanted, const unsigned char **data);
/* Takes up to size bytes; fewer only at the end. Returns how many. */
size_t bytes_take(bytes *b, void *out, size_t size);
/* Takes and drops; false when the stream ends before. */
bool bytes_skip(bytes *b, uint64_t size);

#endif
