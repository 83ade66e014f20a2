/* Wyoming's framing, without sockets: a line of JSON that names the event, `data_length` bytes of
 * JSON behind it, `payload_length` bytes of anything behind that.
 *
 *   bytes --> wyoming_reader --> event, pieces of its payload
 *   event, data, payload --> wyoming_write_head --> bytes
 *
 * What the events mean is wyoming.h's. */
#ifndef SERVE_WYOMING_FRAME_H
#define SERVE_WYOMING_FRAME_H

#include "core/json.h"
#include "serve/limits.h"

enum { WYOMING_HEAD_CAP = 160 }; /* bytes of the lines that we write */

typedef struct wyoming_reader wyoming_reader;

/* Allocates the room for one line and its data. RNL_ERR_MEMORY; *out is then NULL. */
RNL_MUST_USE rnl_status wyoming_reader_create(wyoming_reader **out);
void wyoming_reader_destroy(wyoming_reader **r); /* NULL is fine; sets NULL */

typedef enum wyoming_got {
    WYOMING_MORE,    /* all bytes are taken and nothing is complete */
    WYOMING_EVENT,   /* an event: wyoming_type, wyoming_field; its payload follows */
    WYOMING_PAYLOAD, /* bytes of the last event's payload: wyoming_piece */
    WYOMING_BROKEN   /* no Wyoming: a line that is too long or no JSON, a length that is none;
                        nothing but destroy may follow */
} wyoming_got;

/* Takes bytes until something is there; *taken of size. Call again with the rest. One thread. */
wyoming_got wyoming_read(wyoming_reader *r, const char *bytes, size_t size, size_t *taken);

/* Of the last event, until the next one is begun. */
const char *wyoming_type(const wyoming_reader *r);
size_t wyoming_payload_size(const wyoming_reader *r); /* of the whole payload */
/* A field of the event: of the data behind the line, else of the line's own `data`. NULL: none. */
const json *wyoming_field(const wyoming_reader *r, const char *key);
/* The bytes of WYOMING_PAYLOAD: they lie in what the last wyoming_read was given. */
const char *wyoming_piece(const wyoming_reader *r, size_t *size);

/* The line before data_size bytes of data and payload_size bytes of payload, as the package
 * `wyoming` 1.10.2 writes it; returns its size, less than WYOMING_HEAD_CAP. type: one of ours. */
size_t wyoming_write_head(char out[WYOMING_HEAD_CAP], const char *type, size_t data_size,
                          size_t payload_size);

#endif
