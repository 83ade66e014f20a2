/* What an answer is held to on the command line: --tools and --json-schema; and the results of
 * calls, which come as lines {"result": ...}. */
#ifndef APPS_TOOLS_H
#define APPS_TOOLS_H

#include <runnel/runnel_chat.h>

#include "apps/options.h"

typedef struct held {
    rnl_constraint *tools, *schema; /* NULL: none */
} held;

/* Reads the files of the options; EXIT_OK or the code of a complaint. The model outlives it. */
int held_open(const options *o, rnl_model *model, held *h);
void held_close(held *h);

enum { CALLS_MADE_CAP = 64, CALL_NAME_CAP = 129 };

/* Calls of an answer that wait for their results, in order. */
typedef struct calls_made {
    int count;
    char names[CALLS_MADE_CAP][CALL_NAME_CAP];
} calls_made;

/* Notes a call as rnl_session_pull_call gives it; more than CALLS_MADE_CAP are not noted. */
void calls_note(calls_made *made, const char *json, size_t size);

/* The result in a line: a text as it is, any other value as JSON. Allocated, free() it; NULL after
 * a complaint that names the call. */
char *result_of_line(const char *line, const char *name, size_t *size);

#endif
