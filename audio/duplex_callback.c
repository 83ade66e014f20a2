/* The sound card's thread: only moves samples. Everything it touches was made before; it neither
 * allocates, locks, waits nor calls the system (tests/unit/test_callback.c interposes and looks).
 * With two streams the input half and the output half run on two threads; they share nothing but
 * atomics and rings of which each has its own end. */
#include "audio/duplex_inner.h"

#include <string.h>

void callback_side_reset(callback_side *c) {
    gain_init(&c->volume, c->rate_out);
    gain_init(&c->fade, c->rate_out);
    (void)ring_drop(c->mic, ring_count(c->mic));
    (void)ring_drop(c->played, ring_count(c->played));
    (void)ring_drop(c->speaker, ring_count(c->speaker));
    (void)ring_drop(c->in_stamps, ring_count(c->in_stamps));
    (void)ring_drop(c->out_stamps, ring_count(c->out_stamps));
    c->cut_seen = ring_written(c->speaker);
    atomic_store(&c->cut_at, c->cut_seen);
    atomic_store(&c->ducked, false);
    atomic_store(&c->held, false);
    atomic_store(&c->reply_open, false);
    c->holding = false;
    c->last = c->decay = 0.0f;
    c->starved = false;
    c->lost_count = 0;
}

static void count(atomic_int_least64_t *counter, int64_t n) {
    /* One writer: no read-modify-write needed. */
    const int64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + n, memory_order_release);
}

/* Fills what is left of out with silence, reached from the last sample within 5 ms. */
static void run_out(callback_side *c, float *out, size_t n) {
    if (c->decay == 0.0f && c->last != 0.0f)
        c->decay = c->last / (float)(GAIN_FADE_MS * c->rate_out / 1000);
    size_t i = 0;
    for (; i < n && c->last != 0.0f; i++) {
        const float next = c->last - c->decay;
        c->last = (next > 0.0f) == (c->last > 0.0f) ? next : 0.0f;
        out[i] = c->last;
    }
    if (c->last == 0.0f) c->decay = 0.0f;
    memset(out + i, 0, (n - i) * sizeof *out);
}

static size_t fade_line(const callback_side *c) {
    return (size_t)(GAIN_FADE_MS * c->rate_out / 1000);
}

/* The fade of a cut, then the jump over what is not wanted. Returns samples put into out. */
static size_t fade_out(callback_side *c, float *out, size_t n, int64_t cut_at) {
    const size_t left = (size_t)(cut_at - ring_taken(c->speaker));
    if (c->cut_seen != cut_at) {
        const size_t line = c->holding ? c->fade_left : fade_line(c); /* what is left of a hold's */
        c->fade_left = left < line ? left : line;
        gain_to(&c->fade, 0.0f, 1000.0 * (double)c->fade_left / c->rate_out);
        c->cut_seen = cut_at;
    }
    const size_t got = ring_read(c->speaker, out, n < c->fade_left ? n : c->fade_left);
    gain_apply(&c->fade, out, got);
    c->fade_left -= got;
    if (c->fade_left > 0) return got;
    if (got > 0) out[got - 1] = 0.0f; /* the line ends there, whatever it was rounded to */
    (void)ring_drop(c->speaker, left - got);
    gain_init(&c->fade, c->rate_out);
    gain_init(&c->volume, c->rate_out);
    c->holding = false;
    return got;
}

/* The fade of a hold, then nothing: what waits in the ring stays. Returns samples put into out. */
static size_t hold(callback_side *c, float *out, size_t n) {
    if (!c->holding) {
        c->holding = true;
        c->starved = false;
        c->fade_left = fade_line(c);
        gain_to(&c->fade, 0.0f, GAIN_FADE_MS);
    }
    const size_t wanted = n < c->fade_left ? n : c->fade_left;
    const size_t got = ring_read(c->speaker, out, wanted);
    gain_apply(&c->fade, out, got);
    c->fade_left = got < wanted ? 0 : c->fade_left - got;
    if (c->fade_left > 0) return got;
    if (got > 0 && got == wanted) out[got - 1] = 0.0f;
    c->fade.now = c->fade.target = 0.0f;
    return got;
}

/* A hold is over and the sound goes on: up from where the fade has come to. */
static void go_on(callback_side *c) {
    c->holding = false;
    gain_init(&c->volume, c->rate_out);
    if (ring_count(c->speaker) > 0)
        gain_to(&c->fade, 1.0f, GAIN_RESUME_MS);
    else
        gain_init(&c->fade, c->rate_out); /* what comes is another reply, or late */
}

/* Sound from the loudspeaker's ring into out[n]; the rest is silence. */
static void render(callback_side *c, float *out, size_t n, out_stamp *stamp) {
    /* Before cut_at: a cut ends a hold, and not for a moment may the sound go on. */
    const bool held = atomic_load_explicit(&c->held, memory_order_acquire);
    const int64_t cut_at = atomic_load_explicit(&c->cut_at, memory_order_acquire);
    const bool open = atomic_load_explicit(&c->reply_open, memory_order_acquire);
    const bool ducked = atomic_load_explicit(&c->ducked, memory_order_relaxed);
    stamp->sound_index = ring_taken(c->speaker);
    size_t got;
    if (stamp->sound_index < cut_at) {
        got = fade_out(c, out, n, cut_at);
        c->starved = false;
    } else if (held) {
        got = hold(c, out, n);
    } else {
        if (c->holding) go_on(c);
        got = ring_read(c->speaker, out, n);
        if (got > 0 && c->starved) { /* back after a gap: from silence, without a click */
            c->fade.now = 0.0f;
            c->fade.target = 0.0f;
            gain_to(&c->fade, 1.0f, GAIN_FADE_MS);
        }
        if (got > 0) c->starved = false;
        gain_apply(&c->fade, out, got);
    }
    gain_to(&c->volume, ducked ? GAIN_DUCKED : 1.0f, ducked ? GAIN_DUCK_MS : GAIN_RESTORE_MS);
    gain_apply(&c->volume, out, got);
    stamp->sound_count = (int64_t)got;
    if (got > 0) {
        c->last = out[got - 1];
        c->decay = 0.0f;
    }
    if (got == n) return;
    if (open && !held && stamp->sound_index >= cut_at) {
        count(&c->late_count, (int64_t)(n - got));
        c->starved = true;
    }
    run_out(c, out + got, n - got);
}

static void take_input(callback_side *c, const device_block *b, bool fits) {
    if (b->in_lost) count(&c->in_xruns, 1);
    const in_stamp stamp = {
        .index = ring_written(c->mic), .adc_us = b->adc_us, .lost_count = c->lost_count};
    if (!fits || ring_write(c->in_stamps, &stamp, 1) == 0) {
        c->lost_count += (int64_t)b->in_count;
        count(&c->dropped_count, (int64_t)b->in_count);
        return;
    }
    c->lost_count = 0;
    (void)ring_write(c->mic, b->in, b->in_count);
}

static void give_output(callback_side *c, const device_block *b, bool fits) {
    if (b->out_lost) count(&c->out_xruns, 1);
    out_stamp stamp = {.index = ring_written(c->played), .dac_us = b->dac_us};
    render(c, b->out, b->out_count, &stamp);
    stamp.sound_dac_us = b->dac_us; /* sound always begins the block */
    if (fits && ring_write(c->out_stamps, &stamp, 1) == 1)
        (void)ring_write(c->played, b->out, b->out_count);
}

void duplex_callback(void *context, const device_block *b) {
    callback_side *c = context;
    /* In lockstep both go into their rings or neither, so that they stay in lockstep. */
    bool in_fits =
        b->in == NULL || (ring_room(c->mic) >= b->in_count && ring_room(c->in_stamps) > 0);
    bool out_fits =
        b->out == NULL || (ring_room(c->played) >= b->out_count && ring_room(c->out_stamps) > 0);
    if (c->one_clock) in_fits = out_fits = in_fits && out_fits;
    if (b->in != NULL) {
        take_input(c, b, in_fits);
        count(&c->in_calls, 1);
    }
    if (b->out != NULL) {
        give_output(c, b, out_fits);
        count(&c->out_calls, 1);
    }
}
