/* The thinking of an answer, told apart from what it says: what stands before </think>. */
#ifndef APPS_THINKING_H
#define APPS_THINKING_H

#include <stdbool.h>
#include <stddef.h>

enum { THINKING_MARK_CAP = 8 };

typedef struct thinking {
    enum { THINK_SHOW, THINK_HIDE, THINK_ONLY } how;
    enum { THINK_UNKNOWN, THINK_WITHIN, THINK_OVER } place;
    bool trims;                   /* white space behind the end of the thinking is not said */
    char kept[THINKING_MARK_CAP]; /* what may be the beginning of a mark */
    size_t kept_size;
} thinking;

/* how: "show", "hide", "only", or NULL for "show". within: the answer begins with it. EXIT_OK, or
 * the code of a complaint about `how`. */
int thinking_begin(thinking *t, const char *how, bool within);

typedef int (*thinking_fn)(void *context, const char *text, size_t size);

/* Gives on what is to be shown, piece by piece; returns what fn returns, EXIT_OK to go on. */
int thinking_push(thinking *t, const char *text, size_t size, thinking_fn fn, void *context);
/* What was kept back because it might have become a mark. */
int thinking_end(thinking *t, thinking_fn fn, void *context);

#endif
