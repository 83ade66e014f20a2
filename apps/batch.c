#include "apps/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/recording.h"

int batch_prepare(batch *b) {
    b->states = calloc(b->list.count + 1, sizeof *b->states);
    b->reasons = calloc(b->list.count + 1, sizeof *b->reasons);
    if (b->states != NULL && b->reasons != NULL) return EXIT_OK;
    return complain(EXIT_FAILED, "memory is exhausted");
}

void batch_fail(batch *b, size_t input, int code, const rnl_error *error) {
    b->states[input] = BATCH_FAILED;
    b->reasons[input] = strdup(error->text);
    b->failed_count++;
    if (b->code == EXIT_OK) b->code = code;
}

/* ---- Progress ---- */

static void show_progress(batch *b) {
    const size_t count = b->list.count - b->skipped_count;
    double heard = b->seconds, parts = (double)(b->done_count + b->failed_count);
    bool known = true;
    for (int i = 0; i < b->job_count; i++) {
        const batch_job *job = &b->jobs[i];
        heard += job->done;
        if (job->length > 0.0)
            parts += job->done < job->length ? job->done / job->length : 1.0;
        else if (job->done > 0.0 && count == 1)
            known = false; /* a pipe: nobody knows how much comes */
    }
    const meter_state s = {.sound = heard,
                           .elapsed = now_seconds() - b->meter.begin,
                           .fraction = known && count > 0 ? parts / (double)count : -1.0,
                           .done = b->done_count + b->failed_count,
                           .count = count,
                           .text = b->heard};
    meter_show(&b->meter, &s);
}

void batch_begin(batch_job *job, double length) {
    batch *b = job->batch;
    (void)pthread_mutex_lock(&b->lock);
    job->done = 0.0;
    job->length = length;
    (void)pthread_mutex_unlock(&b->lock);
}

void batch_progress(batch_job *job, double done, const char *text) {
    batch *b = job->batch;
    (void)pthread_mutex_lock(&b->lock);
    job->done = done;
    if (text != NULL) (void)snprintf(b->heard, sizeof b->heard, "%s", text);
    show_progress(b);
    (void)pthread_mutex_unlock(&b->lock);
}

/* ---- Jobs ---- */

static void add_stats(batch *b, const rnl_transcript_stats *one) {
    b->stats.speech += one->speech;
    b->stats.encode += one->encode;
    b->stats.decode += one->decode;
    b->stats.overlap += one->overlap;
    b->stats.piece_count += one->piece_count;
    b->stats.skipped_count += one->skipped_count;
    b->stats.again_count += one->again_count;
    b->stats.joined_count += one->joined_count;
}

/* The next input that waits; false: none, or Ctrl-C. With the lock held. */
static bool take(batch *b, size_t *input) {
    while (b->next < b->list.count && b->states[b->next] != BATCH_WAITING) b->next++;
    if (b->next == b->list.count || b->stopped || interrupted()) return false;
    *input = b->next++;
    return true;
}

static void *run_job(void *context) {
    batch_job *job = context;
    batch *b = job->batch;
    size_t input;
    (void)pthread_mutex_lock(&b->lock);
    while (take(b, &input)) {
        (void)pthread_mutex_unlock(&b->lock);
        rnl_error error = {0};
        double seconds = 0.0;
        const int code = b->work(job, input, &seconds, &error);
        rnl_transcript_stats stats;
        rnl_transcript_get_stats(job->transcript, &stats);
        (void)pthread_mutex_lock(&b->lock);
        add_stats(b, &stats);
        job->done = job->length = 0.0;
        b->seconds += seconds;
        if (code == EXIT_OK) {
            b->states[input] = BATCH_DONE;
            b->done_count++;
        } else if (code == EXIT_STOPPED) {
            b->stopped = true;
        } else {
            batch_fail(b, input, code, &error);
        }
        show_progress(b);
    }
    (void)pthread_mutex_unlock(&b->lock);
    return NULL;
}

/* Threads are shared out evenly; each job has one at least. */
static int open_jobs(batch *b) {
    const rnl_session_config defaults = rnl_session_config_default();
    const int threads = b->options->threads > 0 ? b->options->threads : defaults.thread_count;
    const int wanted = b->options->jobs > 0 ? b->options->jobs : 1;
    const size_t most = b->list.count > 0 ? b->list.count : 1;
    const int count = (size_t)wanted < most ? wanted : (int)most;
    b->jobs = calloc((size_t)count, sizeof *b->jobs);
    if (b->jobs == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    int code = EXIT_OK;
    for (; b->job_count < count && code == EXIT_OK; b->job_count++) {
        batch_job *job = &b->jobs[b->job_count];
        job->batch = b;
        job->transcript = open_transcript(
            b->options, b->model, threads / count > 0 ? threads / count : 1, &b->config, &code);
    }
    return code;
}

static int run_jobs(batch *b) {
    pthread_t *threads = calloc((size_t)b->job_count, sizeof *threads);
    if (threads == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    int started = 0;
    /* Fewer threads than asked for do the same work. */
    while (started < b->job_count - 1 &&
           pthread_create(&threads[started], NULL, run_job, &b->jobs[started + 1]) == 0)
        started++;
    (void)run_job(&b->jobs[0]);
    for (int i = 0; i < started; i++) (void)pthread_join(threads[i], NULL);
    free(threads);
    return EXIT_OK;
}

/* ---- Afterwards ---- */

static void tell(const batch *b) {
    char length[32];
    meter_time(length, sizeof length, b->seconds);
    if (!b->options->quiet && b->done_count + b->skipped_count > 0)
        (void)fprintf(stderr, "%s of sound in %.2f s (%.1f x real time)\n", length, b->elapsed,
                      b->elapsed > 0 ? b->seconds / b->elapsed : 0.0);
    for (size_t i = 0; i < b->list.count; i++)
        if (b->states[i] == BATCH_FAILED)
            (void)complain(EXIT_FAILED, "%s",
                           b->reasons[i] != NULL ? b->reasons[i] : "memory is exhausted");
    if (b->failed_count > 0 && b->list.count > 1)
        (void)fprintf(stderr, "%zu of %zu recordings failed, %zu done\n", b->failed_count,
                      b->list.count - b->skipped_count, b->done_count);
}

int batch_run(batch *b, rnl_model *model) {
    b->model = model;
    int code = open_jobs(b);
    if (code != EXIT_OK) return code;
    if (pthread_mutex_init(&b->lock, NULL) != 0)
        return complain(EXIT_FAILED, "a lock cannot be made");
    meter_begin(&b->meter, b->options);
    code = run_jobs(b);
    b->elapsed = now_seconds() - b->meter.begin;
    (void)pthread_mutex_destroy(&b->lock);
    meter_clear(&b->meter);
    tell(b);
    if (b->stopped || interrupted()) return EXIT_STOPPED;
    return code != EXIT_OK ? code : b->code;
}

void batch_free(batch *b) {
    for (int i = 0; i < b->job_count; i++) rnl_transcript_destroy(&b->jobs[i].transcript);
    for (size_t i = 0; b->reasons != NULL && i < b->list.count; i++) free(b->reasons[i]);
    free(b->jobs);
    free(b->states);
    free(b->reasons);
    inputs_free(&b->list);
    *b = (batch){0};
}
