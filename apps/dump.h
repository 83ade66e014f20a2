/* The parts of `runnel dump`: cmd_dump.c chooses and answers a sound, dump_ids.c runs raw ids. */
#ifndef APPS_DUMP_H
#define APPS_DUMP_H

#include "apps/npy.h"
#include "apps/options.h"

typedef struct dump {
    const char *stage; /* "encoder", "backbone", "depth": without the number */
    int index;         /* the number, or -1 */
    npy_array kept;    /* cells: owned, grown by dump_keep */
    size_t row_cap;
    bool failed; /* memory */
} dump;

bool dump_wants(const dump *d, const char *stage, int index);
/* Appends rows of float32, or of int32; all of a dump are of one kind and width. */
void dump_keep(dump *d, const void *cells, bool is_int, size_t rows, size_t cols);

/* The ids of options.ids through the backbone, without a sound and without a vocabulary; and behind
 * them, of stage "greedy", the best tokens. Returns the exit code, after a complaint. */
int dump_ids(const options *o, rnl_model *model, dump *d);

#endif
