/* A WAV as microphone, a WAV as loudspeaker, or nothing, on a clock that counts samples. Callbacks
 * come at the end of every 10 ms of it: the input of that time has then been "recorded", and the
 * output begins to "sound". Computing is charged to the clock, so a run has the latencies of a real
 * one however fast it is; with a fixed cost it is the same run every time. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audio/device.h"
#include "audio/file.h"
#include "core/clock.h"
#include "core/status.h"

enum {
    PERIODS_PER_SECOND = 100,
    PERIOD_US = 1000000 / PERIODS_PER_SECOND,
    RATE_NULL = 16000, /* of a microphone that is not there */
    RATE_OUT = 24000,  /* what the loop speaks at: the file gets its samples as they are */
    PERIOD_CAP = DEVICE_RATE_MAX / PERIODS_PER_SECOND + 1
};
static const double input_seconds_max = 4.0 * 3600.0;

typedef struct file_device {
    device head;
    sound input;          /* empty: silence */
    sound_writer *output; /* NULL: thrown away */
    bool has_input;
    bool running;
    device_fn fn;
    void *context;
    int64_t cost_us;      /* of a charge; negative: as measured */
    int64_t now_us;       /* since start; the clock unless it keeps real time */
    int64_t begin_us;     /* real time: CLOCK_MONOTONIC at start */
    int64_t period_count; /* periods that are over */
    rnl_error trouble;    /* of the output file, status RNL_OK: none */
    float in[PERIOD_CAP], out[PERIOD_CAP];
} file_device;

/* Samples before the end of period k: 11025 Hz are not a whole number of samples a period. */
static int64_t samples_until(int rate, int64_t k) {
    return k * rate / PERIODS_PER_SECOND;
}

static void run_period(file_device *f) {
    const int64_t k = f->period_count++;
    const int rate_in = f->head.facts.rate_in, rate_out = f->head.facts.rate_out;
    const int64_t first = samples_until(rate_in, k);
    const size_t in_count = (size_t)(samples_until(rate_in, k + 1) - first);
    const size_t out_count = (size_t)(samples_until(rate_out, k + 1) - samples_until(rate_out, k));
    memset(f->in, 0, in_count * sizeof *f->in);
    if (first < (int64_t)f->input.count) {
        const size_t left = f->input.count - (size_t)first;
        memcpy(f->in, f->input.samples + first,
               (left < in_count ? left : in_count) * sizeof *f->in);
    }
    const int64_t origin = f->head.facts.simulated ? 0 : f->begin_us;
    const device_block block = {.in = f->in,
                                .in_count = in_count,
                                .out = f->out,
                                .out_count = out_count,
                                .adc_us = origin + k * PERIOD_US,
                                .dac_us = origin + (k + 1) * PERIOD_US};
    f->fn(f->context, &block);
    if (f->output != NULL && f->trouble.status == RNL_OK)
        (void)!sound_write(f->output, f->out, out_count, &f->trouble);
}

/* Callbacks for all periods that are over. */
static rnl_status catch_up(file_device *f, rnl_error *error) {
    while (f->running && (f->period_count + 1) * PERIOD_US <= f->now_us) run_period(f);
    if (f->trouble.status != RNL_OK && error != NULL) *error = f->trouble;
    return f->trouble.status;
}

static int64_t file_now_us(const device *d) {
    const file_device *f = (const file_device *)d;
    return d->facts.simulated ? f->now_us : clock_us();
}

static rnl_status file_wait(device *d, int64_t us, rnl_error *error) {
    file_device *f = (file_device *)d;
    if (d->facts.simulated) {
        f->now_us += us;
    } else {
        const struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
        (void)nanosleep(&t, NULL);
        f->now_us = clock_us() - f->begin_us;
    }
    return catch_up(f, error);
}

static rnl_status file_charge(device *d, int64_t us, rnl_error *error) {
    file_device *f = (file_device *)d;
    if (!d->facts.simulated) return RNL_OK;
    f->now_us += f->cost_us >= 0 ? f->cost_us : us;
    return catch_up(f, error);
}

static bool file_input_over(const device *d) {
    const file_device *f = (const file_device *)d;
    return f->has_input &&
           samples_until(d->facts.rate_in, f->period_count) >= (int64_t)f->input.count;
}

static rnl_status file_find(device *d, rnl_error *error) {
    (void)d;
    (void)error;
    return RNL_OK;
}

static rnl_status file_start(device *d, device_fn fn, void *context, rnl_error *error) {
    file_device *f = (file_device *)d;
    (void)error;
    f->fn = fn;
    f->context = context;
    f->begin_us = clock_us();
    f->running = true;
    return RNL_OK;
}

static void file_stop(device *d) {
    ((file_device *)d)->running = false;
}

static rnl_status file_finish(device **d, bool abort, rnl_error *error) {
    file_device *f = (file_device *)*d;
    rnl_status status = RNL_OK;
    if (f == NULL) return RNL_OK;
    if (abort || f->trouble.status != RNL_OK)
        sound_writer_abort(&f->output);
    else if (f->output != NULL)
        status = sound_writer_finish(&f->output, error);
    sound_free(&f->input);
    free(f);
    *d = NULL;
    return status;
}

static const device_verbs verbs = {.find = file_find,
                                   .start = file_start,
                                   .stop = file_stop,
                                   .now_us = file_now_us,
                                   .wait = file_wait,
                                   .charge = file_charge,
                                   .input_over = file_input_over,
                                   .finish = file_finish};

static void set_name(char *to, const char *name) {
    const size_t size = strlen(name) < DEVICE_NAME_CAP - 1 ? strlen(name) : DEVICE_NAME_CAP - 1;
    memcpy(to, name, size);
    to[size] = '\0';
}

bool device_is_file(const char *name) {
    return name != NULL && strncmp(name, "file:", 5) == 0;
}

rnl_status device_file_open(const device_config *config, device **out, rnl_error *error) {
    file_device *f = calloc(1, sizeof *f);
    *out = &f->head;
    if (f == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    const bool writes = device_is_file(config->output);
    const size_t prefix = strlen("file:");
    f->has_input = device_is_file(config->input);
    f->cost_us = config->sim_cost_ms < 0.0 ? -1 : (int64_t)(config->sim_cost_ms * 1000.0);
    rnl_status status = RNL_OK;
    if (f->has_input)
        status = sound_read(config->input + prefix, input_seconds_max, NULL, &f->input, error);
    if (status == RNL_OK && writes)
        status = sound_writer_create(config->output + prefix, RATE_OUT, &f->output, error);
    if (status != RNL_OK) {
        (void)file_finish(out, true, NULL);
        return status;
    }
    f->head.verbs = &verbs;
    f->head.facts = (device_facts){.rate_in = f->has_input ? f->input.rate : RATE_NULL,
                                   .rate_out = RATE_OUT,
                                   .one_clock = true,
                                   .faults = f->has_input ? &f->input.faults : NULL,
                                   .simulated = f->has_input || writes};
    set_name(f->head.facts.name_in, f->has_input ? config->input + prefix : "null");
    set_name(f->head.facts.name_out, writes ? config->output + prefix : "null");
    return RNL_OK;
}
