/* The loop's side of the duplex: rings to 16 kHz blocks, 24 kHz samples to the ring, and what the
 * stamps tell. One thread; nothing is allocated after open, but reopen makes what depends on the
 * rates anew. */
#include "audio/duplex_inner.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "audio/drift.h"
#include "core/resample.h"
#include "core/status.h"

enum {
    CAPTURE_SECONDS = 4,
    SPEAKER_SECONDS = 1,
    CHUNK = 1024,     /* samples that pass a resampler at a time */
    FIFO_CAP = 8192,  /* 16 kHz samples waiting to fill a block: CHUNK at 4 kHz makes 4096 */
    RESERVE_MS = 20,  /* of the loudspeaker's ring, for the tail of a reply */
    PHRASE_CAP = 64,  /* replies whose place in the ring is remembered */
    SOUND_CAP = 1024, /* stretches of sound remembered: 10 s of 10 ms */
    LOST_AFTER_US = 1000000,
    /* A sound server takes the first buffers of a new stream and may then sleep for 2 s. */
    YOUNG_US = 3000000,
    YOUNG_LOST_AFTER_US = 5000000,
    WAIT_US = 10000,
    WAIT_STEP_US = 2000
};
/* Two clocks: the reference is so much ahead of its sound at the converter, so that the echo comes
 * after it although stamps are not exact. */
static const double reference_lead = 0.010; /* seconds */

typedef struct fifo {
    float samples[FIFO_CAP];
    size_t count;
} fifo;

/* Samples pushed without a break: one line from ring index to sample index. */
typedef struct phrase {
    int64_t ring_index, sample_index; /* of its first sample */
    int64_t ring_count, sample_count; /* so far; at the end the frames cover the samples */
} phrase;

struct duplex {
    device *device;
    callback_side side;
    stream_resampler *mic_in, *reference_in, *speaker_out;
    fifo mic, reference;
    float chunk[CHUNK];

    /* microphone */
    int64_t mic_taken;    /* 16 kHz samples given since start of the streams */
    int64_t sample_index; /* since the first start */
    in_stamp stamp;       /* the one that covers the next block */
    bool stamped;
    int64_t block_us;   /* adc_us of the last block */
    int64_t lost_count; /* 16 kHz samples to report with the next block */
    int64_t zero_count; /* device-rate frames of exact zeros in a row */

    /* reference with two clocks */
    drift drift;
    double reference_at;       /* device-rate position of the next reference sample */
    double ppm;                /* in force */
    bool aligned, was_aligned; /* now; ever */
    int64_t silence_count;     /* 16 kHz zeros to give before the reference goes on */
    int64_t drift_us;          /* of the last point */
    out_stamp out_last;
    bool out_stamped;

    /* loudspeaker */
    double lead_ms;
    phrase phrases[PHRASE_CAP];
    int phrase_count; /* ever begun */
    bool phrase_open;
    out_stamp sounds[SOUND_CAP]; /* stretches played, a ring */
    int64_t sound_count;         /* ever */
    int64_t pushed_count, played_count;
    int64_t sound_end;         /* sample after the last one that sounded */
    int64_t cut_from, cut_end; /* samples of the last cut: pushed since the one before it */
    int64_t cut_sound_end;     /* sample after the last one that sounded before the cut */

    /* watchdog */
    int64_t calls_in, calls_out, calls_in_us, calls_out_us, start_us, lost_us;
    bool searching; /* lost, and not found again so far */
    int64_t realign_count, reopen_count;
};

static void remove_streams(duplex *d) {
    stream_resampler_destroy(&d->mic_in);
    stream_resampler_destroy(&d->reference_in);
    stream_resampler_destroy(&d->speaker_out);
    ring_destroy(&d->side.mic);
    ring_destroy(&d->side.played);
    ring_destroy(&d->side.speaker);
    ring_destroy(&d->side.in_stamps);
    ring_destroy(&d->side.out_stamps);
}

static rnl_status make_streams(duplex *d) {
    const size_t in = (size_t)d->device->facts.rate_in, out = (size_t)d->device->facts.rate_out;
    callback_side *c = &d->side;
    if (ring_create(CAPTURE_SECONDS * in, sizeof(float), &c->mic) != RNL_OK ||
        ring_create(CAPTURE_SECONDS * out, sizeof(float), &c->played) != RNL_OK ||
        ring_create(SPEAKER_SECONDS * out, sizeof(float), &c->speaker) != RNL_OK ||
        ring_create(STAMP_CAP, sizeof(in_stamp), &c->in_stamps) != RNL_OK ||
        ring_create(STAMP_CAP, sizeof(out_stamp), &c->out_stamps) != RNL_OK ||
        stream_resampler_create((int)in, DUPLEX_RATE_MIC, &d->mic_in) != RNL_OK ||
        stream_resampler_create((int)out, DUPLEX_RATE_MIC, &d->reference_in) != RNL_OK ||
        stream_resampler_create(DUPLEX_RATE_SPEAKER, (int)out, &d->speaker_out) != RNL_OK)
        return RNL_ERR_MEMORY;
    c->rate_in = (int)in;
    c->rate_out = (int)out;
    c->one_clock = d->device->facts.one_clock;
    callback_side_reset(c);
    return RNL_OK;
}

/* 16 kHz samples that a resampler from rate holds back. */
static int held_back(int rate) {
    enum { FILTER = 48 }; /* core/resample.h: 46 samples of the lower rate, and rounding */
    if (rate == DUPLEX_RATE_MIC) return 0;
    return rate < DUPLEX_RATE_MIC ? FILTER * DUPLEX_RATE_MIC / rate : FILTER;
}

/* The state at the beginning of streams, after open and after reopen. */
static void begin_streams(duplex *d) {
    const int ahead = held_back(d->side.rate_in), behind = held_back(d->side.rate_out);
    d->mic.count = d->reference.count = 0;
    /* A microphone block need not wait for the reference's filter: that comes so much later. */
    memset(d->reference.samples, 0, sizeof d->reference.samples);
    if (d->side.one_clock && behind > ahead) d->reference.count = (size_t)(behind - ahead);
    d->mic_taken = 0;
    d->stamped = d->out_stamped = d->aligned = d->was_aligned = d->phrase_open = false;
    d->zero_count = d->silence_count = 0;
    d->reference_at = d->ppm = 0.0;
    drift_reset(&d->drift);
    d->drift_us = 0;
    d->calls_in = d->calls_out = -1;
    d->start_us = duplex_now_us(d);
    d->phrase_count = 0;
    d->sound_count = 0;
    atomic_store(&d->side.in_calls, 0);
    atomic_store(&d->side.out_calls, 0);
}

/* Makes what depends on the device's rates and starts it. */
static rnl_status start(duplex *d, rnl_error *error) {
    remove_streams(d);
    if (make_streams(d) != RNL_OK) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    begin_streams(d);
    return d->device->verbs->start(d->device, duplex_callback, &d->side, error);
}

rnl_status duplex_open(const device_config *config, duplex **out, rnl_error *error) {
    *out = NULL;
    device *opened = NULL;
    const rnl_status status = device_open(config, &opened, error);
    return status == RNL_OK ? duplex_open_on(opened, out, error) : status;
}

rnl_status duplex_open_on(device *opened, duplex **out, rnl_error *error) {
    duplex *d = calloc(1, sizeof *d);
    *out = NULL;
    if (d == NULL) {
        (void)opened->verbs->finish(&opened, true, NULL);
        return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    }
    d->device = opened;
    d->lead_ms = DUPLEX_LEAD_MS_DEFAULT;
    const rnl_status status = start(d, error);
    if (status != RNL_OK) {
        (void)duplex_close(&d, true, NULL);
        return status;
    }
    *out = d;
    return RNL_OK;
}

rnl_status duplex_close(duplex **out, bool abort, rnl_error *error) {
    duplex *d = *out;
    if (d == NULL) return RNL_OK;
    *out = NULL;
    d->device->verbs->stop(d->device);
    const rnl_status status = d->device->verbs->finish(&d->device, abort, error);
    remove_streams(d);
    free(d);
    return status;
}

const device_facts *duplex_facts(const duplex *d) {
    return &d->device->facts;
}

int64_t duplex_now_us(const duplex *d) {
    return d->device->verbs->now_us(d->device);
}

/* ---- Loudspeaker ---- */

static int64_t wanted_from(const duplex *d) {
    const int64_t taken = ring_taken(d->side.speaker), cut = atomic_load(&d->side.cut_at);
    return taken > cut ? taken : cut;
}

/* The sample that begins at a ring index, within its phrase. */
static int64_t sample_at(const duplex *d, const phrase *p, int64_t ring_index) {
    const int64_t frames = ring_index - p->ring_index;
    const int64_t n = frames * DUPLEX_RATE_SPEAKER / d->side.rate_out;
    return p->sample_index + (n < p->sample_count ? n : p->sample_count);
}

/* The phrase a ring index lies in, NULL when it is forgotten. */
static const phrase *phrase_of(const duplex *d, int64_t ring_index) {
    for (int k = d->phrase_count - 1; k >= 0 && k >= d->phrase_count - PHRASE_CAP; k--)
        if (d->phrases[k % PHRASE_CAP].ring_index <= ring_index) return &d->phrases[k % PHRASE_CAP];
    return NULL;
}

/* Takes the stamps of what was played. */
static void collect_sounds(duplex *d) {
    out_stamp s;
    while (ring_read(d->side.out_stamps, &s, 1) == 1) {
        d->out_last = s;
        d->out_stamped = true;
        if (s.sound_count == 0) continue;
        d->sounds[d->sound_count++ % SOUND_CAP] = s;
        const phrase *p = phrase_of(d, s.sound_index);
        if (p == NULL) continue;
        d->sound_end = sample_at(d, p, s.sound_index + s.sound_count);
        d->played_count += d->sound_end - sample_at(d, p, s.sound_index);
        if (s.sound_index < atomic_load(&d->side.cut_at)) d->cut_sound_end = d->sound_end;
    }
}

size_t duplex_queued(const duplex *d) {
    const int64_t frames = ring_written(d->side.speaker) - wanted_from(d);
    return (size_t)(frames * DUPLEX_RATE_SPEAKER / d->side.rate_out);
}

size_t duplex_room(const duplex *d) {
    const size_t lead = (size_t)(d->lead_ms * DUPLEX_RATE_SPEAKER / 1000.0);
    const size_t queued = duplex_queued(d);
    const size_t free_frames = ring_room(d->side.speaker),
                 reserve = (size_t)(d->side.rate_out * RESERVE_MS / 1000);
    if (queued >= lead || free_frames <= reserve) return 0;
    const size_t fits = (free_frames - reserve) * DUPLEX_RATE_SPEAKER / (size_t)d->side.rate_out;
    return lead - queued < fits ? lead - queued : fits;
}

void duplex_set_lead_ms(duplex *d, double ms) {
    d->lead_ms = fmax(10.0, fmin(900.0, ms));
}

static void open_phrase(duplex *d) {
    stream_resampler_reset(d->speaker_out);
    d->phrases[d->phrase_count++ % PHRASE_CAP] =
        (phrase){.ring_index = ring_written(d->side.speaker), .sample_index = d->pushed_count};
    d->phrase_open = true;
}

/* Through the resampler into the ring, at most frame_cap frames of it. */
static void to_ring(duplex *d, phrase *p, const float *samples, size_t count, size_t frame_cap) {
    float frames[CHUNK];
    for (size_t at = 0, taken, made; frame_cap > 0; at += taken) {
        const size_t cap = frame_cap < CHUNK ? frame_cap : CHUNK;
        stream_resampler_push(d->speaker_out, samples + at, count - at, &taken, frames, cap, &made);
        made = ring_write(d->side.speaker, frames, made);
        p->ring_count += (int64_t)made;
        frame_cap -= made;
        if (made < cap && at + taken == count) break;
    }
}

void duplex_push(duplex *d, const float *samples, size_t count, size_t *taken) {
    const size_t room = ring_room(d->side.speaker),
                 reserve = (size_t)(d->side.rate_out * RESERVE_MS / 1000);
    *taken = 0;
    if (room <= reserve || count == 0) return;
    const size_t fits = (room - reserve) * DUPLEX_RATE_SPEAKER / (size_t)d->side.rate_out;
    if (count > fits) count = fits;
    if (!d->phrase_open) open_phrase(d);
    phrase *p = &d->phrases[(d->phrase_count - 1) % PHRASE_CAP];
    while (*taken < count) {
        size_t n = count - *taken;
        if (n > CHUNK) n = CHUNK;
        for (size_t i = 0; i < n; i++) {
            const float x = samples[*taken + i];
            d->chunk[i] = !isfinite(x) ? 0.0f : x > 1.0f ? 1.0f : x < -1.0f ? -1.0f : x;
        }
        to_ring(d, p, d->chunk, n, SIZE_MAX);
        *taken += n;
    }
    p->sample_count += (int64_t)count;
    d->pushed_count += (int64_t)count;
    atomic_store(&d->side.reply_open, true);
}

void duplex_end(duplex *d) {
    if (!d->phrase_open) return;
    phrase *p = &d->phrases[(d->phrase_count - 1) % PHRASE_CAP];
    const int64_t rate = d->side.rate_out;
    const int64_t wanted =
        (p->sample_count * rate + DUPLEX_RATE_SPEAKER - 1) / DUPLEX_RATE_SPEAKER - p->ring_count;
    const float silence[CHUNK] = {0}; /* longer than the filter */
    if (wanted > 0) to_ring(d, p, silence, CHUNK, (size_t)wanted);
    d->phrase_open = false;
    atomic_store(&d->side.reply_open, false);
}

void duplex_duck(duplex *d, bool ducked) {
    atomic_store(&d->side.ducked, ducked);
}

void duplex_hold(duplex *d, bool held) {
    if (!held) atomic_store(&d->side.ducked, false);
    atomic_store(&d->side.held, held);
}

void duplex_cut(duplex *d) {
    collect_sounds(d);
    d->cut_from = d->cut_end;
    d->cut_end = d->pushed_count;
    d->cut_sound_end = d->sound_end;
    d->phrase_open = false;
    atomic_store(&d->side.reply_open, false);
    atomic_store(&d->side.ducked, false);
    atomic_store(&d->side.cut_at, ring_written(d->side.speaker));
    atomic_store(&d->side.held, false); /* after cut_at (render) */
}

rnl_status duplex_cut_done(duplex *d, int64_t *dropped_count) {
    *dropped_count = 0;
    if (ring_taken(d->side.speaker) < atomic_load(&d->side.cut_at)) return RNL_AGAIN;
    collect_sounds(d);
    const int64_t kept = d->cut_sound_end > d->cut_from ? d->cut_sound_end : d->cut_from;
    if (d->cut_end > kept) *dropped_count = d->cut_end - kept;
    return RNL_OK;
}

rnl_status duplex_dac_us(duplex *d, int64_t sample_index, int64_t *dac_us) {
    collect_sounds(d);
    const phrase *p = NULL;
    for (int k = d->phrase_count - 1; k >= 0 && k >= d->phrase_count - PHRASE_CAP; k--) {
        p = &d->phrases[k % PHRASE_CAP];
        if (p->sample_index <= sample_index) break;
        p = NULL;
    }
    if (p == NULL) return sample_index < d->pushed_count ? RNL_DONE : RNL_AGAIN;
    if (sample_index >= d->pushed_count) return RNL_AGAIN;
    const int64_t rate = d->side.rate_out;
    const int64_t at =
        p->ring_index + (sample_index - p->sample_index) * rate / DUPLEX_RATE_SPEAKER;
    for (int64_t k = d->sound_count - 1; k >= 0 && k >= d->sound_count - SOUND_CAP; k--) {
        const out_stamp *s = &d->sounds[k % SOUND_CAP];
        if (at < s->sound_index || at >= s->sound_index + s->sound_count) continue;
        *dac_us = s->sound_dac_us + (at - s->sound_index) * 1000000 / rate;
        return RNL_OK;
    }
    return at < wanted_from(d) ? RNL_DONE : RNL_AGAIN;
}

/* ---- Microphone and reference ---- */

/* Ring frames through a resampler until the fifo holds a block or the ring is empty. */
static void fill(duplex *d, ring *from, stream_resampler *through, fifo *to, bool microphone) {
    while (to->count < DUPLEX_BLOCK) {
        size_t taken, made;
        const size_t got = ring_peek(from, d->chunk, CHUNK);
        if (got == 0) return;
        stream_resampler_push(through, d->chunk, got, &taken, to->samples + to->count,
                              FIFO_CAP - to->count, &made);
        (void)ring_drop(from, taken);
        to->count += made;
        for (size_t i = 0; microphone && i < taken; i++)
            d->zero_count = d->chunk[i] == 0.0f ? d->zero_count + 1 : 0;
    }
}

static void take(fifo *f, float *samples, size_t count) {
    assert(count <= f->count);
    memcpy(samples, f->samples, count * sizeof *samples);
    f->count -= count;
    memmove(f->samples, f->samples + count, f->count * sizeof *samples);
}

/* The stamp that covers the next block, and by it the block's time. */
static int64_t time_of_block(duplex *d) {
    const int64_t at = d->mic_taken * d->side.rate_in / DUPLEX_RATE_MIC;
    in_stamp next;
    while (ring_peek(d->side.in_stamps, &next, 1) == 1 && next.index <= at) {
        (void)ring_drop(d->side.in_stamps, 1);
        d->stamp = next;
        if (next.lost_count > 0) {
            d->lost_count += next.lost_count * DUPLEX_RATE_MIC / d->side.rate_in;
            d->aligned = d->side.one_clock; /* two clocks: the streams have moved */
            drift_reset(&d->drift);
        }
    }
    const int64_t stamped = d->stamp.adc_us + (at - d->stamp.index) * 1000000 / d->side.rate_in;
    const int64_t expected = d->block_us + DUPLEX_BLOCK * 1000000 / DUPLEX_RATE_MIC;
    const int64_t off = stamped - expected;
    /* Callbacks come with jitter; the converter does not. */
    int64_t us = stamped;
    if (d->stamped && d->lost_count == 0 && off > -50000 && off < 50000) us = expected + off / 16;
    if (d->stamped && us < d->block_us) us = d->block_us;
    d->stamped = true;
    d->block_us = us;
    return us;
}

/* How far the loudspeaker's stream is ahead, a point a second. True: it has jumped. */
static bool compare_clocks(duplex *d, int64_t now_us) {
    if (!d->out_stamped || (d->drift.count > 0 && now_us - d->drift_us < 1000000)) return false;
    d->drift_us = now_us;
    const double mic = (double)d->stamp.index / d->side.rate_in;
    const double speaker = (double)d->out_last.index / d->side.rate_out +
                           1e-6 * (double)(d->stamp.adc_us - d->out_last.dac_us);
    return drift_add(&d->drift, 1e-6 * (double)now_us, speaker - mic);
}

/* Starts the reference anew where it belongs to the next block: frames before are dropped, a gap
 * before the first frame becomes silence. */
static void align(duplex *d, double wanted) {
    const int64_t rate = d->side.rate_out, first = ring_taken(d->side.played);
    int64_t at = (int64_t)(wanted * (double)rate);
    d->reference.count = 0;
    stream_resampler_reset(d->reference_in);
    d->silence_count = 0;
    d->ppm = 0.0;
    if (at < first) {
        d->silence_count = (first - at) * DUPLEX_RATE_MIC / rate;
        at = first;
    }
    (void)ring_drop(d->side.played, (size_t)(at - first));
    d->reference_at = (double)ring_taken(d->side.played);
    d->aligned = true;
}

/* Two clocks: keeps the reference beside the microphone. False: it cannot be told yet. */
static bool steer(duplex *d, int64_t now_us) {
    const bool jumped = compare_clocks(d, now_us);
    if (d->drift.count == 0) return false;
    const double mic = (double)d->mic_taken / DUPLEX_RATE_MIC;
    const double wanted = mic + drift_offset(&d->drift, 1e-6 * (double)now_us) + reference_lead;
    const double at =
        (d->reference_at - (double)d->silence_count * d->side.rate_out / DUPLEX_RATE_MIC) /
        d->side.rate_out;
    const double error = wanted - at;
    if (!d->aligned || jumped || fabs(error) > 0.050) {
        if (d->was_aligned) d->realign_count++;
        d->was_aligned = true;
        align(d, wanted);
    } else if (d->silence_count == 0) {
        d->ppm = drift_steer(&d->drift, error);
        stream_resampler_steer(d->reference_in, d->ppm);
    }
    return true;
}

/* Two clocks: one block of reference for the microphone's block of that time. */
static void steered_reference(duplex *d, float *block, int64_t now_us) {
    memset(block, 0, DUPLEX_BLOCK * sizeof *block);
    /* Before the loudspeaker's first callback there is nothing that could be heard. */
    if (!steer(d, now_us)) return;
    size_t silent = (size_t)d->silence_count;
    if (silent > DUPLEX_BLOCK) silent = DUPLEX_BLOCK;
    d->silence_count -= (int64_t)silent;
    const size_t n = DUPLEX_BLOCK - silent;
    if (n == 0) return;
    fill(d, d->side.played, d->reference_in, &d->reference, false);
    if (d->reference.count < n) {
        /* Its stream stalls: silence until it goes on, then aligned anew. */
        d->aligned = d->out_stamped = false;
        drift_reset(&d->drift);
        return;
    }
    take(&d->reference, block + silent, n);
    d->reference_at += (double)n * d->side.rate_out / DUPLEX_RATE_MIC / (1.0 + 1e-6 * d->ppm);
}

rnl_status duplex_pull(duplex *d, duplex_block *block) {
    collect_sounds(d);
    fill(d, d->side.mic, d->mic_in, &d->mic, true);
    if (d->mic.count < DUPLEX_BLOCK) return RNL_AGAIN;
    if (d->side.one_clock) {
        fill(d, d->side.played, d->reference_in, &d->reference, false);
        if (d->reference.count < DUPLEX_BLOCK) return RNL_AGAIN;
    }
    block->adc_us = time_of_block(d);
    block->sample_index = d->sample_index;
    block->lost_count = d->lost_count;
    d->lost_count = 0;
    take(&d->mic, block->mic, DUPLEX_BLOCK);
    if (d->side.one_clock)
        take(&d->reference, block->reference, DUPLEX_BLOCK);
    else
        steered_reference(d, block->reference, block->adc_us);
    d->mic_taken += DUPLEX_BLOCK;
    d->sample_index += DUPLEX_BLOCK;
    return RNL_OK;
}

/* ---- Time and loss ---- */

static bool is_lost(const duplex *d, int64_t last_us, int64_t now_us) {
    const bool young = last_us - d->start_us < YOUNG_US;
    return now_us - last_us > (young ? YOUNG_LOST_AFTER_US : LOST_AFTER_US);
}

static void note_calls(duplex *d, int64_t now) {
    const int64_t in = atomic_load(&d->side.in_calls), out = atomic_load(&d->side.out_calls);
    if (in != d->calls_in) d->calls_in_us = now;
    if (out != d->calls_out) d->calls_out_us = now;
    d->calls_in = in;
    d->calls_out = out;
}

/* A card that is gone calls no more, and says nothing. */
static rnl_status watch(duplex *d, rnl_error *error) {
    const int64_t now = duplex_now_us(d);
    note_calls(d, now);
    const bool in_lost = is_lost(d, d->calls_in_us, now);
    const bool out_lost = is_lost(d, d->calls_out_us, now);
    if (!in_lost && !out_lost) return RNL_OK;
    const device_facts *f = &d->device->facts;
    return status_fail(
        error, RNL_ERR_IO, "%s: the sound device has stopped %s; is it still plugged in?",
        in_lost ? f->name_in : f->name_out, in_lost ? "giving sound" : "taking sound");
}

static bool block_waits(const duplex *d) {
    const size_t frames = ring_count(d->side.mic);
    return d->mic.count + frames * DUPLEX_RATE_MIC / (size_t)d->side.rate_in >= DUPLEX_BLOCK;
}

rnl_status duplex_wait(duplex *d, rnl_error *error) {
    for (int us = 0; us < WAIT_US && (us == 0 || !block_waits(d)); us += WAIT_STEP_US) {
        const rnl_status status = d->device->verbs->wait(d->device, WAIT_STEP_US, error);
        if (status != RNL_OK) return status;
    }
    return watch(d, error);
}

rnl_status duplex_charge(duplex *d, int64_t us, rnl_error *error) {
    return d->device->verbs->charge(d->device, us, error);
}

rnl_status duplex_reopen(duplex *d) {
    device *const v = d->device;
    if (!d->searching) {
        /* The microphone is missing since its last callback, whenever that was noticed. */
        note_calls(d, duplex_now_us(d));
        d->lost_us = d->calls_in_us > d->start_us ? d->calls_in_us : d->start_us;
    }
    v->verbs->stop(v);
    if (!d->searching) duplex_cut(d);
    d->searching = true;
    if (v->verbs->find(v, NULL) != RNL_OK || start(d, NULL) != RNL_OK) return RNL_AGAIN;
    d->lost_count += (duplex_now_us(d) - d->lost_us) * DUPLEX_RATE_MIC / 1000000;
    d->searching = false;
    d->reopen_count++;
    return RNL_OK;
}

bool duplex_input_over(const duplex *d) {
    return d->device->verbs->input_over(d->device);
}

void duplex_get_counts(duplex *d, duplex_counts *counts) {
    collect_sounds(d);
    const callback_side *c = &d->side;
    *counts = (duplex_counts){
        .mic_count = d->sample_index,
        .pushed_count = d->pushed_count,
        .played_count = d->played_count,
        .cut_count = d->pushed_count - d->played_count - (int64_t)duplex_queued(d),
        .in_xruns = atomic_load(&c->in_xruns),
        .out_xruns = atomic_load(&c->out_xruns),
        .dropped_count = atomic_load(&c->dropped_count),
        .late_count = atomic_load(&c->late_count),
        .realign_count = d->realign_count,
        .reopen_count = d->reopen_count,
        .drift_ppm = c->one_clock ? 0.0 : drift_ppm(&d->drift),
        .zeros_us = d->zero_count * 1000000 / c->rate_in,
    };
}
