/* Shared libraries that are opened while the program runs, and need not be there: drivers of
 * devices. The only file that knows how. */
#ifndef CORE_LIBRARY_H
#define CORE_LIBRARY_H

#include <runnel/runnel.h>

typedef struct library library;
typedef void (*library_fn)(void);

/* path: a file, or NULL: the first of `names` (NULL-terminated: "libOpenCL.so.1", ...) that the
 * system finds. RNL_ERR_IO with a sentence that names it and what the system says. */
RNL_MUST_USE rnl_status library_open(const char *path, const char *const *names, library **out,
                                     rnl_error *error);
/* The file it was opened by. */
const char *library_path(const library *l);
/* RNL_ERR_UNSUPPORTED names the function that is missing. *out is cast to its own type. */
RNL_MUST_USE rnl_status library_find(library *l, const char *name, library_fn *out,
                                     rnl_error *error);
/* Its functions must not be running. NULL is fine; sets NULL. */
void library_close(library **l);

#endif
