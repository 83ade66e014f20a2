/* Any bytes as a Wyoming client, cut anywhere, beside a model that answers at any time: nothing is
 * asked that a host may not be asked, and what is written is Wyoming. */
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "serve/wyoming.h"
#include "serve/wyoming_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct host_state {
    wyoming_reader *reader;
    bool job, hears;
    size_t room;
} host_state;

static void host_write(void *context, const char *bytes, size_t size) {
    host_state *h = context;
    for (size_t at = 0, taken; at < size; at += taken)
        if (wyoming_read(h->reader, bytes + at, size - at, &taken) == WYOMING_BROKEN) abort();
}

static const char *host_start(void *context, const wyoming_job *job) {
    host_state *h = context;
    if (h->job) abort();
    if (job->ask == WYOMING_HEAR && (job->rate < 4000 || job->rate > 192000)) abort();
    if (job->ask != WYOMING_HEAR && (job->text_size == 0 || job->text_size > WYOMING_TEXT_CAP))
        abort();
    if (!utf8_is_valid(job->text, job->text_size)) abort();
    if (job->text_size % 16 == 15) return "refused";
    h->job = true;
    h->hears = job->ask == WYOMING_HEAR;
    return NULL;
}

static size_t host_sound(void *context, const float *samples, size_t count) {
    host_state *h = context;
    if (!h->job || !h->hears) abort();
    for (size_t i = 0; i < count; i++)
        if (!(samples[i] >= -1 && samples[i] < 1)) abort();
    const size_t taken = count < h->room ? count : h->room;
    h->room -= taken;
    return taken;
}

static void host_sound_end(void *context) {
    host_state *h = context;
    if (!h->job || !h->hears) abort();
}

/* The model does what one byte says. */
static void answer(wyoming *w, host_state *h, uint8_t what) {
    static const int16_t samples[64];
    h->room += what;
    if (!h->job) return;
    if (what % 4 == 0 && what < 240) {
        h->job = false;
        wyoming_finished(w, 0);
    } else if (what % 4 == 0) {
        h->job = false;
        wyoming_failed(w, "it failed");
    } else if (what % 4 == 1) {
        wyoming_text(w, "text ", 5);
    } else if (!h->hears) {
        wyoming_speech(w, samples, what % 64);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    host_state h = {.room = 1000};
    const wyoming_host host = {&h, host_write, host_start, host_sound, host_sound_end};
    wyoming *w;
    if (wyoming_reader_create(&h.reader) != RNL_OK) abort();
    if (wyoming_create(&host, "{}", 0, &w) != RNL_OK) abort();
    for (size_t at = 1; at < size;) {
        /* Cuts and answers come from the bytes themselves. */
        const size_t most = 1 + (data[at] ^ data[0]);
        size_t taken;
        const rnl_status status = wyoming_push(w, (const char *)data + at,
                                               size - at < most ? size - at : most, &taken, 0);
        at += taken;
        if (status == RNL_DONE) break;
        if (status == RNL_AGAIN || data[0] % 2 == 0)
            answer(w, &h,
                   status == RNL_AGAIN && taken == 0 ? (uint8_t)(data[0] & 0xfc)
                                                     : data[at < size ? at : 0]);
    }
    wyoming_destroy(&w);
    wyoming_reader_destroy(&h.reader);
    return 0;
}
