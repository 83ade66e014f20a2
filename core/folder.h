/* Folders, of caches: what they hold, and their end. */
#ifndef CORE_FOLDER_H
#define CORE_FOLDER_H

#include <stdbool.h>

#include "core/checksum.h"

/* Adds each file whose name contains `part` ("": all), by their names' order: name, size and bytes,
 * or, with bytes false, when it was changed. Folders within are passed over. False: it cannot be
 * read, and the sum is of no use. */
bool folder_sum(const char *path, const char *part, bool bytes, checksum *sum);

/* Removes the file or folder `name` of the open folder `at` (AT_FDCWD: where paths begin), with all
 * that is in it; links go, not what they point to. One that is missing is fine. False: errno says
 * why. */
bool folder_remove(int at, const char *name);

#endif
