/* Real Fourier transforms of one length. The only file behind it that knows FFTW is fft.c: FFTW is
 * GPL, and this is the seam for those who may not use it (NOTICE). */
#ifndef CORE_FFT_H
#define CORE_FFT_H

#include <runnel/runnel.h>

typedef struct fft_plan fft_plan; /* read-only after create: shared by threads */

/* Plans transforms of length points, length >= 2 and even. Planned without measuring, so that every
 * run gives the same bits. May be called from several threads. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status fft_plan_create(int length, fft_plan **out);
void fft_plan_destroy(fft_plan **p); /* NULL is fine; sets NULL */

/* All buffers are aligned to 64 bytes (asserted) and belong to the caller.
 * in [length], may be destroyed; out [length / 2 + 1, 2] real and imaginary parts. */
void fft_forward(const fft_plan *p, float *in, float *out);
/* in [length / 2 + 1, 2], destroyed; out [length]. Not scaled: forward then inverse gives
 * length times the signal. */
void fft_inverse(const fft_plan *p, float *in, float *out);

#endif
