/* What a server lets realtime conversations do: options of `runnel serve`. */
#ifndef SERVE_REALTIME_OPTIONS_H
#define SERVE_REALTIME_OPTIONS_H

#include <stdbool.h>

typedef struct realtime_options {
    int session_seconds;  /* [1, 86400], default 3600 */
    int resume_seconds;   /* that a conversation is kept when its connection breaks off, [0, 3600],
                           * default 0 */
    int truncate_wait_ms; /* for the client's word about what was heard, [0, 5000], default 300 */
    bool beta;            /* the older dialect when a client does not say; default false */
    bool half_duplex;     /* deaf while a reply may be playing; default false */
    bool speculates;      /* answers are begun at guessed ends; default true */
} realtime_options;

static inline realtime_options realtime_options_default(void) {
    return (realtime_options){.session_seconds = 3600, .truncate_wait_ms = 300, .speculates = true};
}

#endif
