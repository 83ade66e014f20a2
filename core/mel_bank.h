/* Triangular bands over the bins of a power spectrum, equally wide on Slaney's mel scale: linear
 * below 1 kHz, logarithmic above (audio.md 3.3), each triangle of area 1 in Hz. */
#ifndef CORE_MEL_BANK_H
#define CORE_MEL_BANK_H

typedef struct mel_band {
    int begin, count;     /* bins with weight */
    const float *weights; /* [count] */
} mel_band;

/* Floats that mel_bank_make may need: each bin belongs to at most two bands. */
#define MEL_BANK_POOL(fft_len) (2 * ((fft_len) / 2 + 1))

/* bands [band_count] from 0 to rate / 2 Hz, for a spectrum of fft_len points. Their weights are put
 * into pool [MEL_BANK_POOL(fft_len)], which must stay where it is. */
void mel_bank_make(int fft_len, int rate, int band_count, mel_band *bands, float *pool);

/* The power [fft_len / 2 + 1] within one band, summed in double. */
double mel_band_energy(const mel_band *band, const float *power);

#endif
