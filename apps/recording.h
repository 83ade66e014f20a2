/* One recording through one transcript: read in blocks, cut, transcribed, its pieces handed on in
 * order. Memory does not grow with its length. */
#ifndef APPS_RECORDING_H
#define APPS_RECORDING_H

#include <runnel/runnel_transcript.h>

#include "apps/options.h"
#include "audio/file.h"

typedef struct recording_hooks {
    void *context;
    /* The sound is open; length in seconds as the header claims, 0: not known. EXIT_OK or the code
     * that ends the work, with a sentence in error. */
    int (*begin)(void *context, double length, rnl_error *error);
    int (*piece)(void *context, const rnl_piece *piece, rnl_error *error);
} recording_hooks;

/* Reads path (as sound_reader_open has it), or kept unless it is NULL, until its end, or until
 * Ctrl-C: what was read by then is still transcribed and handed on, and EXIT_STOPPED is returned.
 * *seconds: sound read; *faults: what is missing in it. On any other code than EXIT_OK and
 * EXIT_STOPPED error holds one sentence. */
int recording_run(rnl_transcript *t, const char *path, const sound_kept *kept,
                  const sound_config *config, const recording_hooks *hooks, double *seconds,
                  sound_faults *faults, rnl_error *error);

/* Makes a recording ready to be read once for each channel, and tells how many it has when it is
 * read as config says. EXIT_OK; EXIT_STOPPED; else a code with a sentence in error. *kept is then
 * NULL. */
int recording_keep(const char *path, const sound_config *config, sound_kept **kept, int *channels,
                   rnl_error *error);

/* What the options ask of transcripts, with so many threads. */
rnl_transcript_config transcript_options(const options *o, const rnl_model *model,
                                         int thread_count);

#endif
