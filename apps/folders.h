/* Folders of the program's own: made and opened without following anybody's links. */
#ifndef APPS_FOLDERS_H
#define APPS_FOLDERS_H

#include <stdbool.h>
#include <sys/types.h>

/* Makes a folder and those above it that are missing. Links that a person made lead where they
 * lead. False: errno says why. */
bool folders_make(const char *path, mode_t mode);
/* Opens the folder `name` in the open folder `at`, makes it when it is missing. A link in its place
 * is ENOTDIR or ELOOP. The descriptor, or -1 with errno. */
int folder_below(int at, const char *name);

#endif
