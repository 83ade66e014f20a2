/* Another machine that measures, reached by a command of the user's: "ssh host {cmd}", "adb shell
 * {cmd}". Files go there by a second one: "scp {file} host:{path}", "adb push {file} {path}".
 *
 *     push: runnel-measure, once --> push: each config.json --> command --> a line of JSON
 *
 * A template is words between blanks, quoted where they hold some ('...', "..."). What stands for a
 * placeholder stays within its word whatever is in it, and no shell of this machine sees it; {cmd}
 * is one word, a line for the shell of the other machine, with quotes around what needs some. */
#ifndef MEASURE_DEVICE_H
#define MEASURE_DEVICE_H

#include "measure/measure.h"

typedef struct measure_device {
    const char *command; /* has {cmd} */
    const char *push;    /* has {file} and {path}; NULL: files have the same names there */
    const char *program; /* runnel-measure: here when it is pushed, else there */
    const char *folder;  /* there: where files are pushed to, over what they replace */
    double seconds_max;  /* of each command; one that takes longer is tried once more */
    bool (*stop)(void);  /* or NULL */
} measure_device;

/* RNL_ERR_ARGUMENT with a sentence when a template is not as above. */
RNL_MUST_USE rnl_status measure_device_check(const measure_device *d, rnl_error *error);
/* Has runnel-measure copied there. Nothing to do without push. RNL_ERR_IO: the command failed,
 * twice where it took too long; RNL_ERR_STATE "stopped"; RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status measure_device_prepare(const measure_device *d, rnl_error *error);
/* As measure_all of these files [path_count] there, which see no reference but one of
 * c->round_count > 0: by its path, or NULL for the usual one. c->thread_count 0: as many as suit
 * that machine; c->stop is not looked at. Names in *out are those given here. RNL_ERR_IO as above,
 * RNL_ERR_FORMAT: what came back is no report. */
RNL_MUST_USE rnl_status measure_remote(const measure_device *d, const measure_config *c,
                                       const char *reference, const char *const *paths,
                                       int path_count, measure_report *out, rnl_error *error);

/* Inner, for tests: the words of a template with these placeholders filled in, NULL behind the
 * last; one allocation, free() it. RNL_ERR_ARGUMENT: a quote is open, or no word; RNL_ERR_MEMORY.
 * */
typedef struct measure_placeholder {
    const char *name, *value; /* "{cmd}" */
} measure_placeholder;
RNL_MUST_USE rnl_status measure_words(const char *text, const measure_placeholder *placeholders,
                                      int placeholder_count, char ***out, rnl_error *error);

#endif
