/* rnl_transcript from outside: any cut of the input and any number of threads give the same bits,
 * reset equals fresh, memory does not grow, silence gives no text, errors are told. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <runnel/runnel_transcript.h>

#include "core/clock.h"
#include "engine/transcript.h"
#include "tests/support/rig.h"

#define MINNOW SOURCE_DIR "/samples/minnow/minnow.gguf"

enum { RATE = 16000, CLIP_COUNT = 4, TEXT_CAP = 4096 };

typedef struct recording {
    rnl_model *model;
    float *samples;
    size_t count;
    double begins[CLIP_COUNT], ends[CLIP_COUNT]; /* s, of each clip, its own silence included */
} recording;

static const char *const clips[CLIP_COUNT] = {"held-00", "held-05", "held-10", "known-00"};

/* Four clips with a second of silence around each. */
static int make_recording(void **state) {
    recording *r = calloc(1, sizeof *r);
    r->model = rig_model(MINNOW);
    r->samples = calloc(40 * RATE, sizeof *r->samples);
    r->count = RATE;
    for (int i = 0; i < CLIP_COUNT; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "minnow/clips/%s.wav", clips[i]);
        const size_t n = rig_wav_count(path);
        float *clip = rig_wav(path, 0, n);
        memcpy(r->samples + r->count, clip, n * sizeof *clip);
        free(clip);
        r->begins[i] = (double)r->count / RATE;
        r->ends[i] = (double)(r->count + n) / RATE;
        r->count += n + RATE;
    }
    *state = r;
    return 0;
}

static int drop_recording(void **state) {
    recording *r = *state;
    rnl_model_close(&r->model);
    free(r->samples);
    free(r);
    return 0;
}

/* Everything that comes out, as one text. */
typedef struct heard {
    char text[TEXT_CAP];
    int piece_count;
    double begins[16], ends[16];
} heard;

static void keep(heard *h, const rnl_piece *p) {
    assert_int_equal(p->index, h->piece_count);
    assert_in_range(h->piece_count, 0, 15);
    assert_true(p->speech >= 0.4f && p->speech <= 1.0f);
    h->begins[h->piece_count] = p->begin;
    h->ends[h->piece_count++] = p->end;
    size_t used = strlen(h->text);
    used += (size_t)snprintf(h->text + used, TEXT_CAP - used, "[%.3f %.3f %.6f %s]", p->begin,
                             p->end, (double)p->confidence, p->text);
    for (size_t i = 0; i < p->word_count; i++) {
        const rnl_word *w = &p->words[i];
        assert_true(w->begin >= p->begin && w->end <= p->end + 1e-9 && w->begin < w->end);
        assert_true(w->token_at + w->token_count <= p->token_count && w->confidence <= 0);
        used += (size_t)snprintf(h->text + used, TEXT_CAP - used, " %.3f", w->begin);
    }
    size_t words = 0;
    for (size_t i = 0; i < p->segment_count; i++) words += p->segments[i].word_count;
    assert_int_equal(words, p->word_count);
}

static void drain(rnl_transcript *t, heard *h, bool to_the_end) {
    rnl_piece piece;
    rnl_error error = {0};
    for (;;) {
        rnl_status status = rnl_transcript_pull(t, &piece);
        if (status == RNL_DONE) return;
        if (status == RNL_OK) {
            keep(h, &piece);
            continue;
        }
        status = rnl_transcript_step(t, &error);
        if (status < 0) fail_msg("%s", error.text);
        if (status == RNL_AGAIN && !to_the_end) return;
    }
}

/* Pushes in cuts of about `cut` samples. */
static void hear(rnl_transcript *t, const float *samples, size_t count, size_t cut, heard *h) {
    unsigned x = (unsigned)cut * 2654435761u;
    rnl_error error = {0};
    *h = (heard){0};
    for (size_t at = 0; at < count;) {
        x = x * 1664525u + 1013904223u;
        size_t n = 1 + (x >> 8) % cut, taken;
        if (n > count - at) n = count - at;
        if (rnl_transcript_push(t, samples + at, n, &taken, &error) != RNL_OK)
            fail_msg("%s", error.text);
        at += taken;
        if (taken < n) drain(t, h, false);
    }
    rnl_transcript_finish(t);
    rnl_transcript_finish(t);
    drain(t, h, true);
    rnl_piece piece;
    assert_int_equal(rnl_transcript_pull(t, &piece), RNL_DONE);
    assert_int_equal(rnl_transcript_step(t, &error), RNL_DONE);
}

static rnl_transcript *create(const recording *r, int thread_count) {
    rnl_transcript_config config = rnl_transcript_config_default(r->model);
    config.thread_count = thread_count;
    rnl_transcript *t = NULL;
    rnl_error error = {0};
    if (rnl_transcript_create(r->model, &config, &t, &error) != RNL_OK) fail_msg("%s", error.text);
    return t;
}

static void clips_are_found_and_understood(void **state) {
    const recording *r = *state;
    rnl_transcript *t = create(r, 2);
    heard h;
    hear(t, r->samples, r->count, 100000, &h);
    assert_int_equal(h.piece_count, CLIP_COUNT);
    for (int i = 0; i < CLIP_COUNT; i++)
        if (h.begins[i] < r->begins[i] - 0.02 || h.begins[i] > r->begins[i] + 0.25 ||
            h.ends[i] > r->ends[i] + 0.05 || h.ends[i] < r->ends[i] - 0.3)
            fail_msg("clip %d: %.3f to %.3f of %.3f to %.3f", i, h.begins[i], h.ends[i],
                     r->begins[i], r->ends[i]);
    assert_non_null(strstr(h.text, "Will i reach the museum in twelve minutes?"));
    rnl_transcript_stats stats;
    rnl_transcript_get_stats(t, &stats);
    assert_int_equal(stats.piece_count, CLIP_COUNT);
    assert_int_equal(stats.joined_count + stats.again_count + stats.skipped_count, 0);
    assert_true(stats.encode > 0 && stats.decode > 0);
    assert_true(fabs(stats.sound - (double)r->count / RATE) < 1e-9);
    rnl_transcript_destroy(&t);
    assert_null(t);
}

static void any_cut_and_any_threads_give_the_same(void **state) {
    const recording *r = *state;
    heard whole, other;
    rnl_transcript *t = create(r, 1);
    hear(t, r->samples, r->count, 1000000, &whole);
    const size_t cuts[] = {3000, 50, 70000};
    for (int i = 0; i < rig_rounds(3); i++) { /* reset equals fresh, too */
        rnl_transcript_reset(t, RATE);
        hear(t, r->samples, r->count, cuts[i], &other);
        assert_string_equal(whole.text, other.text);
    }
    rnl_transcript_destroy(&t);
    for (int threads = 2; threads <= 3; threads++) {
        t = create(r, threads);
        hear(t, r->samples, r->count, 20000, &other);
        assert_string_equal(whole.text, other.text);
        rnl_transcript_destroy(&t);
    }
}

/* Somebody with a recording of his own, in a batch with others. */
typedef struct caller {
    rnl_transcript *t;
    const recording *r;
    size_t cut;
    int times, resets;
    const char *wanted;
} caller;

static void *call(void *context) {
    const caller *c = context;
    heard h;
    for (int i = 0; i < c->times; i++) {
        size_t taken;
        rnl_error error;
        if (c->resets > i) {
            rnl_transcript_reset(c->t, RATE);
            assert_int_equal(rnl_transcript_push(c->t, c->r->samples, c->r->count, &taken, &error),
                             RNL_OK);
            (void)!rnl_transcript_step(c->t, &error);
        }
        rnl_transcript_reset(c->t, RATE);
        hear(c->t, c->r->samples, c->r->count, c->cut, &h);
        assert_string_equal(h.text, c->wanted);
    }
    return NULL;
}

static void transcripts_of_a_batch_are_apart(void **state) {
    enum { CALLERS = 3 };
    const recording *r = *state;
    heard whole;
    rnl_transcript *t = create(r, 1);
    hear(t, r->samples, r->count, 1000000, &whole);
    rnl_transcript_destroy(&t);
    rnl_transcript_config config = rnl_transcript_config_default(r->model);
    config.thread_count = 2;
    config.piece_cap = 2;
    const rnl_batch_config shared = rnl_transcript_batch_config(r->model, &config, CALLERS);
    rnl_batch *b = NULL;
    rnl_error error = {0};
    caller callers[CALLERS];
    pthread_t threads[CALLERS];
    assert_int_equal(rnl_batch_create(r->model, &shared, &b, &error), RNL_OK);
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (caller){.r = r, .cut = 10000 << i, .times = rig_rounds(2), .resets = i};
        callers[i].wanted = whole.text;
        if (rnl_transcript_create_in(b, &config, &callers[i].t, &error) != RNL_OK)
            fail_msg("%s", error.text);
    }
    t = NULL;
    assert_int_equal(rnl_transcript_create_in(b, &config, &t, &error), RNL_ERR_BUDGET);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
    for (int i = 0; i < CALLERS; i++) {
        (void)pthread_join(threads[i], NULL);
        rnl_transcript_destroy(&callers[i].t);
    }
    rnl_batch_destroy(&b);
}

static void reset_in_the_middle_forgets(void **state) {
    const recording *r = *state;
    heard fresh, again;
    rnl_error error;
    size_t taken;
    rnl_transcript *t = create(r, 2);
    hear(t, r->samples, r->count, 1000000, &fresh);
    rnl_transcript_reset(t, 44100);
    assert_int_equal(rnl_transcript_push(t, r->samples, r->count, &taken, &error), RNL_OK);
    rnl_transcript_reset(t, RATE);
    hear(t, r->samples, r->count, 1000000, &again);
    assert_string_equal(fresh.text, again.text);
    rnl_transcript_destroy(&t);
}

/* A melody of plucked notes over a bass, four a second, with a drum on every other. */
static float music(int i, float noise) {
    static const int steps[] = {0, 4, 7, 12, 9, 5, 2, 7, 11, 7, 4, 0, 5, 9, 12, 16};
    const int note = i / 4000;
    const float since = (float)(i % 4000) / RATE, t = (float)i / RATE;
    const float high = 220.0f * powf(2.0f, (float)steps[note % 16] / 12.0f);
    const float bass = 55.0f * powf(2.0f, (float)(steps[note / 4 % 16] % 12) / 12.0f);
    float y = 0.15f * sinf(6.2832f * bass * t);
    for (int k = 1; k <= 6; k++)
        y += 0.2f / (float)k * sinf(6.2832f * high * (float)k * t) * expf(-(float)k * 3.0f * since);
    return y + (note % 2 == 0 ? 0.3f * noise * expf(-40.0f * since) : 0.0f);
}

/* A piece that is being encoded while reset waits is not decoded any more. */
static void reset_begins_no_work(void **state) {
    const recording *r = *state;
    rnl_transcript_config c = rnl_transcript_config_default(r->model);
    c.thread_count = 2;
    c.piece_min = 0;
    c.piece_max = 10;
    rnl_transcript *t;
    assert_int_equal(rnl_transcript_create(r->model, &c, &t, NULL), RNL_OK);
    int met = 0;
    for (int i = 0; i < 5 * rig_rounds(3) && met < rig_rounds(3); i++) {
        size_t taken;
        assert_int_equal(rnl_transcript_push(t, r->samples, r->count, &taken, NULL), RNL_OK);
        slot *encoding = NULL;
        const double last = clock_seconds() + 10;
        while (encoding == NULL && clock_seconds() < last) {
            (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
            (void)pthread_mutex_lock(&t->batch->lock);
            for (int k = 0; k < t->slot_count; k++)
                if (t->slots[k].state == SLOT_ENCODING) encoding = &t->slots[k];
            if (encoding != NULL) encoding->decoded = -1;
            (void)pthread_mutex_unlock(&t->batch->lock);
        }
        /* The helper may have begun to decode in between; that is waited for. */
        (void)pthread_mutex_lock(&t->batch->lock);
        const bool meets = encoding != NULL && encoding->state == SLOT_ENCODING;
        (void)pthread_mutex_unlock(&t->batch->lock);
        rnl_transcript_reset(t, RATE);
        met += meets;
        if (meets) assert_true(encoding->decoded == -1);
    }
    assert_true(met > 0);
    heard h;
    hear(t, r->samples, r->count, 40000, &h);
    assert_true(h.piece_count > 0);
    rnl_transcript_destroy(&t);
}

static void silence_noise_and_music_give_nothing(void **state) {
    const recording *r = *state;
    float *sound = calloc(20 * RATE, sizeof *sound);
    for (int kind = 0; kind < 4; kind++) {
        unsigned x = 1;
        for (int i = 0; i < 20 * RATE; i++) {
            x = x * 1664525u + 1013904223u;
            const float noise = (float)(x >> 8) / 8388608.0f - 1.0f;
            /* nothing; noise; a chord with a beat; a tune with drums */
            sound[i] = kind == 0   ? 0.0f
                       : kind == 1 ? 0.1f * noise
                       : kind == 2 ? 0.2f * (sinf(0.0864f * (float)i) + sinf(0.1088f * (float)i)) *
                                         (float)(i % 8000) / 8000.0f
                                   : music(i, noise);
        }
        rnl_transcript *t = create(r, 1);
        heard h;
        hear(t, sound, 20 * RATE, 5000, &h);
        if (h.piece_count > 0) fail_msg("kind %d: %s", kind, h.text);
        rnl_transcript_destroy(&t);
    }
    free(sound);
}

/* The clips without their silence, 150 ms apart: no pause ends a piece, so the longest length of
 * 4 s does, and each cut must be in one of those 150 ms, not in a word. */
static void forced_cuts_are_between_sentences(void **state) {
    const recording *r = *state;
    const size_t pause = RATE * 15 / 100;
    float *sound = calloc(60 * RATE, sizeof *sound);
    double begins[CLIP_COUNT * 3], ends[CLIP_COUNT * 3]; /* s, of the pauses */
    size_t count = 0;
    for (int i = 0; i < CLIP_COUNT * 3; i++) {
        const int clip = i % CLIP_COUNT;
        size_t begin = (size_t)(r->begins[clip] * RATE), end = (size_t)(r->ends[clip] * RATE);
        while (fabsf(r->samples[begin]) < 0.01f) begin++;
        while (fabsf(r->samples[end - 1]) < 0.01f) end--;
        memcpy(sound + count, r->samples + begin, (end - begin) * sizeof *sound);
        count += end - begin;
        begins[i] = (double)count / RATE;
        count += pause;
        ends[i] = (double)count / RATE;
        assert_true(count < 60 * RATE);
    }
    rnl_transcript_config config = rnl_transcript_config_default(r->model);
    config.piece_max = 4;
    rnl_transcript *t = NULL;
    rnl_error error = {0};
    assert_int_equal(rnl_transcript_create(r->model, &config, &t, &error), RNL_OK);
    heard h;
    hear(t, sound, count, 10000, &h);
    rnl_transcript_stats stats;
    rnl_transcript_get_stats(t, &stats);
    assert_int_equal(stats.joined_count, 0);
    assert_true(h.piece_count >= 5);
    for (int i = 0; i + 1 < h.piece_count; i++) {
        bool found = false;
        for (int k = 0; k < CLIP_COUNT * 3; k++)
            found |= h.ends[i] > begins[k] - 0.04 && h.ends[i] < ends[k] &&
                     h.begins[i + 1] > begins[k] && h.begins[i + 1] < ends[k] + 0.04;
        if (!found) fail_msg("cut at %.3f to %.3f s", h.ends[i], h.begins[i + 1]);
    }
    rnl_transcript_destroy(&t);
    free(sound);
}

static void whole_is_one_piece(void **state) {
    const recording *r = *state;
    rnl_transcript_config config = rnl_transcript_config_default(r->model);
    config.whole = true;
    rnl_transcript *t = NULL;
    rnl_error error = {0};
    assert_int_equal(rnl_transcript_create(r->model, &config, &t, &error), RNL_OK);
    const size_t begin = (size_t)(r->begins[1] * RATE), end = (size_t)(r->ends[1] * RATE);
    heard h;
    hear(t, r->samples + begin, end - begin, 10000, &h);
    assert_int_equal(h.piece_count, 1);
    assert_non_null(strstr(h.text, "Will i reach the market in fifteen minutes?"));
    rnl_transcript_reset(t, RATE);
    size_t taken = 1;
    float *minute = calloc(61 * RATE, sizeof *minute);
    assert_int_equal(rnl_transcript_push(t, minute, 61 * RATE, &taken, &error), RNL_ERR_TOO_LONG);
    assert_int_equal(taken, 0);
    free(minute);
    hear(t, r->samples, 100, 100, &h); /* shorter than any clip: nothing, no error */
    assert_int_equal(h.piece_count, 0);
    rnl_transcript_destroy(&t);
}

static void mistakes_are_refused(void **state) {
    const recording *r = *state;
    rnl_error error = {0};
    rnl_transcript *t = NULL;
    const struct {
        const char *field;
        int rate, threads;
        double min, max;
    } rows[] = {{"rate", 3999, 1, 0, 8},           {"thread_count", 16000, 0, 0, 8},
                {"thread_count", 16000, 65, 0, 8}, {"piece_max", 16000, 1, 0, 31},
                {"piece_max", 16000, 1, 0, 0.5},   {"piece_min", 16000, 1, 9, 8},
                {"piece_min", 16000, 1, -1, 8},    {"piece_max", 16000, 1, 0, (double)NAN}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rnl_transcript_config config = rnl_transcript_config_default(r->model);
        config.rate = rows[i].rate;
        config.thread_count = rows[i].threads;
        config.piece_min = rows[i].min;
        config.piece_max = rows[i].max;
        assert_int_equal(rnl_transcript_create(r->model, &config, &t, &error), RNL_ERR_ARGUMENT);
        assert_null(t);
        assert_non_null(strstr(error.text, rows[i].field));
    }
    rnl_transcript_config config = rnl_transcript_config_default(r->model);
    config.memory_size_max = 1 << 20;
    assert_int_equal(rnl_transcript_create(r->model, &config, &t, &error), RNL_ERR_BUDGET);
    t = create(r, 1);
    assert_true(rnl_transcript_memory_size(t) > 1 << 20);
    size_t taken = 9;
    const float bad[] = {0, 0, NAN};
    assert_int_equal(rnl_transcript_push(t, bad, 3, &taken, &error), RNL_ERR_DATA);
    assert_int_equal(taken, 0);
    assert_int_equal(rnl_transcript_push(t, NULL, 1, &taken, &error), RNL_ERR_ARGUMENT);
    assert_int_equal(rnl_transcript_push(t, NULL, 0, &taken, &error), RNL_OK);
    assert_int_equal(rnl_transcript_step(t, &error), RNL_AGAIN);
    rnl_transcript_finish(t);
    assert_int_equal(rnl_transcript_push(t, bad, 1, &taken, &error), RNL_ERR_STATE);
    assert_int_equal(rnl_transcript_step(t, &error), RNL_DONE);
    rnl_transcript_destroy(&t);
    rnl_transcript_destroy(&t);
    rnl_transcript_destroy(NULL);
    rnl_model *text = rig_model("dense/tied");
    assert_int_equal(rnl_transcript_create(text, NULL, &t, &error), RNL_ERR_UNSUPPORTED);
    rnl_model_close(&text);
}

/* A model of random weights never ends its reply, so every piece is tried again in halves and cut
 * off in the end; nothing hangs and nothing is invented without bound. */
static void endless_replies_are_cut(void **state) {
    const recording *r = *state;
    rnl_model *tiny = rig_model("tiny");
    rnl_transcript_config config = rnl_transcript_config_default(tiny);
    assert_true(config.piece_min == 15 && config.piece_max == 25);
    config.thread_count = 2;
    rnl_transcript *t = NULL;
    rnl_error error = {0};
    assert_int_equal(rnl_transcript_create(tiny, &config, &t, &error), RNL_OK);
    size_t taken;
    assert_int_equal(rnl_transcript_push(t, r->samples, 6 * RATE, &taken, &error), RNL_OK);
    rnl_transcript_finish(t);
    rnl_piece piece;
    rnl_status status;
    while ((status = rnl_transcript_pull(t, &piece)) != RNL_DONE) {
        if (status == RNL_OK) {
            assert_true(piece.again && piece.finish != RNL_FINISH_END);
            assert_true(piece.token_count < 400);
        } else if (rnl_transcript_step(t, &error) < 0) {
            fail_msg("%s", error.text);
        }
    }
    rnl_transcript_destroy(&t);
    rnl_model_close(&tiny);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clips_are_found_and_understood),
        cmocka_unit_test(any_cut_and_any_threads_give_the_same),
        cmocka_unit_test(transcripts_of_a_batch_are_apart),
        cmocka_unit_test(reset_in_the_middle_forgets),
        cmocka_unit_test(reset_begins_no_work),
        cmocka_unit_test(silence_noise_and_music_give_nothing),
        cmocka_unit_test(forced_cuts_are_between_sentences),
        cmocka_unit_test(whole_is_one_piece),
        cmocka_unit_test(mistakes_are_refused),
        cmocka_unit_test(endless_replies_are_cut),
    };
    return cmocka_run_group_tests(tests, make_recording, drop_recording);
}
