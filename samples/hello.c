/* A spoken question answered: hello MODEL QUESTION.wav ANSWER.wav, both 16-bit mono. */
#include <math.h>
#include <runnel/runnel.h>
#include <stdio.h>
#include <string.h>

static int16_t pcm[60 * 48000]; /* the question, then the answer */

static int fail(const char *text) {
    (void)fprintf(stderr, "hello: %s\n", text);
    return 1;
}

/* Writes the canonical 44-byte header and the samples. */
static int write_wav(const char *path, uint32_t count, uint32_t rate) {
    const uint32_t head[] = {0x46464952, 36 + 2 * count, 0x45564157, 0x20746d66, 16,       0x10001,
                             rate,       2 * rate,       0x100002,   0x61746164, 2 * count};
    FILE *f = fopen(path, "wb");
    if (f == NULL) return fail("the answer cannot be written");
    const size_t written = fwrite(head, 4, 11, f) + fwrite(pcm, 2, count, f);
    return fclose(f) == 0 && written == 11 + count ? 0 : fail("the answer cannot be written");
}

int main(int argc, char **argv) {
    uint32_t head[11] = {0};
    FILE *f = argc == 4 ? fopen(argv[2], "rb") : NULL;
    if (f == NULL || fread(head, 4, 11, f) != 11 || head[5] != 0x10001)
        return fail("usage: hello MODEL QUESTION.wav ANSWER.wav (16-bit mono)");
    static float samples[60 * 48000];
    const size_t count = fread(pcm, 2, 60 * 48000, f);
    for (size_t i = 0; i < count; i++) samples[i] = (float)pcm[i] / 32768.0f;
    (void)fclose(f);
    rnl_error error;
    rnl_model *model;
    rnl_session *s;
    if (rnl_model_open(argv[1], NULL, &model, &error) != RNL_OK) return fail(error.text);
    if (rnl_session_create(model, NULL, &s, &error) != RNL_OK) return fail(error.text);
    const char *system = rnl_model_system_prompt(model, RNL_MODE_INTERLEAVED);
    const rnl_turn_config turn = rnl_turn_config_default(model, RNL_MODE_INTERLEAVED);
    if ((system != NULL && /* a text model has none */
         rnl_session_add_text(s, RNL_ROLE_SYSTEM, system, strlen(system), &error) != RNL_OK) ||
        rnl_session_add_audio(s, samples, count, (int)head[6], &error) != RNL_OK ||
        rnl_session_begin(s, &turn, &error) != RNL_OK)
        return fail(error.text);
    uint32_t made = 0;
    for (rnl_status status = RNL_OK; status != RNL_DONE;) {
        char text[256];
        size_t got;
        if ((status = rnl_session_step(s, &error)) < 0) return fail(error.text);
        while (rnl_session_pull_text(s, text, sizeof text, &got) == RNL_OK)
            (void)fwrite(text, 1, got, stdout);
        while (rnl_session_pull_samples(s, samples, 2048, &got) == RNL_OK)
            for (size_t i = 0; i < got && made < 60 * 24000; i++)
                pcm[made++] = (int16_t)(32767.0f * fmaxf(-1.0f, fminf(1.0f, samples[i])));
    }
    rnl_session_destroy(&s);
    rnl_model_close(&model);
    return write_wav(argv[3], made, RNL_RATE_OUT);
}
