/* Pictures and films that a person shows: file -> picture/ -> the user's turn, seen at once, so
 * that what it took can be told. */
#ifndef APPS_PICTURES_H
#define APPS_PICTURES_H

#include "apps/options.h"
#include "core/json.h"

enum { PICTURE_LOG_CAP = 256 };

/* What the pictures of a turn took. */
typedef struct picture_log {
    struct {
        int view_count, position_count;
        double ms; /* from the file to rows of the conversation */
    } entries[PICTURE_LOG_CAP];
    int count; /* may be above PICTURE_LOG_CAP: the rest is not kept */
} picture_log;

typedef struct picture_target {
    const options *options;
    const rnl_model *model;
    rnl_session *session;
    picture_log *log; /* or NULL */
} picture_target;

/* Adds a picture ("-": standard input) to the user's turn; EXIT_OK or the code of a complaint:
 * EXIT_USAGE where the model takes no pictures, EXIT_INPUT, EXIT_STOPPED. */
int pictures_add(const picture_target *t, const char *path);
/* Whether it can be added so far as it alone decides; adds nothing. */
int pictures_check(const picture_target *t, const char *path);
/* Adds frames of a film as pictures, one view each (family.md 2.11). */
int pictures_add_film(const picture_target *t, const char *path);
/* Every --image and --video of the options, in their order. */
int pictures_add_options(const picture_target *t);

/* "images" of the reply's object, where there were any. */
void pictures_json(json_draft *o, const picture_log *log);

#endif
