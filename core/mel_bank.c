#include "core/mel_bank.h"

#include <math.h>

static double mel_of(double hz) {
    return hz < 1000.0 ? hz * 3.0 / 200.0 : 15.0 + 27.0 * log(hz / 1000.0) / log(6.4);
}

static double hz_of(double mel) {
    return mel < 15.0 ? mel * 200.0 / 3.0 : 1000.0 * exp((mel - 15.0) * log(6.4) / 27.0);
}

static double triangle(double f, double low, double centre, double high) {
    const double rise = (f - low) / (centre - low), fall = (high - f) / (high - centre);
    const double least = rise < fall ? rise : fall;
    return (least > 0.0 ? least : 0.0) * 2.0 / (high - low);
}

void mel_bank_make(int fft_len, int rate, int band_count, mel_band *bands, float *pool) {
    const double step = mel_of(rate / 2.0) / (band_count + 1);
    for (int i = 0; i < band_count; i++) {
        const double low = hz_of(step * i), centre = hz_of(step * (i + 1));
        const double high = hz_of(step * (i + 2));
        bands[i] = (mel_band){.weights = pool};
        for (int k = 0; k <= fft_len / 2; k++) {
            const float weight = (float)triangle((double)rate / fft_len * k, low, centre, high);
            if (!(weight > 0.0f)) continue;
            if (bands[i].count == 0) bands[i].begin = k;
            pool[bands[i].count++] = weight;
        }
        pool += bands[i].count;
    }
}

double mel_band_energy(const mel_band *band, const float *power) {
    double sum = 0.0;
    for (int k = 0; k < band->count; k++)
        sum += (double)band->weights[k] * (double)power[band->begin + k];
    return sum;
}
