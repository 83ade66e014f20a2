/* Changing the sampling rate of one mono clip (libsamplerate, best quality). Samples may come in
 * any pieces: the result has the same bits, because inside they always travel in blocks of one
 * size. The result has ceil(count * rate_out / rate_in) samples; equal rates pass through
 * untouched. */
#ifndef CORE_RESAMPLE_H
#define CORE_RESAMPLE_H

#include <runnel/runnel.h>

typedef struct resampler resampler;

/* Allocates all that is ever needed, libsamplerate's state included. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status resampler_create(resampler **out);
void resampler_destroy(resampler **r); /* NULL is fine; sets NULL */

/* Input samples that travel together, [1, 1024], default 1024: with fewer the first ones come out
 * sooner. Before begin. */
void resampler_set_block(resampler *r, size_t count);

/* Starts a clip; what was before is forgotten. Both rates in [4000, 768000]. */
void resampler_begin(resampler *r, int rate_in, int rate_out);

/* Takes samples and gives what is ready. *taken < count or *made == cap: call again. */
void resampler_push(resampler *r, const float *samples, size_t count, size_t *taken, float *out,
                    size_t cap, size_t *made);

/* After the last push: gives the rest, at most cap samples a call, *made == 0 when all is out. */
void resampler_finish(resampler *r, float *out, size_t cap, size_t *made);

/* ---- A stream that never ends: low delay instead of the best quality (the filter looks 46 samples
 * of the lower rate ahead: 3 ms at 16 kHz), and a ratio that may be steered. Output sample k
 * belongs to input position k * rate_in / rate_out, also where the filter begins. The same pieces
 * give the same bits; other pieces may differ in the last ones. */
typedef struct stream_resampler stream_resampler;

enum { STREAM_STEER_PPM_MAX = 500 };

/* Allocates all that is ever needed. Rates in [4000, 768000]. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status stream_resampler_create(int rate_in, int rate_out, stream_resampler **out);
void stream_resampler_destroy(stream_resampler **r); /* NULL is fine; sets NULL */
void stream_resampler_reset(stream_resampler *r);    /* as after create */
/* From now on ppm more output for the same input, within STREAM_STEER_PPM_MAX (clamped). Equal
 * rates pass through untouched until the first steering that is not 0. */
void stream_resampler_steer(stream_resampler *r, double ppm);
/* Takes samples and gives what is ready; *taken < count only when *made == cap. */
void stream_resampler_push(stream_resampler *r, const float *samples, size_t count, size_t *taken,
                           float *out, size_t cap, size_t *made);

#endif
