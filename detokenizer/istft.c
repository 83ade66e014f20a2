#include "detokenizer/istft.h"

#include <math.h>
#include <string.h>

void istft_layout(istft_state *s, const istft_weights *w, arena *kept) {
    const size_t size = (size_t)w->size;
    *s = (istft_state){.w = w};
    s->sum = arena_take(kept, size, sizeof(float));
    s->weight = arena_take(kept, size, sizeof(float));
}

void istft_work_layout(istft_work *k, const istft_weights *w, arena *scratch) {
    const size_t size = (size_t)w->size;
    k->spectrum = arena_take(scratch, size + 2, sizeof(float));
    k->frame = arena_take(scratch, size, sizeof(float));
}

void istft_reset(istft_state *s) {
    memset(s->sum, 0, (size_t)s->w->size * sizeof *s->sum);
    memset(s->weight, 0, (size_t)s->w->size * sizeof *s->weight);
    s->frame_count = 0;
}

static void inverse(const istft_weights *w, istft_work *k, const float *log_magnitude,
                    const float *phase) {
    const int size = w->size, last = size / 2;
    for (int i = 0; i <= last; i++) {
        const float magnitude = expf(log_magnitude[i]) / (float)size; /* FFTW does not scale */
        k->spectrum[2 * i] = magnitude * cosf(phase[i]);
        k->spectrum[2 * i + 1] = magnitude * sinf(phase[i]);
    }
    /* A real signal has no imaginary part at the ends of the spectrum (audio.md 8.4). */
    k->spectrum[1] = 0.0f;
    k->spectrum[2 * last + 1] = 0.0f;
    fft_inverse(w->plan, k->spectrum, k->frame);
}

/* Samples [begin, end) of the overlap buffer, divided by the window that is really there. */
static int emit(const istft_state *s, int begin, int end, float *out) {
    for (int i = begin; i < end; i++) out[i - begin] = s->sum[i] / s->weight[i];
    return end > begin ? end - begin : 0;
}

int istft_push(istft_state *s, istft_work *k, const float *log_magnitude, const float *phase,
               float *out) {
    const int size = s->w->size, hop = s->w->hop;
    inverse(s->w, k, log_magnitude, phase);
    for (int i = 0; i < size; i++) {
        const float window = s->w->window[i];
        s->sum[i] += k->frame[i] * window;
        s->weight[i] += window * window;
    }
    /* The next frame starts one hop later, so the first hop of the buffer is final. The first
     * (size - hop) / 2 samples of the stream are padding and are dropped. */
    const int64_t padding = (size - hop) / 2;
    const int64_t start = s->frame_count * hop;
    const int skip = start >= padding ? 0 : (padding - start > hop ? hop : (int)(padding - start));
    const int count = emit(s, skip, hop, out);
    const size_t rest = (size_t)(size - hop);
    memmove(s->sum, s->sum + hop, rest * sizeof *s->sum);
    memmove(s->weight, s->weight + hop, rest * sizeof *s->weight);
    memset(s->sum + rest, 0, (size_t)hop * sizeof *s->sum);
    memset(s->weight + rest, 0, (size_t)hop * sizeof *s->weight);
    s->frame_count++;
    return count;
}

int istft_finish(istft_state *s, float *out) {
    const int64_t padding = (s->w->size - s->w->hop) / 2;
    const int64_t start = s->frame_count * s->w->hop;
    const int skip = start >= padding ? 0 : (int)(padding - start);
    return s->frame_count > 0 ? emit(s, skip, (int)padding, out) : 0;
}
