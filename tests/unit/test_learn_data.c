/* From lines of JSON to what is learnt: ids as a session lays them out, masks, packing, and what
 * is refused. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/session.h"
#include "learn/dataset.h"
#include "learn/spoken.h"
#include "tests/support/folder.h"
#include "tests/support/npy.h"
#include "tests/support/rig.h"

static rnl_model *model;

static int open_model(void **state) {
    (void)state;
    model = rig_model("tiny");
    return 0;
}

static int close_model(void **state) {
    (void)state;
    rnl_model_close(&model);
    return 0;
}

static rnl_status hear(void *context, const char *path, float **samples, size_t *count, int *rate,
                       rnl_error *error) {
    (void)context;
    (void)error;
    assert_string_equal(path, "/clips/a.wav");
    *count = 16000;
    *rate = 16000;
    *samples = calloc(*count, sizeof **samples);
    for (size_t i = 0; i < *count; i++) (*samples)[i] = (float)(i % 160) / 160.0f - 0.5f;
    return RNL_OK;
}

enum { CODE_FRAMES = 20 };

static rnl_status take_codes(void *context, const char *path, int32_t **codes, int *codebook_count,
                             int *frame_count, rnl_error *error) {
    (void)context;
    (void)path;
    (void)error;
    *codebook_count = model->backbone.codebook_count;
    *frame_count = CODE_FRAMES;
    *codes = malloc((size_t)(*codebook_count * CODE_FRAMES) * sizeof **codes);
    for (int i = 0; i < *codebook_count * CODE_FRAMES; i++) (*codes)[i] = i;
    return RNL_OK;
}

static learn_reading reading(void) {
    return (learn_reading){.length_max = 500,
                           .seconds_max = 5,
                           .thread_count = 1,
                           .media = {.sound = hear, .codes = take_codes}};
}

static learn_sample read_line(const learn_reading *how, const char *text) {
    learn_reader *r = NULL;
    learn_sample s;
    rnl_error error = {0};
    bool is_cut = false;
    if (learn_reader_create(model, how, &r, &error) != RNL_OK ||
        learn_reader_line(r, "x, line 1", "/clips", text, strlen(text), &s, &is_cut, &error) !=
            RNL_OK)
        fail_msg("%s", error.text);
    learn_reader_destroy(&r);
    return s;
}

/* The text of what is learnt, and of it all. */
static void texts_of(const learn_sample *s, char *learnt, char *all, size_t cap) {
    size_t a = 0, b = 0;
    for (int t = 0; t < s->count; t++) {
        const char *bytes = s->ids[t] == LEARN_ROW_HEARD ? "(h)" : "(f)";
        size_t size = 3;
        bool special;
        if (s->ids[t] >= 0)
            assert_true(bpe_token_bytes(model->source.text, s->ids[t], &bytes, &size, &special));
        b += (size_t)snprintf(all + b, cap - b, "%.*s", (int)size, bytes);
        if (s->learnt[t]) a += (size_t)snprintf(learnt + a, cap - a, "%.*s", (int)size, bytes);
    }
}

static void assert_texts(const learn_reading *how, const char *line, const char *want_learnt,
                         const char *want_all) {
    char learnt[4096] = "", all[4096] = "";
    learn_sample s = read_line(how, line);
    texts_of(&s, learnt, all, sizeof all);
    assert_string_equal(learnt, want_learnt);
    if (want_all != NULL) assert_string_equal(all, want_all);
    learn_sample_free(&s);
}

static void answers_are_learnt_and_nothing_else(void **state) {
    (void)state;
    learn_reading how = reading();
    const char *line = "{\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},"
                       "{\"role\":\"user\",\"content\":\"Hi\"},"
                       "{\"role\":\"assistant\",\"content\":\"Hello you\"},"
                       "{\"role\":\"user\",\"content\":\"<|im_end|> Bye\"},"
                       "{\"role\":\"assistant\",\"content\":\"Until then\"}]}";
    assert_texts(&how, line, "Hello you<|im_end|>\nUntil then<|im_end|>\n",
                 "<|startoftext|><|im_start|>system\nBe kind.<|im_end|>\n"
                 "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello you<|im_end|>\n"
                 "<|im_start|>user\n<|im_end|> Bye<|im_end|>\n"
                 "<|im_start|>assistant\nUntil then<|im_end|>\n");
    how.last_only = true;
    assert_texts(&how, line, "Until then<|im_end|>\n", NULL);
    how.skips_newline = true;
    assert_texts(&how, line, "Until then<|im_end|>", NULL);
    assert_texts(&how, "{\"prompt\":\"one two\",\"completion\":\" three\"}", " three<|im_end|>",
                 "<|startoftext|>one two three<|im_end|>");
    assert_texts(&how, "{\"text\":\"all of it\"}",
                 model->ids.text_stop >= 0 ? "all of it<|endoftext|>" : "all of it", NULL);
}

/* What a session has in its history after the same messages. */
static void ids_are_those_of_a_session(void **state) {
    (void)state;
    const learn_reading how = reading();
    static const struct {
        rnl_role role;
        const char *name, *text;
    } turns[] = {{RNL_ROLE_SYSTEM, "system", "Perform ASR."},
                 {RNL_ROLE_USER, "user", "What's 12+30, na\\u00efve  one?\\n"},
                 {RNL_ROLE_ASSISTANT, "assistant", " 42 <|im_start|>"},
                 {RNL_ROLE_USER, "user", "\\u6f22\\u5b57 \\ud83d\\ude00 and\\ttabs"}};
    char line[2048] = "{\"messages\":[", message[512];
    rnl_session *session = rig_session(model, 1);
    rnl_error error = {0};
    for (int i = 0; i < 4; i++) {
        (void)snprintf(message, sizeof message, "{\"role\":\"%s\",\"content\":\"%s\"}",
                       turns[i].name, turns[i].text);
        (void)strcat(strcat(line, i > 0 ? "," : ""), message);
        if (rnl_session_add_message(session, message, strlen(message), true, &error) != RNL_OK)
            fail_msg("%s", error.text);
    }
    learn_sample s = read_line(&how, strcat(line, "]}"));
    const int count = session->live->position_count;
    assert_true(count > 30 && s.count == count + 2); /* the last message is not ended there */
    assert_memory_equal(s.ids, session->ids, (size_t)count * sizeof *s.ids);
    assert_int_equal(s.ids[count], model->ids.message_end);
    learn_sample_free(&s);
    rnl_session_destroy(&session);
}

static void sounds_are_heard_and_spoken(void **state) {
    (void)state;
    const learn_reading how = reading();
    learn_sample s =
        read_line(&how, "{\"messages\":[{\"role\":\"user\",\"content\":["
                        "{\"type\":\"audio\",\"audio\":\"a.wav\"}]},{\"role\":\"assistant\","
                        "\"content\":[{\"type\":\"interleaved\",\"text\":\"yes\","
                        "\"codes\":\"c.npy\"}]}]}");
    assert_int_equal(s.heard_count, session_clip_positions(16000));
    assert_int_equal(s.frame_count, CODE_FRAMES + 1);
    assert_int_equal(s.label_frame_count, CODE_FRAMES + 1);
    const int books = model->backbone.codebook_count;
    assert_int_equal(s.frames[books], 1);       /* frame 1, book 0 */
    assert_int_equal(s.frames[1], CODE_FRAMES); /* frame 0, book 1 */
    assert_int_equal(s.frames[CODE_FRAMES * books], model->backbone.code_count - 1);
    /* Six of text, with the end of text, then twelve frames, then the others. */
    int at = 0, words = 0;
    while (!s.learnt[at]) at++;
    while (s.ids[at] >= 0) at++, words++;
    assert_true(words >= 1 && words <= model->source.config.text_run);
    double energy = 0;
    for (int i = 0; i < s.heard_count * (int)model->adapter.up.col_count; i++)
        energy += (double)(s.heard[i] * s.heard[i]);
    assert_true(energy > 0);
    learn_sample_free(&s);
    s = read_line(&how, "{\"messages\":[{\"role\":\"user\",\"content\":\"say it\"},"
                        "{\"role\":\"assistant\",\"content\":[{\"type\":\"audio\","
                        "\"codes\":\"c.npy\"}]}]}");
    assert_int_equal(s.label_frame_count, CODE_FRAMES + 1);
    assert_int_equal(s.text_count, 3); /* <|audio_start|>, <|im_end|>, newline */
    learn_sample_free(&s);
}

static const char *voice(const char *name, size_t size) {
    return size == 2 && memcmp(name, "uk", 2) == 0 ? "Perform TTS. Use the UK male voice." : NULL;
}

/* A short line is the conversation that it stands for. */
static void assert_short_form(learn_task task, const char *line, const char *system,
                              const char *messages) {
    char text[1024];
    learn_reading how = reading();
    how.task = task;
    how.media.voice = voice;
    (void)snprintf(text, sizeof text,
                   "{\"messages\":[{\"role\":\"system\",\"content\":\"%s\"},%s]}", system,
                   messages);
    learn_sample s = read_line(&how, line), want = read_line(&how, text);
    assert_int_equal(s.count, want.count);
    assert_memory_equal(s.ids, want.ids, (size_t)s.count * sizeof *s.ids);
    assert_memory_equal(s.learnt, want.learnt, (size_t)s.count);
    assert_int_equal(s.heard_count, want.heard_count);
    assert_int_equal(s.frame_count, want.frame_count);
    assert_true(s.text_count > 0 && s.text_count == want.text_count);
    learn_sample_free(&s);
    learn_sample_free(&want);
}

static void short_lines_of_sound_are_conversations(void **state) {
    (void)state;
    static const char heard[] = "{\"role\":\"user\",\"content\":[{\"type\":\"audio\","
                                "\"audio\":\"a.wav\"}]},{\"role\":\"assistant\",\"content\":";
    static const char spoken[] = "{\"role\":\"user\",\"content\":\"So.\"},"
                                 "{\"role\":\"assistant\",\"content\":[{\"type\":\"audio\","
                                 "\"codes\":\"c.npy\"}]}";
    char messages[512];
    (void)snprintf(messages, sizeof messages, "%s\"So.\"}", heard);
    assert_short_form(LEARN_TASK_ASR, "{\"audio\":\"a.wav\",\"text\":\"So.\"}", "Perform ASR.",
                      messages);
    assert_short_form(LEARN_TASK_TTS, "{\"codes\":\"c.npy\",\"text\":\"So.\",\"voice\":\"uk\"}",
                      "Perform TTS. Use the UK male voice.", spoken);
    assert_short_form(LEARN_TASK_TTS, "{\"codes\":\"c.npy\",\"text\":\"So.\"}",
                      "Perform TTS. Use the US female voice.", spoken);
    (void)snprintf(messages, sizeof messages,
                   "%s[{\"type\":\"interleaved\",\"text\":\"yes\",\"codes\":\"c.npy\"}]}", heard);
    assert_short_form(LEARN_TASK_NONE,
                      "{\"question_audio\":\"a.wav\",\"answer_text\":\"yes\","
                      "\"answer_codes\":\"c.npy\"}",
                      "Respond with interleaved text and audio.", messages);
}

/* What is kept is what was heard, rounded to halves; a damaged file is made again. */
static void what_was_heard_is_kept(void **state) {
    const folder *f = *state;
    static const char line[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"audio\","
        "\"audio\":\"a.wav\"}]},{\"role\":\"assistant\",\"content\":\"x\"}]}";
    learn_reading how = reading();
    learn_sample plain = read_line(&how, line), first, second;
    assert_int_equal(learn_heard_open(model, f->path, &how.cache), RNL_OK);
    first = read_line(&how, line);
    assert_int_equal(entry_count(f), 1);
    second = read_line(&how, line);
    const size_t count = (size_t)plain.heard_count * (size_t)model->adapter.up.col_count;
    assert_int_equal(first.heard_count, plain.heard_count);
    for (size_t i = 0; i < count; i++) {
        assert_true(fabsf(first.heard[i] - plain.heard[i]) <=
                    1e-3f * fabsf(plain.heard[i]) + 1e-7f);
        assert_true(first.heard[i] == second.heard[i]);
    }
    learn_sample_free(&second);
    char path[PATH_CAP];
    DIR *d = opendir(f->path);
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') name_in(f, e->d_name, path);
    (void)closedir(d);
    write_file(path, "rnlrows1", 8);
    second = read_line(&how, line);
    assert_memory_equal(second.heard, first.heard, count * sizeof *first.heard);
    learn_sample_free(&plain), learn_sample_free(&first), learn_sample_free(&second);
    learn_heard_close(&how.cache);
}

/* Lines [count] of the one clip by so many threads. */
static learn_dataset read_many(const folder *f, int thread_count, bool keeps, int count) {
    char path[PATH_CAP];
    learn_reading how = reading();
    learn_readers *r = NULL;
    learn_dataset d = {0};
    rnl_error error = {0};
    how.thread_count = thread_count;
    name_in(f, "many.jsonl", path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < count; i++)
        assert_true(fprintf(file,
                            "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
                            "\"audio\",\"audio\":\"/clips/a.wav\"}]},{\"role\":\"assistant\","
                            "\"content\":\"answer %d\"}]}\n",
                            i) > 0);
    assert_int_equal(fclose(file), 0);
    if (keeps) assert_int_equal(learn_heard_open(model, f->path, &how.cache), RNL_OK);
    assert_int_equal(learn_readers_create(model, &how, &r, &error), RNL_OK);
    if (learn_dataset_read(&d, r, path, &error) != RNL_OK) fail_msg("%s", error.text);
    learn_readers_destroy(&r);
    learn_heard_close(&how.cache);
    return d;
}

static void assert_same(const learn_dataset *x, const learn_dataset *y) {
    const size_t width = (size_t)encoder_width(&model->encoder);
    assert_int_equal(x->count, y->count);
    assert_true(x->hash == y->hash);
    for (int i = 0; i < x->count; i++) {
        const learn_sample *a = &x->samples[i], *b = &y->samples[i];
        assert_int_equal(a->count, b->count);
        assert_memory_equal(a->ids, b->ids, (size_t)a->count * sizeof *a->ids);
        assert_int_equal(a->heard_count, b->heard_count);
        assert_memory_equal(a->heard, b->heard, (size_t)a->heard_count * width * sizeof(float));
    }
}

/* One clip in all lines: what is kept of it is written by one thread at a time. */
static void threads_change_no_sample(void **state) {
    enum { LINES = 50 };
    const folder *f = *state;
    learn_dataset one = read_many(f, 1, false, LINES), three = read_many(f, 3, false, LINES);
    assert_int_equal(one.count, LINES);
    assert_same(&one, &three);
    learn_dataset kept = read_many(f, 3, true, LINES), found = read_many(f, 1, true, LINES);
    assert_int_equal(entry_count(f), 2);
    assert_same(&kept, &found);
    learn_dataset_free(&one), learn_dataset_free(&three);
    learn_dataset_free(&kept), learn_dataset_free(&found);
}

static void link_in(const folder *f, const char *from, const char *name) {
    char old[1024], new[PATH_CAP];
    (void)snprintf(old, sizeof old, "%s/%s", TEST_DATA, from);
    name_in(f, name, new);
    assert_int_equal(symlink(old, new), 0);
}

/* A model with Mimi makes codes of sound by itself: those of the reference. */
static void the_models_own_codec_makes_codes(void **state) {
    const folder *f = *state;
    static const char file[] = "tokenizer-e351c8d8-checkpoint125.safetensors";
    link_in(f, "tiny/config.json", "config.json");
    link_in(f, "tiny/model.safetensors", "model.safetensors");
    link_in(f, "tiny/tokenizer.json", "tokenizer.json");
    link_in(f, "mimi/config.json", "mimi_config.json");
    char from[256];
    (void)snprintf(from, sizeof from, "mimi/%s", file);
    link_in(f, from, file);
    rnl_model *m = rig_model(f->path);
    rnl_session *session = rig_session(m, 2);
    npy sound = npy_read("mimi/expect/samples_24k.npy"), want = npy_read("mimi/expect/codes.npy");
    learn_spoken *s = NULL;
    int32_t *codes;
    int count;
    assert_true(learn_spoken_can(m) && !learn_spoken_can(model));
    assert_int_equal(learn_spoken_create(m, &session->pass->compute, &s), RNL_OK);
    assert_int_equal(learn_spoken_codes(s, sound.f, sound.count, 24000, &codes, &count), RNL_OK);
    assert_int_equal(count, want.shape[1]);
    for (int t = 0; t < count; t++)
        for (int k = 0; k < (int)want.shape[0]; k++)
            assert_int_equal(codes[t * (int)want.shape[0] + k], want.i[k * count + t]);
    free(codes);
    npy_free(&sound), npy_free(&want);
    learn_spoken_destroy(&s);
    rnl_session_destroy(&session);
    rnl_model_close(&m);
}

static void what_is_wrong_is_said_with_its_line(void **state) {
    (void)state;
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"{\"messages\":[", "x.jsonl, line 3"},
        {"[]", "has none of"},
        {"{\"messages\":[]}", "no list of messages"},
        {"{\"messages\":[{\"role\":\"robot\",\"content\":\"x\"}]}", "is none of system"},
        {"{\"messages\":[{\"role\":\"user\"}]}", "x.jsonl, line 3"},
        {"{\"prompt\":\"x\"}", "\"completion\""},
        {"{\"prompt\":3,\"completion\":\"x\"}", "\"prompt\""},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"film\"}]}]}", "film"},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"audio\","
         "\"audio\":\"b.wav\"}]}]}",
         "\"codes\""},
        {"{\"audio\":\"a.wav\",\"text\":\"x\"}", "--task asr"},
        {"{\"question_audio\":\"a.wav\",\"answer_text\":\"x\"}", "\"answer_codes\""},
    };
    const folder *f = *state;
    char path[PATH_CAP], text[1024];
    name_in(f, "x.jsonl", path);
    learn_reading how = reading();
    how.thread_count = 3;
    learn_readers *r = NULL;
    rnl_error error = {0};
    assert_int_equal(learn_readers_create(model, &how, &r, &error), RNL_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        learn_dataset d = {0};
        const int size = snprintf(text, sizeof text, "{\"text\":\"fine\"}\n\n%s\n", cases[i].line);
        write_file(path, text, (size_t)size);
        assert_true(learn_dataset_read(&d, r, path, &error) < 0);
        if (strstr(error.text, cases[i].says) == NULL || strstr(error.text, "line 3") == NULL)
            fail_msg("%s: %s", cases[i].line, error.text);
        assert_int_equal(d.count, 1); /* what stood before is there */
        learn_dataset_free(&d);
    }
    learn_readers_destroy(&r);
}

/* ---- Rows ---- */

static learn_dataset made(const int *sizes, int count) {
    learn_dataset d = {.samples = calloc((size_t)count, sizeof *d.samples), .count = count};
    d.cap = count;
    for (int i = 0; i < count; i++) {
        learn_sample *s = &d.samples[i];
        s->count = sizes[i];
        s->ids = calloc((size_t)sizes[i], sizeof *s->ids);
        s->learnt = calloc((size_t)sizes[i], 1);
        for (int t = 0; t < sizes[i]; t++) s->ids[t] = 1000 * i + t;
        s->learnt[sizes[i] - 1] = 1;
        s->text_count = 1;
        s->hash = (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15);
    }
    return d;
}

static void rows_hold_whole_samples_each_once(void **state) {
    (void)state;
    enum { COUNT = 200, LENGTH = 64 };
    int sizes[COUNT], seen[COUNT] = {0};
    for (int i = 0; i < COUNT; i++) sizes[i] = 2 + i * 37 % 63;
    learn_dataset d = made(sizes, COUNT);
    learn_epoch e, again, other;
    learn_gathered g;
    assert_true(learn_epoch_make(&d, LENGTH, true, 5, &e));
    assert_true(learn_epoch_make(&d, LENGTH, true, 5, &again));
    assert_true(learn_epoch_make(&d, LENGTH, true, 6, &other));
    assert_memory_equal(e.order, again.order, sizeof sizes);
    assert_memory_not_equal(e.order, other.order, sizeof sizes);
    assert_true(learn_gathered_make(&g, LENGTH));
    int64_t used = 0;
    for (int row = 0; row < e.row_count; row++) {
        assert_true(learn_gather(&g, &d, &e, row, 0, 0));
        assert_true(g.b.rows.count <= LENGTH && g.b.rows.run_count >= 1);
        used += g.b.rows.count;
        for (int r = 0; r < g.b.rows.run_count; r++) {
            const int sample = g.ids[g.begin[r]] / 1000;
            seen[sample]++;
            assert_int_equal(g.begin[r + 1] - g.begin[r], sizes[sample]);
            assert_int_equal(g.b.text_at[r], g.begin[r + 1] - 2);
            assert_int_equal(g.b.text_ids[r], 1000 * sample + sizes[sample] - 1);
        }
    }
    for (int i = 0; i < COUNT; i++) assert_int_equal(seen[i], 1);
    assert_true((double)used / ((double)e.row_count * LENGTH) > 0.85); /* padding is little */
    learn_gathered_free(&g);
    learn_epoch_free(&e), learn_epoch_free(&again), learn_epoch_free(&other);
    learn_dataset_free(&d);
}

static void a_share_is_held_out_by_hash(void **state) {
    (void)state;
    int sizes[400];
    for (int i = 0; i < 400; i++) sizes[i] = 3;
    learn_dataset d = made(sizes, 400), held = {0};
    assert_true(learn_dataset_hold(&d, 0.1, &held));
    assert_int_equal(d.count + held.count, 400);
    assert_true(held.count > 20 && held.count < 60);
    assert_int_equal(d.label_count, d.count);
    learn_dataset_free(&d);
    learn_dataset_free(&held);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_learnt_and_nothing_else),
        cmocka_unit_test(ids_are_those_of_a_session),
        cmocka_unit_test(sounds_are_heard_and_spoken),
        cmocka_unit_test(short_lines_of_sound_are_conversations),
        IN_FOLDER(what_was_heard_is_kept),
        IN_FOLDER(threads_change_no_sample),
        IN_FOLDER(the_models_own_codec_makes_codes),
        IN_FOLDER(what_is_wrong_is_said_with_its_line),
        cmocka_unit_test(rows_hold_whole_samples_each_once),
        cmocka_unit_test(a_share_is_held_out_by_hash),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
