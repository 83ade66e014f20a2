/* What the command reads, by device and inode: nothing of it is written over, whatever name it has.
 * Any thread. */
#ifndef APPS_SOURCES_H
#define APPS_SOURCES_H

#include <stdbool.h>

#include <runnel/runnel.h>

/* One more; "-" is standard input. What cannot be looked at, or is no regular file, is passed
 * over: its reader complains. */
void source_note(const char *path);
/* All files of a model. */
void sources_note_model(const rnl_model *model);

/* Whether what stands under this name, links followed, is one of them. */
bool source_is(const char *path);

#endif
