/* The machine of endpoint.h: suspect() decides about onsets, follow() about speech and pauses
 * within a turn, conclude() about its end. */
#include "vad/endpoint.h"

#include <assert.h>
#include <math.h>

#include "core/range.h"
#include "core/status.h"

enum {
    SAMPLES_PER_MS = VAD_RATE / 1000,
    BLOCK_MS = VAD_BLOCK / SAMPLES_PER_MS,
    GOOD_TURNS = 3 /* until an early cut is forgotten */
};

static const float odds_max = 2.3f; /* of one block: a probability of 0.91 */

endpoint_config endpoint_config_default(void) {
    return (endpoint_config){.enter = VAD_SPEECH_PROBABILITY,
                             .exit = 0.35f,
                             .mean_min = 0.6f,
                             .speech_ms_min = 250,
                             .interrupt_odds = 6.8f,
                             .gap_ms = 160,
                             .doubt_ms_max = 1000,
                             .resume_ms = 64,
                             .key_ms_min = RNL_SPEECH_MS_MIN,
                             .guess_ms = 100,
                             .end_ms = 500,
                             .end_ms_max = 900,
                             .end_ms_step = 150,
                             .end_ms_min = 350,
                             .sure = 0.8f,
                             .border = 0.6f,
                             .early_ms = 600,
                             .pre_roll_ms = 300,
                             .turn_ms_max = 30000,
                             .barge_in = true};
}

rnl_status endpoint_config_check(const endpoint_config *c, rnl_error *error) {
    const range ranges[] = {
        {"enter", (double)c->enter, 0.01, 1},
        {"exit", (double)c->exit, 0.01, (double)c->enter},
        {"mean_min", (double)c->mean_min, 0, 1},
        {"speech_ms_min", c->speech_ms_min, 32, 2000},
        {"interrupt_odds", (double)c->interrupt_odds, 1, 50},
        {"gap_ms", c->gap_ms, 32, 1000},
        {"doubt_ms_max", c->doubt_ms_max, 100, 10000},
        {"resume_ms", c->resume_ms, 32, 500},
        {"key_ms_min", c->key_ms_min, 32, 2000},
        {"guess_ms", c->guess_ms, 32, 1000},
        {"end_ms", c->end_ms, c->guess_ms, 5000},
        {"end_ms_max", c->end_ms_max, c->end_ms, 5000},
        {"end_ms_step", c->end_ms_step, 0, 2000},
        {"early_ms", c->early_ms, 0, 5000},
        {"pre_roll_ms", c->pre_roll_ms, 0, 2000},
        {"turn_ms_max", c->turn_ms_max, 2000, 600000},
        {"sure", (double)c->sure, 0, 1},
        {"border", (double)c->border, 0, (double)c->sure},
        {"end_ms_min", c->asks ? c->end_ms_min : c->end_ms,
         c->asks ? c->guess_ms + 2 * BLOCK_MS : c->end_ms, c->end_ms},
    };
    return range_check(ranges, sizeof ranges / sizeof *ranges, error);
}

static int64_t samples_of(int ms) {
    return (int64_t)ms * SAMPLES_PER_MS;
}

void endpoint_reset(endpoint *t, const endpoint_config *config) {
    *t = (endpoint){.config = *config, .previous_end = -1};
}

static int zone_ms(const endpoint_config *c, turn_zone zone) {
    return zone == TURN_SURE ? c->end_ms_min : zone == TURN_LONG ? c->end_ms_max : c->end_ms;
}

int endpoint_end_ms(const endpoint *t, turn_zone zone) {
    const int ms = zone_ms(&t->config, zone) + t->end_extra_ms;
    return ms < t->config.end_ms_max ? ms : t->config.end_ms_max;
}

/* As the answer about this pause has it. */
static turn_zone zone_of(const endpoint *t) {
    if (!t->config.asks || !t->answered) return TURN_MIDDLE;
    return t->answer >= t->config.sure    ? TURN_SURE
           : t->answer < t->config.border ? TURN_LONG
                                          : TURN_MIDDLE;
}

bool endpoint_waits(const endpoint *t) {
    return t->config.asks && !t->config.push_to_talk && t->guessed && !t->answered &&
           t->position + VAD_BLOCK - t->speech_end >= samples_of(endpoint_end_ms(t, TURN_SURE));
}

void endpoint_answer(endpoint *t, float probability) {
    assert(probability >= 0 && probability <= 1);
    if (!t->guessed) return;
    t->answered = true;
    t->answer = probability;
}

static void emit(const endpoint *t, turn_kind kind, turn_events *out) {
    assert(out->count < TURN_EVENT_CAP);
    turn_event *e = &out->list[out->count++];
    *e = (turn_event){.kind = kind,
                      .position = t->position,
                      .clip_begin = t->clip_begin,
                      .speech_begin = t->speech_begin,
                      .continues = t->continues};
    if (kind != TURN_GUESS && kind != TURN_END) return;
    const int64_t end = t->speech_end + samples_of(t->config.guess_ms);
    e->speech_end = t->speech_end;
    e->clip_end = end < t->position ? end : t->position;
}

/* Forgets the turn under way; what the turn before left stays. */
static void listen(endpoint *t, turn_phase phase) {
    t->phase = phase;
    t->silent = t->spoken = t->begun = t->guessed = t->continues = false;
    t->spoken_count = t->resume_count = 0;
    t->probabilities = 0;
    t->odds = 0;
}

static void begin_clip(endpoint *t, int64_t speech_begin) {
    const int64_t begin = speech_begin - samples_of(t->config.pre_roll_ms);
    t->speech_begin = speech_begin;
    t->clip_begin = begin > t->previous_clip_end ? begin : t->previous_clip_end;
    t->cut_probability = 2; /* above every probability */
}

static void end_turn(endpoint *t, turn_reason reason, turn_events *out) {
    emit(t, TURN_END, out);
    turn_event *e = &out->list[out->count - 1];
    e->reason = reason;
    t->previous_clip_end = e->clip_end;
    t->previous_end = reason == TURN_BY_SILENCE ? t->position : -1;
    listen(t, TURN_LISTENING);
}

/* Was the end of the turn before early? Then pauses may be longer from now on. */
static void judge_previous(endpoint *t) {
    t->extra_before_ms = t->end_extra_ms;
    t->extra_off_before_ms = t->end_extra_off_ms;
    if (t->previous_end < 0 || t->config.push_to_talk) return;
    if (t->speech_begin - t->previous_end <= samples_of(t->config.early_ms)) {
        const int least = t->config.asks ? t->config.end_ms_min : t->config.end_ms;
        const int room = t->config.end_ms_max - least;
        const int extra = t->end_extra_ms + t->config.end_ms_step;
        t->end_extra_ms = extra < room ? extra : room;
        t->end_extra_off_ms = (t->end_extra_ms + GOOD_TURNS - 1) / GOOD_TURNS;
        t->continues = true;
    } else {
        const int extra = t->end_extra_ms - t->end_extra_off_ms;
        t->end_extra_ms = extra > 0 ? extra : 0;
    }
}

static void count_spoken(endpoint *t, float probability) {
    t->spoken_count++;
    t->probabilities += (double)probability;
}

/* Of one block; none counts for more than any other that is sure. */
static float log_odds(float probability) {
    const float p = fminf(0.999f, fmaxf(0.001f, probability));
    return fminf(odds_max, fmaxf(-odds_max, logf(p / (1.0f - p))));
}

static bool is_turn(const endpoint *t) {
    return (int64_t)t->spoken_count * VAD_BLOCK >= samples_of(t->config.speech_ms_min) &&
           t->probabilities >= (double)t->config.mean_min * t->spoken_count;
}

/* While we listen, so much speech makes a turn whose mean is sure enough. While we speak, haste
 * counts, and the evidence of the blocks is added up (Wald's sequential test): what is plain is
 * taken after three, what is doubtful after more. */
static void suspect(endpoint *t, float probability, bool speaking, turn_events *out) {
    const bool spoken = probability >= t->config.exit;
    const int64_t begin = t->position - VAD_BLOCK;
    if (t->phase == TURN_DOUBTED && !spoken) listen(t, TURN_LISTENING);
    if (t->phase == TURN_LISTENING && probability >= t->config.enter &&
        (!speaking || t->config.barge_in)) {
        listen(t, TURN_SUSPECTED);
        begin_clip(t, begin);
        emit(t, TURN_ONSET, out);
    }
    if (t->phase != TURN_SUSPECTED) return;

    if (spoken) count_spoken(t, probability);
    if (!spoken && !t->silent) t->speech_end = begin;
    t->silent = !spoken;
    t->odds = fmaxf(0.0f, t->odds + log_odds(probability));
    if (spoken && (speaking ? t->odds >= t->config.interrupt_odds : is_turn(t))) {
        judge_previous(t);
        t->phase = TURN_SPEAKING;
        t->spoken = true;
        emit(t, TURN_CONFIRMED, out);
    } else if (t->silent && t->position - t->speech_end >= samples_of(t->config.gap_ms)) {
        emit(t, TURN_REJECTED, out);
        listen(t, TURN_LISTENING);
    } else if (t->position - t->speech_begin >= samples_of(t->config.doubt_ms_max)) {
        emit(t, TURN_REJECTED, out);
        listen(t, spoken ? TURN_DOUBTED : TURN_LISTENING);
    }
}

/* Follows speech and pauses of a turn. In a pause, sound shorter than resume_ms changes nothing. */
static void follow(endpoint *t, float probability, turn_events *out) {
    const int64_t begin = t->position - VAD_BLOCK;
    if (!t->silent) {
        if (probability >= t->config.exit) return;
        t->silent = true;
        t->speech_end = begin;
        t->resume_count = 0;
        return;
    }
    const bool sounds = probability >= (t->resume_count > 0 ? t->config.exit : t->config.enter);
    t->resume_count = sounds ? t->resume_count + 1 : 0;
    if (t->resume_count * (int64_t)VAD_BLOCK < samples_of(t->config.resume_ms)) return;
    t->silent = false;
    if (!t->spoken && !t->begun) {
        const int64_t key_begin = t->clip_begin;
        begin_clip(t, t->position - t->resume_count * (int64_t)VAD_BLOCK);
        if (t->clip_begin < key_begin) t->clip_begin = key_begin;
        t->begun = true;
    }
    if (t->guessed) emit(t, TURN_WITHDRAWN, out);
    t->guessed = false;
}

/* While the key is held: so much speech makes a turn, whatever pauses are within it. */
static void weigh_key(endpoint *t, float probability) {
    t->spoken_count += probability >= t->config.enter;
    t->spoken =
        t->begun && (int64_t)t->spoken_count * VAD_BLOCK >= samples_of(t->config.key_ms_min);
}

/* The clip is as long as it may be and nobody pauses: cut where speech is least probable, and the
 * next turn begins there. */
static void cut(endpoint *t, turn_events *out) {
    const int64_t sample = t->cut_sample;
    t->speech_end = sample;
    end_turn(t, TURN_BY_LENGTH, out);
    out->list[out->count - 1].clip_end = sample;
    t->previous_clip_end = sample;
    begin_clip(t, sample);
    t->phase = TURN_SPEAKING;
    t->continues = t->spoken = true;
    emit(t, TURN_ONSET, out);
    emit(t, TURN_CONFIRMED, out);
}

static void hold_on(endpoint *t) {
    begin_clip(t, t->position);
    t->begun = false;
    t->spoken_count = 0;
}

/* SPEAKING after follow(): guess, end, or cut. */
static void conclude(endpoint *t, float probability, turn_events *out) {
    const int64_t length = t->position - t->clip_begin, cap = samples_of(t->config.turn_ms_max);
    const bool long_turn = length > cap - cap / 4;
    if (long_turn && probability < t->cut_probability) {
        t->cut_probability = probability;
        t->cut_sample = t->position - VAD_BLOCK / 2;
    }
    if (t->silent && t->spoken && t->resume_count == 0) {
        const int64_t silence = t->position - t->speech_end;
        if (!t->guessed && silence >= samples_of(t->config.guess_ms) && !long_turn) {
            emit(t, TURN_GUESS, out);
            t->guessed = true;
            t->answered = false;
        }
        if (long_turn && silence >= samples_of(t->config.guess_ms)) {
            end_turn(t, TURN_BY_LENGTH, out);
            return;
        }
        const turn_zone zone = zone_of(t);
        if (!t->config.push_to_talk && silence >= samples_of(endpoint_end_ms(t, zone))) {
            const bool learned = endpoint_end_ms(t, zone) > zone_ms(&t->config, zone);
            end_turn(t, TURN_BY_SILENCE, out);
            out->list[out->count - 1].zone = learned ? TURN_LEARNED : zone;
            return;
        }
    }
    if (length + VAD_BLOCK <= cap) return;
    if (!t->silent && t->spoken)
        cut(t, out);
    else if (t->spoken)
        end_turn(t, TURN_BY_LENGTH, out);
    else
        hold_on(t); /* the key is held and nothing said: keep the newest sound */
}

static void release(endpoint *t, turn_reason reason, turn_events *out) {
    if (!t->silent) t->speech_end = t->position;
    if (t->spoken) {
        end_turn(t, reason, out);
    } else {
        emit(t, TURN_REJECTED, out);
        listen(t, TURN_LISTENING);
    }
}

void endpoint_push(endpoint *t, float probability, bool speaking, bool held, turn_events *out) {
    assert(probability >= 0 && probability <= 1 && !endpoint_waits(t));
    out->count = 0;
    const bool by_key = t->config.push_to_talk;
    if (by_key && !held && t->phase == TURN_SPEAKING) release(t, TURN_BY_RELEASE, out);
    t->position += VAD_BLOCK;
    if (by_key && held && t->phase == TURN_LISTENING) {
        listen(t, TURN_SPEAKING);
        begin_clip(t, t->position - VAD_BLOCK);
        t->silent = true;
        t->speech_end = t->speech_begin;
        emit(t, TURN_ONSET, out);
        emit(t, TURN_CONFIRMED, out);
    }
    if (t->phase != TURN_SPEAKING) {
        if (!by_key) suspect(t, probability, speaking, out);
        return;
    }
    follow(t, probability, out);
    if (!t->spoken) weigh_key(t, probability);
    conclude(t, probability, out);
}

void endpoint_dismiss(endpoint *t) {
    if (t->phase != TURN_SPEAKING) return;
    t->end_extra_ms = t->extra_before_ms;
    t->end_extra_off_ms = t->extra_off_before_ms;
    listen(t, TURN_LISTENING);
}

void endpoint_finish(endpoint *t, turn_events *out) {
    out->count = 0;
    if (t->phase == TURN_SPEAKING) {
        release(t, TURN_BY_FINISH, out);
    } else if (t->phase == TURN_SUSPECTED) {
        emit(t, TURN_REJECTED, out);
        listen(t, TURN_LISTENING);
    }
}
