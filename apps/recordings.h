/* Many recordings over a pool of jobs: each job reads with a thread of its own and has a transcript
 * of its own; the pieces of all are decoded in one batch. A recording that fails does not stop the
 * others. */
#ifndef APPS_RECORDINGS_H
#define APPS_RECORDINGS_H

#include <pthread.h>
#include <runnel/runnel_transcript.h>

#include "apps/inputs.h"
#include "apps/meter.h"

typedef struct recordings recordings;

/* What a job works with. */
typedef struct recordings_job {
    recordings *all;
    rnl_transcript *transcript;
    bool damaged;        /* something of the recording under way is missing; the work sets it */
    double done, length; /* s of the recording under way; length 0: not known. Under the lock */
} recordings_job;

typedef enum recording_state {
    RECORDING_WAITING,
    RECORDING_SKIPPED,
    RECORDING_DONE,
    RECORDING_FAILED
} recording_state;

struct recordings {
    const options *options;
    rnl_model *model;
    input_list list;
    recording_state
        *states;    /* [list.count]; set to RECORDING_SKIPPED or _FAILED before the run to leave
                          * one out */
    char **reasons; /* [list.count] of failures; NULL: none */
    rnl_transcript_config config; /* of the transcripts */
    bool in_any_order;            /* results need not come in the order of the inputs: several jobs
                                   * where nobody said how many */
    /* Works on one input, with the lock open: EXIT_OK, EXIT_STOPPED (Ctrl-C), or a code with a
     * sentence in error. *seconds: of sound. */
    int (*work)(recordings_job *job, size_t input, double *seconds, rnl_error *error);
    void *context;

    pthread_mutex_t lock; /* for what follows, and whatever jobs share (standard output) */
    rnl_batch *batch;     /* of the transcripts */
    recordings_job *jobs;
    int job_count;
    size_t next, done_count, failed_count, skipped_count;
    size_t damaged_count; /* of those that are done */
    double seconds;       /* of sound, finished recordings */
    double elapsed;       /* of the run */
    int code;             /* of the first failure, or damage */
    bool stopped;
    meter meter;
    char heard[METER_TEXT_CAP]; /* the latest text */
    rnl_transcript_stats stats; /* of all transcripts, added up */
};

/* Makes states and reasons for what is in r->list; the rest of r but options, work, context and
 * in_any_order is zero. EXIT_OK or the code of a complaint. */
int recordings_prepare(recordings *r);
/* Notes a failure of an input; error's sentence is kept. Before the run, or with the lock held. */
void recordings_fail(recordings *r, size_t input, int code, const rnl_error *error);
/* Opens the transcripts and works on all inputs that wait, then tells of failures and of the whole.
 * EXIT_OK, EXIT_STOPPED, or the code of the first failure. */
int recordings_run(recordings *r, rnl_model *model);
void recordings_free(recordings *r); /* a zeroed one is fine */

/* For recording_run's hooks, both take the lock: a recording of `length` s begins (0: not known);
 * its sound is `done` s far and `text` was heard (may be NULL). */
void recordings_begin(recordings_job *job, double length);
void recordings_progress(recordings_job *job, double done, const char *text);
/* Says what is missing in the recording, and notes that something is. Takes the lock. */
void recordings_tell_faults(recordings_job *job, const char *path, const sound_faults *faults);

#endif
