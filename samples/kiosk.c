/* A voice in a box: the live loop embedded, for those who own their audio.
 *
 *     kiosk MODEL MICROPHONE.wav LOUDSPEAKER.wav      both 16-bit mono at 16 kHz
 *
 * The two files stand for the sound hardware: replace microphone() and loudspeaker() by what reads
 * and writes 10 ms of yours, and now_us() by a clock that does not jump. */
#include <runnel/runnel_live.h>
#include <stdio.h>
#include <string.h>

enum { RATE = 16000, BLOCK = RATE / 100 };

static FILE *in, *out;
static int64_t blocks; /* 10 ms each; the clock of this box */

static int64_t now_us(void) {
    return blocks * 10000;
}

static int fail(const char *text) {
    (void)fprintf(stderr, "kiosk: %s\n", text);
    return 1;
}

/* The next 10 ms; false when the day is over. */
static bool microphone(float *samples) {
    int16_t pcm[BLOCK] = {0};
    blocks++;
    const size_t got = fread(pcm, 2, BLOCK, in);
    for (int i = 0; i < BLOCK; i++) samples[i] = (float)pcm[i] / 32768.0f;
    return got > 0;
}

static void loudspeaker(const float *samples) {
    int16_t pcm[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        const float x = samples[i] > 1.0f ? 1.0f : samples[i] < -1.0f ? -1.0f : samples[i];
        pcm[i] = (int16_t)(32767.0f * x);
    }
    (void)fwrite(pcm, 2, BLOCK, out);
}

static bool open_files(const char *input, const char *output) {
    uint32_t head[11] = {0};
    in = fopen(input, "rb");
    out = fopen(output, "wb");
    if (in == NULL || out == NULL || fread(head, 4, 11, in) != 11) return false;
    if (head[5] != 0x10001 || head[6] != RATE) return false; /* PCM mono, 16 kHz */
    return fwrite(head, 4, 11, out) == 11;                   /* corrected at the end */
}

static bool close_files(void) {
    const uint32_t size = (uint32_t)(2 * BLOCK * blocks), riff = size + 36;
    (void)fclose(in);
    bool good = fseek(out, 4, SEEK_SET) == 0 && fwrite(&riff, 4, 1, out) == 1;
    good = good && fseek(out, 40, SEEK_SET) == 0 && fwrite(&size, 4, 1, out) == 1;
    return fclose(out) == 0 && good;
}

/* What happens, for a display, a lamp, a log. */
static void look_at(rnl_live *live) {
    rnl_live_event e;
    while (rnl_live_next_event(live, &e) == RNL_OK) {
        if (e.kind == RNL_LIVE_TEXT) continue;
        printf("%7.2f s  %s", (double)now_us() / 1e6, rnl_live_kind_name(e.kind));
        if (e.kind == RNL_LIVE_TURN) {
            const char *text;
            size_t size;
            rnl_live_heard(live, &text, &size);
            printf(": %.*s%s", (int)size, text, e.turn.barged_in ? " -" : "");
        }
        printf("\n");
    }
}

/* 10 ms of everything. The reference tells the loop what the microphone may hear of itself. */
static rnl_status tick(rnl_live *live, const float *heard, float *said, rnl_error *error) {
    const rnl_live_sound sound = {
        .mic = heard, .reference = said, .count = BLOCK, .adc_us = now_us() - 10000};
    size_t taken, got;
    rnl_status status = rnl_live_push(live, &sound, now_us(), &taken, error);
    while (status == RNL_OK) {
        status = rnl_live_step(live, now_us(), error);
        look_at(live);
    }
    memset(said, 0, BLOCK * sizeof *said);
    (void)!rnl_live_pull(live, said, BLOCK, now_us(), now_us(), &got);
    loudspeaker(said);
    return status;
}

int main(int argc, char **argv) {
    rnl_error error;
    rnl_model *model;
    rnl_live *live;
    if (argc != 4 || !open_files(argv[2], argv[3]))
        return fail("usage: kiosk MODEL MICROPHONE.wav LOUDSPEAKER.wav (16-bit mono, 16 kHz)");
    if (rnl_model_open(argv[1], NULL, &model, &error) != RNL_OK) return fail(error.text);
    rnl_live_config config = rnl_live_config_default(model);
    config.rate_in = config.rate_out = RATE;
    if (rnl_live_create(model, &config, &live, &error) != RNL_OK) return fail(error.text);
    float heard[BLOCK], said[BLOCK] = {0};
    rnl_live_facts facts = {0};
    while (microphone(heard) || !facts.idle) { /* to the end, and until the last word is out */
        if (feof(in)) rnl_live_finish(live);
        if (tick(live, heard, said, &error) < 0) return fail(error.text);
        rnl_live_get_facts(live, &facts);
    }
    rnl_live_destroy(&live);
    rnl_model_close(&model);
    return close_files() ? 0 : fail("the loudspeaker's file cannot be written");
}
