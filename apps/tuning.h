/* What `runnel bench --calibrate` found for this machine, kept in the user's cache folder
 * ($XDG_CACHE_HOME or ~/.cache)/runnel/tuning.json:
 *
 *     {"cpu":"AMD EPYC 26 2","prefetch":"L1","huge_pages":true,"block_kib":512}
 *
 * where prefetch is "none", "L1" or "L2"; older files say true for L1 and false for none. It
 * changes the speed and no bit. A file of another processor is passed over. */
#ifndef APPS_TUNING_H
#define APPS_TUNING_H

#include <runnel/runnel.h>

#include "core/json.h"

enum { TUNING_PATH_CAP = 4096 };

/* What the file calls them; rnl_prefetch in order. */
extern const char *const tuning_prefetch_names[RNL_PREFETCH_COUNT];

/* The kept tuning of this machine. False: there is none. A file that is damaged is complained of on
 * stderr, unless quiet, and counts as none. */
bool tuning_read(rnl_tuning *out, bool quiet);
/* Where it is kept: makes the folder. EXIT_OK or the code of a complaint. */
int tuning_prepare(char path[TUNING_PATH_CAP]);
/* Keeps it there. EXIT_OK or the code of a complaint. */
int tuning_write(const char *path, const rnl_tuning *t);
/* As one object of JSON. */
json_draft *tuning_json(const rnl_tuning *t);

#endif
