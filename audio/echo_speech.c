/* The barge-in gate's decision, a logistic regression. The weights were sought by what they do to a
 * loop in simulated rooms, other ones than the campaign's: which of 500 interruptions stop it in
 * 400 ms, and how often an hour of its own voice does (docs/LATENCY.md, "Room simulator"). */
#include <math.h>

#include "audio/echo.h"

/* Log odds for each log odd of the network, for each dB of excess, for each dB over the residual
 * expected, for each factor e by which what does not follow from our own sound grows. */
static const float by_network = 1.0f, by_excess = 0.48f, by_level = 0.17f, by_rest = 1.05f;
static const float base = -0.2f;
/* Less while the canceller learns, before the delay is known, at the beginning of our sound. */
static const float learning = 4.9f, unaligned = 6.6f, beginning = 2.8f;
static const float excess_max_db = 20.5f, level_min_db = -2.5f, level_max_db = 12.0f;
/* What the network hears hardly a hint of a voice in is none, however loud: a clap, a door, a pan.
 * (Of noises of 50 to 400 ms, two in twenty have more than one block of 0.05 or more.) */
static const float hint_probability = 0.05f, odds_without = -0.5f;

static float within(float x, float low, float high) {
    return fminf(high, fmaxf(low, x));
}

float echo_speech(const echo_measure *m, float probability) {
    if (!m->active) return probability;
    const float p = within(probability, 0.01f, 0.99f);
    float odds = base + by_network * logf(p / (1.0f - p)) +
                 by_excess * within(m->excess_db, 0.0f, excess_max_db) +
                 by_level * within(m->out_db - m->expected_db, level_min_db, level_max_db) +
                 by_rest * logf(1.02f - m->coherence);
    if (!m->settled) odds -= learning;
    if (m->delay_ms < 0.0f) odds -= unaligned;
    if (m->begins) odds -= beginning;
    if (probability < hint_probability) odds = fminf(odds, odds_without);
    return 1.0f / (1.0f + expf(-odds));
}
