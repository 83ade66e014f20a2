/* One answer, from what was asked to its end: steps the session, shows the text as it comes, writes
 * the sound, measures. */
#ifndef APPS_ANSWER_H
#define APPS_ANSWER_H

#include "apps/options.h"
#include "apps/pictures.h"
#include "apps/tools.h"
#include "core/json.h"

typedef struct answer {
    const options *options;
    rnl_model *model;
    rnl_session *session;
    rnl_mode mode;
    const char *label;      /* printed before the text, or NULL */
    const char *input;      /* file the question came from, for --json; NULL: none */
    const char *sound_path; /* where the sound goes; NULL: nowhere */
    picture_log *pictures;  /* what those of this turn took; NULL: not kept */
    bool any_sound;         /* sounds without speech are taken, too */
    const held *held;       /* what answers are held to; NULL: nothing */
    calls_made *made;       /* filled with the calls of the answer; with held */
} answer;

/* Adds a file to the user's turn, a picture or a sound as its bytes say; EXIT_OK or the code of a
 * complaint: EXIT_INPUT for less speech than RNL_SPEECH_MS_MIN. */
int answer_add_file(const answer *a, const char *path);
/* Whether the file can be added so far as it alone decides; adds nothing. */
int answer_check_file(const answer *a, const char *path);
/* Where the answer's pictures go. */
picture_target answer_pictures(const answer *a);
/* Whether a sound can be written under this name, which must not be that of a file that is read:
 * EXIT_OK or the code of a complaint, before the work and not after it. */
int answer_check_sound_path(const char *path);
int answer_add_text(const answer *a, rnl_role role, const char *text);
/* The system prompt that begins a conversation: --system, else the model's own for the mode; and
 * the list of tools behind it. */
int answer_add_system(const answer *a);
/* Generates the answer: text to stdout as it comes (or one JSON object at the end), sound to
 * sound_path. EXIT_OK or the code of a complaint; nothing half-written stays. */
int answer_run(const answer *a);

/* "DIR/NAME.answer.wav" (DIR may be NULL) for an input "…/NAME.ext"; a number above 1 makes it
 * "NAME.2.answer.wav" and so on. Allocated; NULL: no memory. */
char *answer_path(const char *folder, const char *input, int number);
/* Creates a folder unless it is there; EXIT_OK or the code of a complaint. */
int make_folder(const char *path);

#endif
