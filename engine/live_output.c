/* The reply's sound on its way out, and how much of it must be there before it may begin.
 *
 * The burst law: text_run steps without sound come between runs of audio_run frames. The buffer
 * must hold their time when such a burst begins. So the reply is held back until what is there,
 * plus what the rest of the run gains (its sound, less the time it takes to make),
 * covers the burst. On a machine that is fast enough this is the very first frame. On one that is
 * not, the loop says so once, and holds back more each time the sound has run out. */
#include "engine/live.h"

#include <math.h>
#include <string.h>

#include "core/status.h"

static const double safety = 1.25;          /* steps vary: measured spread of a step (LATENCY.md) */
static const double text_us_guess = 20000;  /* before anything was measured */
static const float audible = 0.0031622777f; /* -50 dBFS */
enum { LEAD_KEPT = RNL_RATE_OUT / 100 };    /* samples of silence before the first sound */

static int64_t us_of(int64_t samples) {
    return samples * 1000000 / RNL_RATE_OUT;
}

/* Sound of a frame. */
static double frame_us_of(const rnl_live *l) {
    return 1e6 * codec_frame_size(&l->model->codec) / RNL_RATE_OUT;
}

static int64_t waiting(const rnl_live *l) {
    return l->play_in - l->play_out;
}

void live_output_reset(rnl_live *l) {
    l->reply = (live_reply){.holding = true,
                            .lead_over = !l->config.lead_in_trim,
                            .audible = -1,
                            .slack_us = INT64_MAX,
                            .pulled_begin = l->pulled};
    l->play_in = l->play_out = 0;
    gain_init(&l->volume, l->config.rate_out);
    if (l->out != NULL) resampler_begin(l->out, RNL_RATE_OUT, l->config.rate_out);
}

/* What comes now is played right behind what is there; where that was played already, it begins as
 * a reply does. */
void live_output_go_on(rnl_live *l) {
    live_reply *r = &l->reply;
    r->complete = false;
    r->made_before = r->made;
    r->said_before = l->said_size;
    if (!r->finished) return;
    l->done_owed += !r->told_done;
    r->finished = r->told_done = false;
    r->holding = true;
    r->consumed_us = live_made_us(l);
    if (l->out != NULL) resampler_begin(l->out, RNL_RATE_OUT, l->config.rate_out);
}

/* ---- From the session ---- */

bool live_output_has_room(const rnl_live *l) {
    return LIVE_PLAY_CAP - waiting(l) >= 2 * SESSION_FRAME_CAP * codec_frame_size(&l->model->codec);
}

/* Of the silence that a reply begins with nobody wants more than a breath: samples [from, play_in)
 * are new. */
static void trim_lead(rnl_live *l, int64_t from) {
    live_reply *r = &l->reply;
    int64_t at = from;
    if (r->lead_over) return;
    while (at < l->play_in && !(fabsf(l->play[at % LIVE_PLAY_CAP]) > audible)) at++;
    r->lead_over = at < l->play_in;
    if (at - LEAD_KEPT <= l->play_out) return;
    r->trimmed += at - LEAD_KEPT - l->play_out;
    l->play_out = at - LEAD_KEPT;
}

void live_output_collect(rnl_live *l) {
    size_t got;
    for (;;) {
        const int64_t at = l->play_in % LIVE_PLAY_CAP;
        const int64_t room = LIVE_PLAY_CAP - waiting(l), end = LIVE_PLAY_CAP - at;
        const size_t cap = (size_t)(room < end ? room : end);
        if (cap == 0 || rnl_session_pull_samples(l->session, l->play + at, cap, &got) != RNL_OK)
            break;
        live_mark(l, RNL_LIVE_T8);
        l->play_in += (int64_t)got;
        l->reply.made += (int64_t)got;
        trim_lead(l, l->play_in - (int64_t)got);
    }
    char piece[256]; /* text beyond the cap is dropped: no reply is that long */
    while (rnl_session_pull_text(l->session, piece, sizeof piece, &got) == RNL_OK) {
        if (got > LIVE_SAID_CAP - l->said_size) continue;
        memcpy(l->said + l->said_size, piece, got);
        l->said_size += got;
    }
}

void live_tell_text(rnl_live *l) {
    while ((size_t)l->reply.text_told < l->said_size &&
           l->event_count + LIVE_EVENT_ROOM < LIVE_EVENT_CAP) {
        const char *text = l->said + l->reply.text_told;
        size_t size = l->said_size - (size_t)l->reply.text_told;
        if (size > RNL_LIVE_TEXT_CAP) {
            size = RNL_LIVE_TEXT_CAP; /* back to the first byte of a character */
            while (((unsigned char)text[size] & 0xC0) == 0x80) size--;
        }
        rnl_live_event *e = live_tell(l, RNL_LIVE_TEXT);
        memcpy(e->text, text, size);
        e->text_size = size;
        l->reply.text_told += (int)size;
    }
}

/* ---- The burst law ---- */

void live_output_learn(rnl_live *l, live_work work, int64_t us) {
    if (work != WORK_TEXT && work != WORK_FRAME) return;
    live_pace *p = &l->pace;
    const bool frame = work == WORK_FRAME;
    double *careful = frame ? &p->frame_us : &p->text_us;
    double *mean = frame ? &p->frame_mean_us : &p->text_mean_us;
    int64_t *most = frame ? &l->reply.frame_us_max : &l->reply.text_us_max;
    const double x = (double)us;
    if (us > *most) *most = us;
    p->frame_count += frame;
    if (l->batch != NULL) return; /* its passes do more than this loop's step */
    *careful += (x - *careful) * (*careful == 0 ? 1 : x > *careful ? 0.5 : 0.1);
    *mean += (x - *mean) * (*mean == 0 ? 1 : 0.1);
}

void live_output_pace(rnl_live *l, const schedule_pace *pace, double mean) {
    l->pace.text_us = pace->text_us;
    l->pace.frame_us = pace->frame_us;
    l->pace.text_mean_us = mean * pace->text_us;
    l->pace.frame_mean_us = mean * pace->frame_us;
}

bool live_output_is_playing(const rnl_live *l) {
    const live_reply *r = &l->reply;
    return l->phase == LIVE_REPLY && r->started && !r->holding && !r->complete;
}

int64_t live_output_end_us(const rnl_live *l) {
    return l->reply.clock_us + us_of(l->reply.made);
}

/* What a whole round of text and frames gains, with the average times: negative is too slow. */
static double round_gain_us(const rnl_live *l) {
    const rnl_turn_config *t = &l->config.turn;
    return t->audio_run * (frame_us_of(l) - l->pace.frame_mean_us) -
           t->text_run * l->pace.text_mean_us;
}

/* Whether a reply that begins to sound now, or goes on, will not run out. reserve_us: sound that is
 * made and not played. */
static bool is_enough(const rnl_live *l, double reserve_us) {
    enum { ROUNDS = 4 }; /* to prepare for on a machine that is too slow: about five seconds */
    const generate *loop = session_loop(l->session);
    const double frame_us = frame_us_of(l);
    const rnl_turn_config *t = &l->config.turn;
    if (l->reply.complete || reserve_us >= (double)us_of(LIVE_PLAY_CAP) / 2) return true;
    if (reserve_us <= 0) return false;
    const double text = l->pace.text_us > 0 ? l->pace.text_us : text_us_guess;
    const double frame = l->pace.frame_us > 0 ? l->pace.frame_us : 2 * text;
    const double loss = l->pace.frame_count > 0 ? -round_gain_us(l) : 0;
    double need = frame;
    if (!loop->text_done) {
        if (loop->in_audio) reserve_us += loop->left * (frame_us - frame);
        need += safety * text * (loop->in_audio ? t->text_run : loop->left);
        if (loss > 0) need += ROUNDS * loss;
    } else if (frame > frame_us) {
        need += ROUNDS * t->audio_run * (frame - frame_us);
    }
    return reserve_us >= need * l->pace.caution;
}

static void judge_speed(rnl_live *l) {
    if (l->pace.told_slow || l->pace.frame_count < l->config.turn.audio_run) return;
    if (round_gain_us(l) >= 0) return;
    l->pace.told_slow = true;
    (void)live_tell(l, RNL_LIVE_SLOW);
}

/* Sound of the reply that is to be played. */
static int64_t sound_us(const rnl_live *l) {
    return us_of(l->reply.made - l->reply.trimmed);
}

static void watch_reserve(rnl_live *l) {
    live_reply *r = &l->reply;
    const int64_t reserve = sound_us(l) - (l->now_us - r->clock_us);
    if (reserve < r->slack_us) r->slack_us = reserve;
    if (reserve >= 0) return;
    r->underruns++;
    r->holding = true;
    r->consumed_us = sound_us(l);
    if (l->pace.caution < 8) l->pace.caution *= 2;
}

/* What is there may begin, or go on. */
static void release(rnl_live *l) {
    live_reply *r = &l->reply;
    if (!r->holding || !(r->lead_over || r->complete)) return;
    if (!is_enough(l, (double)(sound_us(l) - r->consumed_us))) return;
    r->holding = false;
    r->clock_us = l->now_us - r->consumed_us; /* the first pull says it better */
}

void live_output_tick(rnl_live *l) {
    live_reply *r = &l->reply;
    if (l->phase != LIVE_REPLY) return;
    judge_speed(l);
    if (r->started && !r->told_start) {
        r->told_start = true;
        (void)live_tell(l, RNL_LIVE_SPEAKING);
    }
    if (r->started && !r->holding && !r->complete) watch_reserve(l);
    release(l);
}

/* ---- To the caller ---- */

/* Up to cap samples at rate_out from the ring. */
static size_t take(rnl_live *l, float *out, size_t cap) {
    live_reply *r = &l->reply;
    size_t done = 0;
    while (done < cap && waiting(l) > 0) {
        const int64_t at = l->play_out % LIVE_PLAY_CAP, end = LIVE_PLAY_CAP - at;
        const size_t count = (size_t)(waiting(l) < end ? waiting(l) : end);
        size_t taken = count < cap - done ? count : cap - done, made = taken;
        if (l->out != NULL)
            resampler_push(l->out, l->play + at, count, &taken, out + done, cap - done, &made);
        else
            memcpy(out + done, l->play + at, taken * sizeof *out);
        l->play_out += (int64_t)taken;
        done += made;
        if (taken == 0 && made == 0) break;
    }
    if (r->complete && waiting(l) == 0 && done < cap) {
        size_t made = 0;
        if (l->out != NULL) resampler_finish(l->out, out + done, cap - done, &made);
        r->finished = made == 0;
        done += made;
    }
    return done;
}

/* Counts samples that leave, and finds the first audible one. */
static void count_pulled(rnl_live *l, const float *samples, size_t count) {
    live_reply *r = &l->reply;
    for (size_t i = 0; i < count && r->audible < 0; i++)
        if (fabsf(samples[i]) > audible) r->audible = l->pulled + (int64_t)i;
    r->pulled += (int64_t)count;
    l->pulled += (int64_t)count;
}

static void stamp_pulled(rnl_live *l, int64_t begin, int64_t now_us, int64_t dac_us) {
    live_reply *r = &l->reply;
    int64_t *mark = l->turn.mark_us;
    if (!r->started) {
        r->started = true;
        r->clock_us = dac_us >= 0 ? dac_us : now_us;
        mark[RNL_LIVE_T9] = now_us;
        mark[RNL_LIVE_T10] = dac_us >= 0 ? dac_us : -1;
    }
    if (r->audible >= begin && dac_us >= 0 && mark[RNL_LIVE_T11] < 0)
        mark[RNL_LIVE_T11] = dac_us + (r->audible - begin) * 1000000 / l->config.rate_out;
}

rnl_status rnl_live_pull(rnl_live *l, float *samples, size_t cap, int64_t now_us, int64_t dac_us,
                         size_t *count) {
    live_reply *r = &l->reply;
    *count = 0;
    if (l->done_owed > 0) {
        l->done_owed--;
        return RNL_DONE;
    }
    if (l->fade_begin < l->fade_end) {
        const size_t left = l->fade_end - l->fade_begin;
        *count = left < cap ? left : cap;
        memcpy(samples, l->fade + l->fade_begin, *count * sizeof *samples);
        l->fade_begin += *count;
        return *count > 0 ? RNL_OK : RNL_AGAIN;
    }
    if (l->phase != LIVE_REPLY) return RNL_AGAIN;
    if (r->holding) { /* sound that the step before made goes out now, not behind one step more */
        live_stamp(l, now_us);
        release(l);
    }
    if (r->holding || cap == 0) return RNL_AGAIN;
    const int64_t begin = l->pulled;
    *count = take(l, samples, cap);
    count_pulled(l, samples, *count);
    if (*count > 0) {
        stamp_pulled(l, begin, now_us, dac_us);
        if (l->config.volume_inside) gain_apply(&l->volume, samples, *count);
        return RNL_OK;
    }
    if (!r->finished || r->told_done) return RNL_AGAIN;
    r->told_done = true;
    return RNL_DONE;
}

void rnl_live_queued(rnl_live *l, size_t sample_count) {
    l->queued = (int64_t)sample_count;
}

void rnl_live_cut_done(rnl_live *l, size_t dropped_count) {
    if (l->phase != LIVE_CUTTING || l->cut_done) return;
    l->cut_dropped = dropped_count;
    l->cut_done = true;
}

void live_output_duck(rnl_live *l, bool ducked) {
    gain_to(&l->volume, ducked ? GAIN_DUCKED : 1.0f, ducked ? GAIN_DUCK_MS : GAIN_RESTORE_MS);
}

/* The next samples of the reply, down to silence, wait to be pulled. */
static void fade_out(rnl_live *l) {
    if (l->fade_begin < l->fade_end) return; /* those of a hold do still, and end in silence */
    l->fade_begin = 0;
    l->fade_end = l->reply.holding ? 0 : take(l, l->fade, l->fade_cap);
    count_pulled(l, l->fade, l->fade_end);
    gain_to(&l->volume, 0.0f, GAIN_FADE_MS);
    gain_apply(&l->volume, l->fade, l->fade_end);
}

bool live_output_cut(rnl_live *l) {
    if (!l->reply.started) return true; /* the fade of the one before may not be pulled yet */
    if (!l->config.volume_inside) return false;
    fade_out(l);
    return true;
}

/* Held is as if the sound had run out, but nobody has to learn from it. */
void live_output_hold(rnl_live *l) {
    live_reply *r = &l->reply;
    if (l->config.volume_inside) fade_out(l);
    if (r->holding) return;
    r->holding = true;
    const int64_t gone = l->now_us - r->clock_us, made = sound_us(l);
    r->consumed_us = gone < 0 ? 0 : gone > made ? made : gone;
}

void live_output_resume(rnl_live *l) {
    l->volume.now = l->volume.target = 0.0f;
    gain_to(&l->volume, 1.0f, GAIN_RESUME_MS);
}

/* Samples of the reply the caller has played. */
static int64_t played(const rnl_live *l) {
    const live_reply *r = &l->reply;
    const int64_t queued = l->queued < r->pulled ? l->queued : r->pulled;
    return r->pulled - queued - r->dropped;
}

size_t live_played(const rnl_live *l) {
    const int64_t count = played(l);
    if (count <= 0) return 0;
    /* The sample that is being played has begun, too; what was left out went before all of it. */
    const int64_t sounded = (count * RNL_RATE_OUT + l->config.rate_out - 1) / l->config.rate_out;
    return (size_t)(l->reply.trimmed + sounded);
}

size_t live_played_of_part(const rnl_live *l) {
    const size_t count = live_played(l), before = (size_t)l->reply.made_before;
    return count > before ? count - before : 0;
}

int64_t live_made_us(const rnl_live *l) {
    return sound_us(l);
}

bool live_output_is_silent(const rnl_live *l) {
    const live_reply *r = &l->reply;
    if (!r->complete || (r->made > 0 && !r->finished)) return false;
    if (r->started && l->fade_begin < l->fade_end) return false; /* of a hold near its end */
    return played(l) == r->pulled;
}

bool live_output_is_over(const rnl_live *l) {
    return live_output_is_silent(l) && !live_calls_are_open(l);
}

/* Of the parts before the last call, in proportion: whole words of so many bytes. */
static size_t heard_before(const rnl_live *l, size_t count) {
    const live_reply *r = &l->reply;
    size_t size = r->said_before;
    if (count >= (size_t)r->made_before) return size;
    size = (size_t)((double)size * (double)count / (double)r->made_before);
    while (size > 0 && l->said[size] != ' ') size--;
    return size;
}

void live_output_note_heard(rnl_live *l) {
    const size_t count = live_played(l);
    size_t size = 0;
    l->heard_size = l->said_size;
    if (!(l->reply.complete && count >= (size_t)l->reply.made))
        l->heard_size = heard_before(l, count);
    memcpy(l->heard_text, l->said, l->heard_size);
    if (l->heard_size < l->reply.said_before || l->heard_size == l->said_size) return;
    if (rnl_session_heard_text(l->session, live_played_of_part(l), l->heard_text + l->heard_size,
                               LIVE_SAID_CAP - l->heard_size, &size) == RNL_OK)
        l->heard_size += size;
}
