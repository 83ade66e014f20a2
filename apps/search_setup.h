/* The plan of `runnel search`: of its folder, of --space and of options, which have to agree. */
#ifndef APPS_SEARCH_SETUP_H
#define APPS_SEARCH_SETUP_H

#include "apps/options.h"
#include "search/plan.h"

enum { SEARCH_PATH_CAP = 4096 };

/* FOLDER/NAME. EXIT_OK, or the code of a complaint about its length. */
int search_path(char path[SEARCH_PATH_CAP], const char *folder, const char *name);
/* Reads a plan. EXIT_OK, or the code of a complaint. */
int search_setup_read(const char *path, search_plan *p);
/* The plan in the folder, which a search has begun; or that of the options, which is put there.
 * EXIT_OK, or the code of a complaint: options that say another plan than the folder has. */
int search_setup(const options *o, search_plan *p);

#endif
