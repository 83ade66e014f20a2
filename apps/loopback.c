#include "apps/loopback.h"

#include <math.h>

#include "core/random.h"

enum { FADE = LOOPBACK_RATE_OUT / 100 };

void loopback_noise(float samples[LOOPBACK_NOISE]) {
    const float peak = 0.17320508f; /* of even noise with an RMS of 0.1 */
    random_state r;
    random_seed(&r, 7);
    for (int i = 0; i < LOOPBACK_NOISE; i++) {
        const int edge = i < LOOPBACK_NOISE - 1 - i ? i : LOOPBACK_NOISE - 1 - i;
        const float fade = edge < FADE ? (float)edge / FADE : 1.0f;
        samples[i] = fade * peak * (float)(2 * random_unit(&r) - 1);
    }
}

static double power_of(const float *x, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)x[i] * x[i];
    return count > 0 ? sum / (double)count : 0;
}

static double decibels(double power) {
    return power > 1e-10 ? 10 * log10(power) : -100;
}

/* Where the reference sounds. */
static void find_sound(const float *x, size_t count, size_t *begin, size_t *end) {
    const float floor = 1e-4f;
    *begin = 0;
    *end = count;
    while (*begin < count && fabsf(x[*begin]) < floor) ++*begin;
    while (*end > *begin && fabsf(x[*end - 1]) < floor) --*end;
}

void loopback_judge(const float *mic, const float *reference, size_t count, loopback *out) {
    /* Of unlike sounds a second long the best of 8,000 places has some 0.03. */
    const double share_min = 0.08;
    size_t begin, end, best = 0;
    double most = 0;
    *out = (loopback){.silent = true};
    for (size_t i = 0; i < count; i++) {
        out->silent = out->silent && mic[i] == 0;
        out->clipped = out->clipped || fabsf(mic[i]) > 0.99f;
    }
    find_sound(reference, count, &begin, &end);
    const double noise = power_of(mic, begin);
    out->noise_db = decibels(noise);
    const size_t size = end - begin;
    if (size == 0) return;
    for (size_t lag = 0; lag <= LOOPBACK_DELAY_CAP && end + lag <= count; lag++) {
        float sums[4] = {0}; /* side by side, for speed */
        const float *a = reference + begin, *b = mic + begin + lag;
        for (size_t i = 0; i + 4 <= size; i += 4)
            for (size_t k = 0; k < 4; k++) sums[k] += a[i + k] * b[i + k];
        const double sum = fabs((double)sums[0] + sums[1] + sums[2] + sums[3]);
        if (sum > most) {
            most = sum;
            best = lag;
        }
    }
    const double played = power_of(reference + begin, size);
    const double heard = power_of(mic + begin + best, size);
    const double share = most / (double)size / sqrt(played * heard);
    out->heard = heard > 0 && share > share_min;
    if (!out->heard) return;
    out->delay_ms = 1e3 * (double)best / LOOPBACK_RATE;
    /* The rest of the power is the room's; noise was there before. At least what is alike. */
    const double alike = share * share * heard;
    out->return_loss_db = decibels(played) - decibels(fmax(heard - noise, alike));
}
