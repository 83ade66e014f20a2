/* Which files to work on: arguments, folders, patterns and list files become one checked list. */
#ifndef APPS_INPUTS_H
#define APPS_INPUTS_H

#include "apps/options.h"
#include "audio/file.h"
#include "core/hash_table.h"

typedef struct input_list {
    char **paths; /* [count] */
    size_t count, cap;
    hash_table names; /* of the paths */
} input_list;

enum {
    INPUT_COUNT_CAP = 1 << 20, /* files of one list; more are refused */
    INPUT_PATH_CAP = 4096      /* bytes of a path with its NUL */
};

/* Adds what an argument stands for, and notes each file as one that is read (sources.h):
 *   "-"          standard input, once
 *   "@LIST"      the names in a list file
 *   a folder     the sound files in it and below, by suffix, sorted by name; hidden ones and
 *                linked folders are passed over
 *   a pattern    with * ? [ when no file bears that very name: what it matches, sorted
 *   else         that name; whether the file is there shows when it is opened
 * A name that is in the list already is passed over, so that a file is worked on once; the order is
 * that of the arguments. list_file (may be NULL) is read first, as "@LIST" is.
 * A list file has one name a line, relative to the current folder; empty lines and lines that begin
 * with # are passed over, byte order marks before a line and a CR at its end are dropped. Each name
 * is taken as it stands, or as a folder. EXIT_OK, or the code of a complaint: EXIT_INPUT for a
 * folder or pattern without a sound file, an unreadable folder or list, a NUL byte or a name too
 * long in a list (with its line); EXIT_FAILED for memory. The list is freed then. An empty list is
 * no error: the caller knows what to ask for. */
int inputs_gather(input_list *list, char *const *arguments, int argument_count,
                  const char *list_file);
void inputs_free(input_list *list); /* an empty list is fine */

/* Adds the names in `size` bytes of a list file; what is left of inputs_gather for a list. name is
 * put into complaints. EXIT_OK or the code of a complaint. */
int inputs_add_list(input_list *list, const char *name, const char *text, size_t size);

bool is_folder(const char *path);
/* The name without its folder and suffix ("a/talk.one.wav" -> "talk.one"); *size its bytes. */
const char *input_stem(const char *path, size_t *size);
/* The folder of an input's outputs: folder, or when that is NULL the input's own, with its '/'.
 * Allocated; NULL: no memory. */
char *input_folder(const char *path, const char *folder);
/* first[i] = the first input of the list whose outputs have the name of those of input i: i itself
 * where there is no clash. folder as above; standard input counts as "stdin". False: no memory. */
bool inputs_first_of_name(const input_list *list, const char *folder, size_t *first);

/* How to read sounds by --channel, --per-channel and --raw-*. EXIT_OK, or the code of a complaint
 * about values that make no sense. */
int inputs_sound_config(const options *o, sound_config *config);
/* Says on stderr what is missing in a sound, a line for each place; of many the first and the last.
 * EXIT_INPUT when something is, else EXIT_OK (channels out of phase are told, too). */
int inputs_tell_faults(const char *path, const sound_faults *faults);

#endif
