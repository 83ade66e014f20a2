#include "core/fft.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include <fftw3.h>

enum { ALIGN = 64 };

struct fft_plan {
    fftwf_plan forward, inverse;
};

/* FFTW's planner shares state between all plans of the process; execution does not. This lock is
 * the one static of the library. */
static pthread_mutex_t planner = PTHREAD_MUTEX_INITIALIZER;

static float *aligned_floats(size_t count) {
    const size_t size = (count * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
    return aligned_alloc(ALIGN, size);
}

rnl_status fft_plan_create(int length, fft_plan **out) {
    assert(length >= 2 && length % 2 == 0);
    *out = calloc(1, sizeof **out);
    float *real = aligned_floats((size_t)length);
    float *complex = aligned_floats((size_t)length + 2);
    if (*out != NULL && real != NULL && complex != NULL) {
        pthread_mutex_lock(&planner);
        fftwf_complex *c = (fftwf_complex *)(void *)complex;
        (*out)->forward =
            fftwf_plan_dft_r2c_1d(length, real, c, FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
        (*out)->inverse =
            fftwf_plan_dft_c2r_1d(length, c, real, FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
        pthread_mutex_unlock(&planner);
    }
    free(real);
    free(complex);
    if (*out != NULL && (*out)->forward != NULL && (*out)->inverse != NULL) return RNL_OK;
    fft_plan_destroy(out);
    return RNL_ERR_MEMORY;
}

void fft_plan_destroy(fft_plan **p) {
    if (*p == NULL) return;
    pthread_mutex_lock(&planner);
    if ((*p)->forward != NULL) fftwf_destroy_plan((*p)->forward);
    if ((*p)->inverse != NULL) fftwf_destroy_plan((*p)->inverse);
    pthread_mutex_unlock(&planner);
    free(*p);
    *p = NULL;
}

void fft_forward(const fft_plan *p, float *in, float *out) {
    assert((uintptr_t)in % ALIGN == 0 && (uintptr_t)out % ALIGN == 0);
    fftwf_execute_dft_r2c(p->forward, in, (fftwf_complex *)(void *)out);
}

void fft_inverse(const fft_plan *p, float *in, float *out) {
    assert((uintptr_t)in % ALIGN == 0 && (uintptr_t)out % ALIGN == 0);
    fftwf_execute_dft_c2r(p->inverse, (fftwf_complex *)(void *)in, out);
}
