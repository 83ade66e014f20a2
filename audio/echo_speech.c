/* The barge-in gate's decision, a logistic regression. The weights were sought by what they do to a
 * loop in simulated rooms, other ones than the campaign's: which of 1,500 interruptions stop it in
 * 400 ms, and how often three hours of its own voice do (docs/LATENCY.md, "Room simulator"). */
#include <math.h>

#include "audio/echo.h"

/* Log odds for each log odd of the networks, for each dB of excess, for each factor e by which what
 * does not follow from our own sound grows. */
static const float by_heard = 0.81f, by_raw = 1.65f;
static const float by_excess = 0.278f, by_low = 0.546f, by_rest = 2.083f;
static const float base = -4.2f;
/* Less while the canceller learns, before the delay is known, at the beginning of our sound. */
static const float learning = 9.5f, unaligned = 7.0f, beginning = 6.6f;
static const float excess_max_db = 20.5f;
/* What the network hears hardly a hint of a voice in is none, however loud: a clap, a door, a pan.
 * (Of 180 noises of 50 to 400 ms, 20 have three blocks of 0.05 or more, most of them a buzz.) */
static const float hint_probability = 0.05f, odds_without = -0.5f;

static float log_odds(float probability) {
    const float p = fminf(0.99f, fmaxf(0.01f, probability));
    return logf(p / (1.0f - p));
}

float echo_speech(const echo_measure *m, float heard, float raw) {
    if (!m->active) return heard;
    float odds = base + by_heard * log_odds(heard) + by_raw * log_odds(raw) +
                 by_excess * fminf(excess_max_db, fmaxf(0.0f, m->excess_db)) + by_low * m->low_db +
                 by_rest * logf(1.02f - m->coherence);
    if (!m->settled) odds -= learning;
    if (m->delay_ms < 0.0f) odds -= unaligned;
    if (m->begins) odds -= beginning;
    if (heard < hint_probability) odds = fminf(odds, odds_without);
    return 1.0f / (1.0f + expf(-odds));
}
