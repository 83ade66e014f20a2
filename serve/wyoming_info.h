/* What a Wyoming server tells about itself: the data of the event `info`. */
#ifndef SERVE_WYOMING_INFO_H
#define SERVE_WYOMING_INFO_H

#include <stdbool.h>
#include <stddef.h>

typedef struct wyoming_about {
    const char *model;            /* the name that other requests use too */
    bool hears, speaks;           /* else there is no such program */
    const char *const *languages; /* [language_count] codes as "en", at least one */
    size_t language_count;
    const char *const *voices; /* [voice_count] names, at least one */
    size_t voice_count;
} wyoming_about;

/* One line of JSON, allocated: free() it. NULL: memory is exhausted. */
char *wyoming_info(const wyoming_about *about);

#endif
