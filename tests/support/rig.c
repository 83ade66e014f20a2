#include "tests/support/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PATH_CAP = 1024 };

static const char *full_path(const char *path, char full[PATH_CAP]) {
    const bool absolute = path[0] == '/';
    (void)snprintf(full, PATH_CAP, "%s%s%s", absolute ? "" : TEST_DATA, absolute ? "" : "/", path);
    return full;
}

static rnl_model *open_model(const char *path, bool exact, const char *level) {
    char full[PATH_CAP];
    (void)full_path(path, full);
    rnl_model *model = NULL;
    rnl_error error = {0};
    rnl_model_config config = rnl_model_config_default();
    config.exact = exact;
    config.cpu = level;
    if (rnl_model_open(full, &config, &model, &error) != RNL_OK) fail_msg("%s", error.text);
    return model;
}

rnl_model *rig_model(const char *path) {
    return open_model(path, true, NULL);
}

rnl_model *rig_model_fast(const char *path) {
    return open_model(path, false, NULL);
}

rnl_model *rig_model_scalar(const char *path, bool exact) {
    return open_model(path, exact, "scalar");
}

rnl_model *rig_model_at(const char *path, const char *level) {
    char full[PATH_CAP];
    rnl_model *model = NULL;
    rnl_model_config config = rnl_model_config_default();
    rnl_error error = {0};
    config.cpu = level;
    const rnl_status status = rnl_model_open(full_path(path, full), &config, &model, &error);
    if (status != RNL_OK && status != RNL_ERR_ARGUMENT) fail_msg("%s", error.text);
    return model;
}

rnl_session *rig_session(rnl_model *model, int thread_count) {
    rnl_session_config config = rnl_session_config_default();
    config.context_cap = 512;
    config.clip_seconds_max = 12;
    config.thread_count = thread_count;
    config.snapshot_cap = 4;
    rnl_session *s = NULL;
    rnl_error error = {0};
    if (rnl_session_create(model, &config, &s, &error) != RNL_OK) fail_msg("%s", error.text);
    return s;
}

/* Moves to the first sample; other chunks may stand before it. Returns the number of samples. */
static size_t find_data(FILE *f) {
    unsigned char head[8];
    assert_int_equal(fseek(f, 12, SEEK_SET), 0);
    for (;;) {
        assert_int_equal(fread(head, 1, 8, f), 8);
        const size_t size =
            (size_t)head[4] | (size_t)head[5] << 8 | (size_t)head[6] << 16 | (size_t)head[7] << 24;
        if (memcmp(head, "data", 4) == 0) return size / 2;
        assert_int_equal(fseek(f, (long)size, SEEK_CUR), 0);
    }
}

size_t rig_wav_count(const char *path) {
    char full[PATH_CAP];
    FILE *f = fopen(full_path(path, full), "rb");
    if (f == NULL) fail_msg("%s: missing", full);
    const size_t count = find_data(f);
    fclose(f);
    return count;
}

float *rig_wav(const char *path, size_t begin, size_t end) {
    char full[PATH_CAP];
    FILE *f = fopen(full_path(path, full), "rb");
    if (f == NULL) fail_msg("%s: missing", full);
    float *out = malloc((end - begin) * sizeof *out);
    assert_non_null(out);
    find_data(f);
    assert_int_equal(fseek(f, 2 * (long)begin, SEEK_CUR), 0);
    for (size_t i = 0; i < end - begin; i++) {
        unsigned char b[2];
        assert_int_equal(fread(b, 1, 2, f), 2);
        out[i] = (float)(int16_t)((unsigned)b[0] | (unsigned)b[1] << 8) / 32768.0f;
    }
    fclose(f);
    return out;
}

static void pull(rnl_session *s, rig_result *r, size_t *text_size) {
    size_t got;
    r->text = realloc(r->text, *text_size + 4096 + 1);
    assert_non_null(r->text);
    while (rnl_session_pull_text(s, r->text + *text_size, 4096, &got) == RNL_OK) {
        *text_size += got;
        r->text = realloc(r->text, *text_size + 4096 + 1);
        assert_non_null(r->text);
    }
    r->text[*text_size] = '\0';
    do {
        r->samples = realloc(r->samples, (r->sample_count + 4096) * sizeof *r->samples);
        assert_non_null(r->samples);
        if (rnl_session_pull_samples(s, r->samples + r->sample_count, 4096, &got) != RNL_OK) return;
        r->sample_count += got;
    } while (got > 0);
}

rig_result rig_run(rnl_session *s) {
    rig_result r = {0};
    size_t text_size = 0;
    rnl_error error = {0};
    rnl_status status;
    do {
        status = rnl_session_step(s, &error);
        if (status < 0) fail_msg("%s", error.text);
        pull(s, &r, &text_size);
    } while (status != RNL_DONE);
    return r;
}

void rig_free(rig_result *r) {
    free(r->text);
    free(r->samples);
    *r = (rig_result){0};
}

void rig_begin(rnl_session *s, rnl_mode mode, int step_max) {
    rnl_turn_config turn = {
        .mode = mode,
        .text = {.temperature = 0, .top_k = 1, .top_p = 1, .repeat_penalty = 1},
        .audio = {.temperature = 0, .top_k = 1, .top_p = 1, .repeat_penalty = 1},
        .step_max = step_max,
        .text_run = 6,
        .audio_run = 12};
    rnl_error error = {0};
    if (rnl_session_begin(s, &turn, &error) != RNL_OK) fail_msg("%s", error.text);
}

void rig_text(rnl_session *s, rnl_role role, const char *text) {
    rnl_error error = {0};
    if (rnl_session_add_text(s, role, text, strlen(text), &error) != RNL_OK)
        fail_msg("%s", error.text);
}

void rig_clip_a(rnl_session *s) {
    float *clip = rig_wav("audio/question.wav", 0, 32000);
    rnl_error error = {0};
    rnl_status status;
    while ((status = rnl_session_add_audio(s, clip, 32000, 16000, &error)) == RNL_AGAIN)
        assert_int_equal(rnl_session_step(s, NULL), RNL_OK); /* of the clip before */
    if (status != RNL_OK) fail_msg("%s", error.text);
    free(clip);
}

int rig_rounds(int long_count) {
    return getenv("RUNNEL_TEST_SHORT") != NULL ? 1 : long_count;
}
