#include "apps/recording.h"

#include <stdio.h>
#include <string.h>

#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/lora_options.h"
#include "apps/open.h"
#include "core/status.h"

enum { FRAMES = 4096 };

typedef struct running {
    rnl_transcript *t;
    const char *path;
    const recording_hooks *hooks;
    rnl_error *error;
} running;

static int input_code(rnl_status status) {
    return status == RNL_ERR_MEMORY || status == RNL_ERR_STATE ? EXIT_FAILED : EXIT_INPUT;
}

/* Hands on what is ready. EXIT_OK, or a code. */
static int hand_on(const running *r, rnl_status *last) {
    rnl_piece piece;
    while ((*last = rnl_transcript_pull(r->t, &piece)) == RNL_OK) {
        const int code = r->hooks->piece(r->hooks->context, &piece, r->error);
        if (code != EXIT_OK) return code;
    }
    return EXIT_OK;
}

static int work(const running *r) {
    const rnl_status status = rnl_transcript_step(r->t, r->error);
    return status < 0 ? exit_code(r->error) : EXIT_OK;
}

/* Names the file in a sentence of the library, which does not know it. */
static void name_file(const running *r) {
    char text[RNL_ERROR_TEXT_CAP];
    memcpy(text, r->error->text, sizeof text);
    (void)status_fail(r->error, r->error->status, "%s: %s", r->path, text);
}

static int push_all(const running *r, const float *samples, size_t count) {
    while (count > 0) {
        size_t taken;
        rnl_status last;
        if (rnl_transcript_push(r->t, samples, count, &taken, r->error) != RNL_OK) {
            name_file(r);
            return EXIT_INPUT;
        }
        samples += taken;
        count -= taken;
        int code = hand_on(r, &last);
        if (code == EXIT_OK && count > 0) code = work(r);
        if (code != EXIT_OK) return code;
    }
    return EXIT_OK;
}

static int finish(const running *r) {
    rnl_transcript_finish(r->t);
    for (;;) {
        rnl_status last;
        int code = hand_on(r, &last);
        if (code != EXIT_OK || last == RNL_DONE) return code;
        code = work(r);
        if (code != EXIT_OK) return code;
    }
}

static int read_all(const running *r, sound_reader *reader, double *seconds) {
    float block[FRAMES];
    const double rate = sound_reader_info(reader)->rate;
    int64_t count = 0;
    for (;;) {
        size_t got;
        const rnl_status status = sound_reader_read(reader, block, FRAMES, &got, r->error);
        if (status < 0) return input_code(status);
        if (status == RNL_DONE || interrupted()) break;
        count += (int64_t)got;
        *seconds = (double)count / rate;
        const int code = push_all(r, block, got);
        if (code != EXIT_OK) return code;
    }
    const bool stopped = interrupted();
    const int code = finish(r);
    return code == EXIT_OK && stopped ? EXIT_STOPPED : code;
}

int recording_run(rnl_transcript *t, const char *path, const sound_kept *kept,
                  const sound_config *config, const recording_hooks *hooks, double *seconds,
                  sound_faults *faults, rnl_error *error) {
    const running r = {.t = t, .path = path, .hooks = hooks, .error = error};
    sound_reader *reader = NULL;
    *seconds = 0.0;
    *faults = (sound_faults){0};
    const rnl_status status = kept != NULL ? sound_reader_open_kept(kept, config, &reader, error)
                                           : sound_reader_open(path, config, &reader, error);
    if (status != RNL_OK) return input_code(status);
    const sound_info *info = sound_reader_info(reader);
    rnl_transcript_reset(t, info->rate);
    const double length = info->frame_count > 0 ? (double)info->frame_count / info->rate : 0.0;
    int code = hooks->begin(hooks->context, length, error);
    if (code == EXIT_OK) code = read_all(&r, reader, seconds);
    *faults = *sound_reader_faults(reader);
    sound_reader_close(&reader);
    return code;
}

int recording_keep(const char *path, const sound_config *config, sound_kept **kept, int *channels,
                   rnl_error *error) {
    sound_reader *reader = NULL;
    *channels = 0;
    rnl_status status = sound_keep(path, kept, error);
    if (status == RNL_OK) status = sound_reader_open_kept(*kept, config, &reader, error);
    if (status == RNL_OK) *channels = sound_reader_info(reader)->file_channels;
    sound_reader_close(&reader);
    if (status == RNL_OK) return EXIT_OK;
    sound_kept_close(kept);
    return interrupted() ? EXIT_STOPPED : input_code(status);
}

rnl_transcript_config transcript_options(const options *o, const rnl_model *model,
                                         int thread_count) {
    rnl_transcript_config c = rnl_transcript_config_default(model);
    c.thread_count = thread_count;
    c.whole = o->whole;
    c.system = o->system;
    c.text = answer_config(o, model, RNL_MODE_TRANSCRIBE).text;
    if (o->max_tokens > 0) c.step_max = o->max_tokens;
    c.seed = o->seed;
    c.adapter = lora_options_set(o);
    c.memory_size_max = o->memory_max;
    return c;
}
