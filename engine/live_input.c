/* What the microphone gives, up to the events of the turn machine.
 *
 *     push: rate_in -> 16 kHz -> rings of microphone and reference
 *     listen: 10 ms -> canceller -> heard; every 32 ms -> energy gate, VAD -> turn machine */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/status.h"
#include "engine/live.h"

static void put(float *ring, int64_t at, const float *x, size_t count) {
    for (size_t i = 0; i < count; i++) ring[(at + (int64_t)i) % LIVE_INPUT_CAP] = x[i];
}

/* Frames that became complete were pushed now. Sample k at 16 kHz stands where k / 16000 s of the
 * input do, and the input's end was at the converter at adc_end_us. */
static void stamp(rnl_live *l, size_t made, int64_t adc_end_us, int64_t now_us) {
    const int64_t end_us = l->in_count * 1000000 / l->config.rate_in;
    const int64_t first = l->pushed / LIVE_FRAME;
    l->pushed += (int64_t)made;
    for (int64_t frame = first; frame < l->pushed / LIVE_FRAME; frame++) {
        const int64_t begin_us = frame * LIVE_FRAME * 1000000 / RNL_RATE_IN;
        l->adc_us[frame % l->stamp_cap] = adc_end_us - (end_us - begin_us);
        l->push_us[frame % l->stamp_cap] = now_us;
    }
}

static size_t input_room(const rnl_live *l) {
    return (size_t)(LIVE_INPUT_CAP - (l->pushed - l->taken));
}

/* One piece through both resamplers, which take and make alike. Returns samples made. */
static size_t convert(rnl_live *l, const float *mic, const float *reference, size_t count,
                      size_t *taken) {
    enum { PIECE = 1024 };
    float out[PIECE];
    size_t made = 0;
    const size_t cap = input_room(l) < PIECE ? input_room(l) : PIECE;
    if (l->in_mic == NULL) {
        *taken = made = count < cap ? count : cap;
        put(l->mic, l->pushed, mic, made);
        if (reference != NULL) put(l->reference, l->pushed, reference, made);
    } else {
        static const float silence[PIECE] = {0};
        if (count > PIECE) count = PIECE;
        resampler_push(l->in_mic, mic, count, taken, out, cap, &made);
        put(l->mic, l->pushed, out, made);
        size_t same_taken, same_made;
        resampler_push(l->in_reference, reference != NULL ? reference : silence, count, &same_taken,
                       out, cap, &same_made);
        assert(same_taken == *taken && same_made == made);
        put(l->reference, l->pushed, out, made);
    }
    if (reference == NULL && l->in_mic == NULL)
        for (size_t i = 0; i < made; i++)
            l->reference[(l->pushed + (int64_t)i) % LIVE_INPUT_CAP] = 0.0f;
    return made;
}

rnl_status rnl_live_push(rnl_live *l, const rnl_live_sound *sound, int64_t now_us, size_t *taken,
                         rnl_error *error) {
    *taken = 0;
    for (size_t i = 0; i < sound->count; i++)
        if (!isfinite(sound->mic[i]) ||
            (sound->reference != NULL && !isfinite(sound->reference[i])))
            return status_fail(error, RNL_ERR_DATA,
                               "sample %zu of the microphone or its reference is not a number; "
                               "the sound is damaged",
                               i);
    while (*taken < sound->count && input_room(l) >= LIVE_FRAME) {
        size_t got;
        const float *reference = sound->reference != NULL ? sound->reference + *taken : NULL;
        const size_t made = convert(l, sound->mic + *taken, reference, sound->count - *taken, &got);
        *taken += got;
        l->in_count += (int64_t)got;
        const int64_t end_us = sound->adc_us + (int64_t)*taken * 1000000 / l->config.rate_in;
        stamp(l, made, end_us, now_us);
        if (got == 0 && made == 0) break;
    }
    return RNL_OK;
}

void rnl_live_finish(rnl_live *l) {
    l->finished = true;
}

void rnl_live_hold(rnl_live *l, bool down) {
    l->held = down;
}

static int64_t frame_of(const rnl_live *l, int64_t position) {
    const int64_t sample = position - l->input_delay;
    return sample < 0 ? 0 : sample / LIVE_FRAME;
}

int64_t live_adc_us(const rnl_live *l, int64_t position) {
    const int64_t sample = position - l->input_delay < 0 ? 0 : position - l->input_delay;
    return l->adc_us[frame_of(l, position) % l->stamp_cap] +
           sample % LIVE_FRAME * 1000000 / RNL_RATE_IN;
}

int64_t live_push_us(const rnl_live *l, int64_t position) {
    return l->push_us[frame_of(l, position) % l->stamp_cap];
}

static void watch_zeros(rnl_live *l, const float *mic) {
    for (int i = 0; i < LIVE_FRAME; i++) l->zero_count = mic[i] == 0.0f ? l->zero_count + 1 : 0;
    const bool muted = l->zero_count >= LIVE_MUTE_COUNT;
    if (muted == l->muted) return;
    l->muted = muted;
    (void)live_tell(l, muted ? RNL_LIVE_MUTED : RNL_LIVE_UNMUTED);
}

static float level_db(const float *x) {
    double power = 0;
    for (int i = 0; i < LIVE_FRAME; i++) power += (double)x[i] * (double)x[i];
    return power > 0 ? fmaxf(-100.0f, (float)(10.0 * log10(power / LIVE_FRAME))) : -100.0f;
}

/* 10 ms: from the rings through the canceller into heard. */
static void take_frame(rnl_live *l) {
    float mic[LIVE_FRAME], reference[LIVE_FRAME], out[LIVE_FRAME];
    for (int i = 0; i < LIVE_FRAME; i++) {
        const int64_t at = (l->taken + i) % LIVE_INPUT_CAP;
        mic[i] = l->mic[at];
        reference[i] = l->reference[at];
    }
    l->taken += LIVE_FRAME;
    watch_zeros(l, mic);
    if (l->echo != NULL) {
        echo_cancel(l->echo, mic, reference, out, &l->measure);
    } else {
        memcpy(out, mic, sizeof out);
        l->measure.mic_db = l->measure.out_db = level_db(mic);
        l->measure.reference_db = level_db(reference);
    }
    for (int i = 0; i < LIVE_FRAME; i++) {
        l->heard[(l->position + i) % l->heard_cap] = out[i];
        l->raw[(l->position + i) % LIVE_RAW_CAP] = mic[i];
    }
    l->position += LIVE_FRAME;
}

/* That somebody speaks in the block of heard that begins there. The networks hear every block,
 * whatever may veto it. What is left of a voice under our own sound may be faint: there the energy
 * gate, which looks at what is left, has no veto. */
static float probability_at(rnl_live *l, int64_t begin) {
    float block[VAD_BLOCK];
    for (int i = 0; i < VAD_BLOCK; i++) block[i] = l->heard[(begin + i) % l->heard_cap];
    const bool loud = energy_push(&l->energy, block);
    const float heard = vad_block(&l->vad, &l->model->kernels, block);
    if (l->echo == NULL) return loud ? heard : 0.0f;
    for (int i = 0; i < VAD_BLOCK; i++) block[i] = l->raw[(begin + i) % LIVE_RAW_CAP];
    const float raw = vad_block(&l->raw_vad, &l->model->kernels, block);
    return loud || l->measure.active ? echo_speech(&l->measure, heard, raw) : 0.0f;
}

/* The next 32 ms of heard. */
static void take_block(rnl_live *l) {
    const bool speaking = live_is_speaking(l);
    /* What it has heard before makes the network deaf to who talks into our sound: it begins anew
     * with each reply (docs/LATENCY.md, "Room simulator"). */
    if (speaking && !l->was_speaking && l->turns.phase == TURN_LISTENING) vad_reset(&l->vad);
    l->was_speaking = speaking;
    l->speech = probability_at(l, l->turns.position);
    const bool was_silent = l->turns.silent;
    endpoint_push(&l->turns, l->speech, speaking, l->held, &l->waiting);
    l->waiting_at = 0;
    /* A suspicion that comes to nothing while we answer is no end of this turn. */
    if (!was_silent && l->turns.silent && l->turns.phase == TURN_SPEAKING)
        *(l->phase == LIVE_HELD ? &l->hold.silent_us : &l->turn.mark_us[RNL_LIVE_T2]) = l->now_us;
}

bool live_hears(const rnl_live *l) {
    return l->pushed - l->taken >= LIVE_FRAME || l->waiting_at < l->waiting.count ||
           l->position - l->turns.position >= VAD_BLOCK;
}

void live_listen(rnl_live *l) {
    while (!live_is_urgent(l) && l->event_count + LIVE_EVENT_ROOM <= LIVE_EVENT_CAP) {
        if (l->waiting_at < l->waiting.count) {
            live_turn_event(l, &l->waiting.list[l->waiting_at++]);
        } else if (l->position - l->turns.position >= VAD_BLOCK) {
            if (endpoint_waits(&l->turns)) return; /* for the look: it is worked on next */
            take_block(l);
        } else if (l->pushed - l->taken >= LIVE_FRAME) {
            take_frame(l);
        } else if (l->finished && l->turns.phase != TURN_LISTENING) {
            endpoint_finish(&l->turns, &l->waiting);
            l->waiting_at = 0;
        } else {
            return;
        }
    }
}
