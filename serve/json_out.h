/* JSON written into a buffer of bounded size: events, answers and what goes over as server-sent
 * events. Nothing is looked at twice, nothing needs a tree.
 *
 *     json_out_begin(&o, text, sizeof text);
 *     json_out_object(&o, NULL);
 *     json_out_word(&o, "type", "response.created");
 *     json_out_object(&o, "response"); ... json_out_end(&o);
 *     json_out_end(&o);
 *     if (json_out_whole(&o)) send(o.text, o.size);
 *
 * A value that does not fit, or memory that cannot be had, makes the writer full: from there on it
 * writes nothing and json_out_whole says so; the caller looks once, at the end. key is the name of
 * a member within an object and NULL within an array and at the top. One thread at a time. */
#ifndef SERVE_JSON_OUT_H
#define SERVE_JSON_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_OUT_DEPTH_CAP = 32 }; /* objects and arrays within each other; more is a bug */

typedef struct json_out {
    char *text;   /* [size], never terminated */
    size_t size;  /* bytes written */
    size_t cap;   /* bytes of text */
    size_t limit; /* bytes it may grow to; cap: it is the caller's and does not grow */
    bool grows, full;
    int depth;
    bool array[JSON_OUT_DEPTH_CAP];  /* what is open at each depth, */
    bool filled[JSON_OUT_DEPTH_CAP]; /* and whether it has a member */
} json_out;

/* Writes into memory of the caller. */
void json_out_begin(json_out *o, char *text, size_t cap);
/* Writes into memory of its own, allocated as needed, at most limit bytes; json_out_free() it. */
void json_out_begin_growing(json_out *o, size_t limit);
void json_out_free(json_out *o); /* of either kind, begun or zeroed; o is then empty */
/* Begins anew in the same memory. */
void json_out_clear(json_out *o);
/* Of a growing one: the text, which is the caller's to free(), and o begins anew. NULL: it is not
 * whole, or empty. */
char *json_out_take(json_out *o, size_t *size);
/* All that was written fits, and all that was opened is closed. */
bool json_out_whole(const json_out *o);

void json_out_object(json_out *o, const char *key);
void json_out_array(json_out *o, const char *key);
void json_out_end(json_out *o); /* of the object or array opened last */

/* A text of any bytes: what is no UTF-8 becomes U+FFFD. */
void json_out_text(json_out *o, const char *key, const char *text, size_t size);
void json_out_word(json_out *o, const char *key, const char *text); /* terminated; NULL is null */
void json_out_int(json_out *o, const char *key, int64_t value);
void json_out_number(json_out *o, const char *key, double value); /* not finite: null */
void json_out_bool(json_out *o, const char *key, bool value);
void json_out_null(json_out *o, const char *key);
/* The bytes as a text of base64, with padding. */
void json_out_base64(json_out *o, const char *key, const void *bytes, size_t size);
/* Members of a token of a model's text: "token", "bytes" (null where it is none of the text's) and
 * "logprob", in millionths, as OpenAI's servers tell them. */
void json_out_logprob(json_out *o, const char *bytes, size_t size, bool is_text, double logprob);
/* Text that is JSON already: one value. */
void json_out_raw(json_out *o, const char *key, const char *text, size_t size);

/* A text in pieces: open, then any number of more, then close. A character that is cut between two
 * pieces becomes U+FFFD, so cut at whole ones. */
void json_out_text_open(json_out *o, const char *key);
void json_out_text_more(json_out *o, const char *text, size_t size);
void json_out_text_close(json_out *o);

/* Server-sent events: what is written between the two is the JSON of one event. */
void json_out_event_open(json_out *o);  /* "data: " */
void json_out_event_close(json_out *o); /* two line ends */
#define JSON_OUT_EVENTS_DONE "data: [DONE]\n\n"
#define JSON_OUT_EVENTS_ALIVE ": \n\n" /* a comment: proxies see that somebody is there */

/* Bytes of base64 of so many bytes, padding included. */
static inline size_t json_out_base64_size(size_t size) {
    return (size + 2) / 3 * 4;
}

#endif
