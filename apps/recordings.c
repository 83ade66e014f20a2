#include "apps/recordings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/recording.h"
#include "core/clock.h"

enum {
    JOBS = 8,   /* recordings at a time, when it matters to nobody */
    PIECES = 16 /* in hand, of all of them: rows that share the weights of a pass */
};

int recordings_prepare(recordings *r) {
    r->states = calloc(r->list.count + 1, sizeof *r->states);
    r->reasons = calloc(r->list.count + 1, sizeof *r->reasons);
    if (r->states != NULL && r->reasons != NULL) return EXIT_OK;
    return complain(EXIT_FAILED, "memory is exhausted");
}

void recordings_fail(recordings *r, size_t input, int code, const rnl_error *error) {
    r->states[input] = RECORDING_FAILED;
    r->reasons[input] = strdup(error->text);
    r->failed_count++;
    if (r->code == EXIT_OK) r->code = code;
}

/* ---- Progress ---- */

static void show_progress(recordings *r) {
    const size_t count = r->list.count - r->skipped_count;
    double heard = r->seconds, parts = (double)(r->done_count + r->failed_count);
    bool known = true;
    for (int i = 0; i < r->job_count; i++) {
        const recordings_job *job = &r->jobs[i];
        heard += job->done;
        if (job->length > 0.0)
            parts += job->done < job->length ? job->done / job->length : 1.0;
        else if (job->done > 0.0 && count == 1)
            known = false; /* a pipe: nobody knows how much comes */
    }
    const meter_state s = {.sound = heard,
                           .elapsed = clock_seconds() - r->meter.begin,
                           .fraction = known && count > 0 ? parts / (double)count : -1.0,
                           .done = r->done_count + r->failed_count,
                           .count = count,
                           .text = r->heard};
    meter_show(&r->meter, &s);
}

void recordings_begin(recordings_job *job, double length) {
    recordings *r = job->all;
    (void)pthread_mutex_lock(&r->lock);
    job->done = 0.0;
    job->length = length;
    (void)pthread_mutex_unlock(&r->lock);
}

void recordings_progress(recordings_job *job, double done, const char *text) {
    recordings *r = job->all;
    (void)pthread_mutex_lock(&r->lock);
    job->done = done;
    if (text != NULL) (void)snprintf(r->heard, sizeof r->heard, "%s", text);
    show_progress(r);
    (void)pthread_mutex_unlock(&r->lock);
}

void recordings_tell_faults(recordings_job *job, const char *path, const sound_faults *faults) {
    recordings *r = job->all;
    (void)pthread_mutex_lock(&r->lock);
    if (faults->place_count > 0 || faults->out_of_phase) meter_clear(&r->meter);
    if (inputs_tell_faults(path, faults) != EXIT_OK) job->damaged = true;
    (void)pthread_mutex_unlock(&r->lock);
}

/* ---- Jobs ---- */

static void add_stats(recordings *r, const rnl_transcript_stats *one) {
    r->stats.speech += one->speech;
    r->stats.encode += one->encode;
    r->stats.decode += one->decode;
    r->stats.piece_count += one->piece_count;
    r->stats.skipped_count += one->skipped_count;
    r->stats.again_count += one->again_count;
    r->stats.joined_count += one->joined_count;
}

/* The next input that waits; false: none, or Ctrl-C. With the lock held. */
static bool take(recordings *r, size_t *input) {
    while (r->next < r->list.count && r->states[r->next] != RECORDING_WAITING) r->next++;
    if (r->next == r->list.count || r->stopped || interrupted()) return false;
    *input = r->next++;
    return true;
}

static void *run_job(void *context) {
    recordings_job *job = context;
    recordings *r = job->all;
    size_t input;
    (void)pthread_mutex_lock(&r->lock);
    while (take(r, &input)) {
        (void)pthread_mutex_unlock(&r->lock);
        rnl_error error = {0};
        double seconds = 0.0;
        job->damaged = false;
        const int code = r->work(job, input, &seconds, &error);
        rnl_transcript_stats stats;
        rnl_transcript_get_stats(job->transcript, &stats);
        (void)pthread_mutex_lock(&r->lock);
        add_stats(r, &stats);
        job->done = job->length = 0.0;
        r->seconds += seconds;
        if (code == EXIT_OK) {
            r->states[input] = RECORDING_DONE;
            r->done_count++;
            if (job->damaged) r->damaged_count++;
            if (job->damaged && r->code == EXIT_OK) r->code = EXIT_INPUT;
        } else if (code == EXIT_STOPPED) {
            r->stopped = true;
        } else {
            recordings_fail(r, input, code, &error);
        }
        show_progress(r);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return NULL;
}

static rnl_status open_transcripts(recordings *r, int count, rnl_error *error) {
    rnl_status status = RNL_OK;
    if (count > 1) {
        const rnl_batch_config c = rnl_transcript_batch_config(r->model, &r->config, count);
        status = rnl_batch_create(r->model, &c, &r->batch, error);
    }
    for (; r->job_count < count && status == RNL_OK; r->job_count++) {
        recordings_job *job = &r->jobs[r->job_count];
        job->all = r;
        status = count > 1 ? rnl_transcript_create_in(r->batch, &r->config, &job->transcript, error)
                           : rnl_transcript_create(r->model, &r->config, &job->transcript, error);
    }
    return status;
}

static int open_jobs(recordings *r) {
    const int threads = r->options->threads > 0 ? r->options->threads : rnl_thread_count_default();
    const int usual = r->in_any_order ? JOBS : 1;
    const int wanted = r->options->jobs > 0 ? r->options->jobs : usual;
    const size_t most = r->list.count > 0 ? r->list.count : 1;
    const int count = (size_t)wanted < most ? wanted : (int)most;
    r->jobs = calloc((size_t)count, sizeof *r->jobs);
    if (r->jobs == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    rnl_error error = {0};
    r->config = transcript_options(r->options, r->model, threads);
    const int each = PIECES / count;
    r->config.piece_cap = each < 2 ? 2 : each > PIECES / 2 ? PIECES / 2 : each;
    if (open_transcripts(r, count, &error) == RNL_OK) return EXIT_OK;
    return complain(exit_code(&error), "%s", error.text);
}

static int run_jobs(recordings *r) {
    pthread_t *threads = calloc((size_t)r->job_count, sizeof *threads);
    if (threads == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    int started = 0;
    /* Fewer threads than asked for do the same work. */
    while (started < r->job_count - 1 &&
           pthread_create(&threads[started], NULL, run_job, &r->jobs[started + 1]) == 0)
        started++;
    (void)run_job(&r->jobs[0]);
    for (int i = 0; i < started; i++) (void)pthread_join(threads[i], NULL);
    free(threads);
    return EXIT_OK;
}

/* ---- Afterwards ---- */

static void tell(const recordings *r) {
    char length[32];
    meter_time(length, sizeof length, r->seconds);
    if (!r->options->quiet && r->done_count + r->skipped_count > 0)
        (void)fprintf(stderr, "%s of sound in %.2f s (%.1f x real time)\n", length, r->elapsed,
                      r->elapsed > 0 ? r->seconds / r->elapsed : 0.0);
    for (size_t i = 0; i < r->list.count; i++)
        if (r->states[i] == RECORDING_FAILED)
            (void)complain(EXIT_FAILED, "%s",
                           r->reasons[i] != NULL ? r->reasons[i] : "memory is exhausted");
    if (r->damaged_count > 0 && r->list.count > 1)
        (void)fprintf(stderr, "%zu of %zu recordings are damaged; what can be heard is written\n",
                      r->damaged_count, r->list.count - r->skipped_count);
    if (r->failed_count > 0 && r->list.count > 1)
        (void)fprintf(stderr, "%zu of %zu recordings failed, %zu done\n", r->failed_count,
                      r->list.count - r->skipped_count, r->done_count);
}

int recordings_run(recordings *r, rnl_model *model) {
    r->model = model;
    int code = open_jobs(r);
    if (code != EXIT_OK) return code;
    if (pthread_mutex_init(&r->lock, NULL) != 0)
        return complain(EXIT_FAILED, "a lock cannot be made");
    meter_begin(&r->meter, r->options);
    code = run_jobs(r);
    r->elapsed = clock_seconds() - r->meter.begin;
    (void)pthread_mutex_destroy(&r->lock);
    meter_clear(&r->meter);
    tell(r);
    if (r->stopped || interrupted()) return EXIT_STOPPED;
    return code != EXIT_OK ? code : r->code;
}

void recordings_free(recordings *r) {
    for (int i = 0; i < r->job_count; i++) rnl_transcript_destroy(&r->jobs[i].transcript);
    rnl_batch_destroy(&r->batch);
    for (size_t i = 0; r->reasons != NULL && i < r->list.count; i++) free(r->reasons[i]);
    free(r->jobs);
    free(r->states);
    free(r->reasons);
    inputs_free(&r->list);
    *r = (recordings){0};
}
