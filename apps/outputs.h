/* The files of one transcript: written beside their targets, on the disk before they get their
 * names, all of them or none. */
#ifndef APPS_OUTPUTS_H
#define APPS_OUTPUTS_H

#include "apps/replace.h"
#include "text/formats.h"

typedef struct output {
    replacement file;
    format_writer *writer;
    bool replaces; /* an older file was there */
} output;

typedef struct outputs {
    output files[FORMAT_COUNT];
    int count;
} outputs;

/* Opens a file FOLDER/STEM.FORMAT for each bit of formats (stem_size bytes of stem; folder may
 * already end in '/'; "" is the current one). path, when not NULL, is the one file's whole name.
 * False with a sentence in error; nothing is left then. */
bool outputs_open(outputs *o, unsigned formats, const char *folder, const char *stem,
                  size_t stem_size, const char *path, const format_head *head, rnl_error *error);
/* Whether all files of these formats are there, from an earlier run. */
bool outputs_are_there(unsigned formats, const char *folder, const char *stem, size_t stem_size);
/* False with a sentence: no memory. */
bool outputs_piece(outputs *o, const rnl_piece *piece, rnl_error *error);
/* Ends the files, telling of the sound's length and faults, and gives them their names. False with
 * a sentence (a full disk): then none of them is left and older files are as they were. */
bool outputs_commit(outputs *o, double seconds, const sound_faults *faults, rnl_error *error);
/* Whether an older file would be replaced by one of them. */
bool outputs_replace(const outputs *o);
/* Removes what is not committed. An empty one is fine. */
void outputs_abort(outputs *o);

#endif
