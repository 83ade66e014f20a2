/* A program that is run for what it writes to its standard output, for the program: the library
 * starts none, and does not hold this. No shell takes part. */
#ifndef CORE_CHILD_H
#define CORE_CHILD_H

#include <runnel/runnel.h>

enum { CHILD_REASON_CAP = 200 };

/* What it is ended at, with all that it has started. */
typedef struct child_limits {
    size_t size_max;    /* bytes that it writes */
    double seconds_max; /* until the end of its output */
    bool (*stop)(void); /* asked once a second, and when a signal comes; NULL: nobody is */
} child_limits;

typedef struct child_result {
    unsigned char *data; /* all that it wrote, owned: free() it */
    size_t size;
    bool missing;                  /* there is no such program */
    bool overran;                  /* it wrote more than size_max, took too long, or was stopped */
    bool well;                     /* it ended by itself, with 0 */
    char reason[CHILD_REASON_CAP]; /* the last line of its standard error, or "" */
} child_result;

/* Runs arguments[0] (searched in PATH), NULL behind the last; in: its standard input, or -1 for
 * none. Waits for its end. RNL_ERR_IO, RNL_ERR_MEMORY with a sentence; RNL_OK also where the
 * program is missing or failed: see the result. */
RNL_MUST_USE rnl_status child_run(const char *const *arguments, int in, const child_limits *limits,
                                  child_result *out, rnl_error *error);

#endif
