/* Requests of the official client, as tests/data/serve/requests holds them: the head as it was
 * sent, the body with parts that are no text as "<N bytes>". Here such a part becomes N bytes of
 * noise, so that the body is as long as the client said. */
#ifndef TESTS_SUPPORT_RECORDED_H
#define TESTS_SUPPORT_RECORDED_H

#include <stddef.h>

typedef struct recorded {
    char content_type[256]; /* "" without one */
    size_t content_length;  /* as sent */
    char *body;
    size_t size;
} recorded;

/* Reads the file of that name; fails the test when it cannot. recorded_free() it. */
void recorded_read(const char *name, recorded *r);
void recorded_free(recorded *r);

#endif
