/* Any bytes as Asterisk, cut anywhere, with ticks between: what is heard is sound, what is written
 * are whole messages of 20 ms. */
#include <stdlib.h>

#include "serve/audiosocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct call {
    audiosocket *a;
    int rate;
    size_t say;
} call;

static void host_write(void *context, const char *bytes, size_t size) {
    const call *c = context;
    const size_t length = (size_t)(uint8_t)bytes[1] << 8 | (uint8_t)bytes[2];
    if (size != length + 3) abort();
    if (size != 3 && length != (size_t)audiosocket_rate(c->a) / 50 * 2) abort();
}

static bool host_began(void *context, const char *uuid) {
    (void)context;
    return uuid[0] != '0';
}

static void host_sound(void *context, const float *samples, size_t count, int rate) {
    call *c = context;
    if (count == 0 || (c->rate != 0 && c->rate != rate)) abort();
    c->rate = rate;
    for (size_t i = 0; i < count; i++)
        if (!(samples[i] >= -1 && samples[i] < 1)) abort();
}

static void host_digit(void *context, char digit) {
    (void)context;
    if (digit == '\0') abort();
}

static size_t host_wanted(void *context, int16_t *samples, size_t count) {
    const call *c = context;
    const size_t given = c->say < count ? c->say : count;
    for (size_t i = 0; i < given; i++) samples[i] = (int16_t)i;
    return given;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    call c = {0};
    const audiosocket_host host = {&c, host_write, host_began, host_sound, host_digit, host_wanted};
    if (audiosocket_create(&host, &c.a) != RNL_OK) abort();
    int64_t now = 0, next;
    for (size_t at = 1; at < size;) {
        size_t count = 1 + (data[at] ^ data[0]);
        if (count > size - at) count = size - at;
        c.say = (size_t)data[at] * 16;
        now += data[at] * 500;
        if (audiosocket_push(c.a, (const char *)data + at, count, now) == RNL_DONE) break;
        audiosocket_tick(c.a, now, &next);
        if (next <= now) abort();
        at += count;
    }
    audiosocket_hang_up(c.a);
    audiosocket_destroy(&c.a);
    return 0;
}
