/* The two generation loops: every row of audio.md 7.6, the sequential loop of 7.5, and random walks
 * against a literal transcription of the specification's pseudo-code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backbone/generate.h"
#include "core/random.h"

enum { CODEBOOKS = 8, IM_END = 7, AUDIO_START = 128, TEXT_END = 130, END_CODE = 2048 };

static generate_config config(bool interleaved, int text_run, int audio_run) {
    return (generate_config){.interleaved = interleaved,
                             .text_run = text_run,
                             .audio_run = audio_run,
                             .end_id = IM_END,
                             .audio_start_id = AUDIO_START,
                             .text_end_id = TEXT_END,
                             .end_code = END_CODE,
                             .codebook_count = CODEBOOKS};
}

/* A script is what the model decides, a letter each; the machine must ask for just these kinds.
 *     t a text token   7 <|im_end|>   S <|audio_start|>   E <|text_end|>
 *     f a frame        x an end frame                     b a frame with 2048 in codebook 3 */
static bool is_frame(char letter) {
    return letter == 'f' || letter == 'x' || letter == 'b';
}

static int32_t id_of(char letter) {
    return letter == '7' ? IM_END : letter == 'S' ? AUDIO_START : letter == 'E' ? TEXT_END : 300;
}

static void frame_of(char letter, int32_t *codes) {
    for (int k = 0; k < CODEBOOKS; k++) codes[k] = 100 * k;
    if (letter == 'x') codes[0] = END_CODE;
    if (letter == 'b') codes[3] = END_CODE;
}

static void check_frame(generate *g, char letter) {
    int32_t codes[CODEBOOKS + 1], want[CODEBOOKS];
    frame_of(letter, codes);
    frame_of(letter, want);
    if (letter == 'x')
        for (int k = 0; k < CODEBOOKS; k++) want[k] = END_CODE;
    codes[CODEBOOKS] = -1; /* a fence */
    generate_frame(g, codes);
    assert_memory_equal(want, codes, sizeof want);
    assert_int_equal(codes[CODEBOOKS], -1);
}

static void play(const char *name, const generate_config *c, const char *script) {
    generate g;
    memset(&g, 0x5a, sizeof g); /* begin alone defines the start */
    generate_begin(&g, c);
    for (const char *p = script; *p != '\0'; p++) {
        if (*p == ' ') continue;
        if (generate_wants_frame(&g) != is_frame(*p))
            fail_msg("%s: '%s' does not fit at %td", name, script, p - script);
        if (is_frame(*p)) {
            check_frame(&g, *p);
            continue;
        }
        const generate_result r = generate_text(&g, id_of(*p));
        if (r.emit != (*p != '7' || !c->interleaved) || r.stop != (*p == '7'))
            fail_msg("%s: '%c' at %td: emit %d, stop %d", name, *p, p - script, r.emit, r.stop);
    }
}

typedef struct row {
    const char *name, *script;
} row;

static void every_row_of_the_interleaved_table(void **state) {
    (void)state;
    const row rows[] = {
        {"six and twelve", "tttttt ffffffffffff tttttt ffffffffffff t"},
        {"text ends inside a chunk", "ttE ffff"},
        {"text ends on the first token", "E ffff"},
        {"text ends on the last token of a chunk", "tttttE ffffffffffff ffff"},
        {"after the text audio runs on",
         "tttttt ffffffffffff ttE ffffffffffff ffffffffffff fffffx 7"},
        {"end frame after the text", "ttE fffx 7"},
        {"end frame at once", "E x 7"},
        {"then another token: audio again", "ttE ffx t ffffffffffff ffffffx 7"},
        {"and again, after each one", "ttE x t x t fx t ffx 7"},
        {"end frame after a negative counter", "E ffffffffffff fffx t ffffffffffff fffx 7"},
        {"a second end of text", "E fx E ffx 7"},
        {"leftover 11", "tttttt x ttttttttttt ffffffffffff tttttt f"},
        {"leftover 7", "tttttt ffffx ttttttt ffffffffffff tttttt f"},
        {"leftover 1", "tttttt ffffffffffx t ffffffffffff tttttt f"},
        {"end of text within the leftover", "tttttt ffffx ttE ffffffffffff ffx 7"},
        {"end frame on the last slot", "tttttt fffffffffffx tttttt ffffffffffff"},
        {"end before the end of text", "tt7"},
        {"end on the last token of a chunk", "ttttt7"},
        {"end at once", "7"},
        {"end within the leftover", "tttttt x tt7"},
        {"audio start is ordinary", "SSSSSS ffffffffffff StStSt f"},
        {"2048 elsewhere is ordinary", "tttttt bbbbbbbbbbbb t"},
        {"the limit cuts anywhere", "tttttt fff"},
    };
    const generate_config c = config(true, 6, 12);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) play(rows[i].name, &c, rows[i].script);
}

static void other_lengths_of_chunks(void **state) {
    (void)state;
    const generate_config japanese = config(true, 6, 9), one = config(true, 1, 1);
    play("6:9", &japanese, "tttttt fffffffff tttttt fffffffff t");
    play("6:9, leftover 4", &japanese, "tttttt ffffx tttt fffffffff t");
    play("6:9, last slot", &japanese, "tttttt ffffffffx tttttt fffffffff t");
    play("1:1", &one, "t f t f t x t f E f f f x t f x 7");
}

static void the_sequential_loop(void **state) {
    (void)state;
    const row rows[] = {
        {"speech", "S fffffffffffff fffx 7"},
        {"text first", "tttttttttttttttttttt S f x 7"},
        {"no limit of chunks", "S ffffffffffff ffffffffffff ffffffffffff ffffffffffff x t"},
        {"end of text has no effect", "tEt S fff x E t 7"},
        {"two speeches", "S f x t S ff x t 7"},
        {"an end frame at once", "S x 7"},
        {"2048 elsewhere is ordinary", "S bbb x 7"},
        {"only text", "ttttttttt7"},
        {"end at once", "7"},
    };
    const generate_config c = config(false, 6, 12);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) play(rows[i].name, &c, rows[i].script);
}

/* Models without the audio tokens: absent ids are -1 and no sampled id equals them. */
static void absent_tokens_never_match(void **state) {
    (void)state;
    generate_config c = config(false, 6, 12);
    c.audio_start_id = c.text_end_id = -1;
    play("text model", &c, "tStEt7");
    c.interleaved = true;
    play("no end of text", &c, "tEtttt ffffffffffff tttttt f");
}

/* The pseudo-code of audio.md 7.5 and 7.6, line by line. */
typedef struct loop {
    bool interleaved, audio, done;
    int text_run, audio_run, left;
} loop;

static void loop_text(loop *l, int32_t id, bool *emit, bool *stop) {
    *emit = true;
    *stop = false;
    if (!l->interleaved) {
        if (id == AUDIO_START) l->audio = true;
        if (id == IM_END) *stop = true;
        return;
    }
    l->left = l->left - 1;
    if (id == IM_END) {
        *stop = true;
        *emit = false;
        return;
    }
    if (id == TEXT_END) l->done = true;
    if (l->left == 0 || l->done) {
        l->audio = true;
        l->left = l->audio_run;
    }
}

static void loop_frame(loop *l, int32_t first_code) {
    if (l->interleaved) {
        l->left = l->left - 1;
        if (l->left == 0 && !l->done) {
            l->audio = false;
            l->left = l->text_run;
        }
    }
    if (first_code == END_CODE) l->audio = false;
}

static void law_random_decisions_follow_the_pseudo_code(void **state) {
    (void)state;
    const char texts[] = "tttttttttSE", frames[] = "fffffffffbx";
    for (uint64_t seed = 0; seed < 400; seed++) {
        random_state r;
        random_seed(&r, seed);
        loop l = {.interleaved = seed % 4 != 0,
                  .text_run = 1 + (int)(random_unit(&r) * 8),
                  .audio_run = 1 + (int)(random_unit(&r) * 14)};
        l.left = l.text_run;
        const generate_config c = config(l.interleaved, l.text_run, l.audio_run);
        generate g;
        generate_begin(&g, &c);
        for (int i = 0; i < 300; i++) {
            if (generate_wants_frame(&g) != l.audio)
                fail_msg("seed %llu, decision %d", (unsigned long long)seed, i);
            const size_t dice = (size_t)(random_unit(&r) * 11);
            if (l.audio) {
                int32_t codes[CODEBOOKS];
                frame_of(frames[dice], codes);
                loop_frame(&l, codes[0]);
                generate_frame(&g, codes);
                continue;
            }
            const char letter = random_unit(&r) < 0.01 ? '7' : texts[dice];
            bool emit, stop;
            loop_text(&l, id_of(letter), &emit, &stop);
            const generate_result got = generate_text(&g, id_of(letter));
            assert_int_equal(got.emit, emit);
            assert_int_equal(got.stop, stop);
            if (stop) break;
        }
    }
}

/* Other ends of an answer stop it and are no part of it, in either loop. */
static void other_ends_do_not_belong_to_the_reply(void **state) {
    (void)state;
    for (int interleaved = 0; interleaved < 2; interleaved++) {
        generate g;
        generate_config c = {.interleaved = interleaved != 0,
                             .text_run = 6,
                             .audio_run = 12,
                             .end_id = 7,
                             .audio_start_id = 128,
                             .text_end_id = 130,
                             .stop_ids = {2, 40},
                             .stop_count = 2};
        generate_begin(&g, &c);
        generate_result r = generate_text(&g, 41);
        assert_true(r.emit && !r.stop);
        r = generate_text(&g, 40);
        assert_true(!r.emit && r.stop);
    }
}

/* The tokens of text among the next decisions, counted against the loop itself. */
static void text_that_is_left_is_counted(void **state) {
    (void)state;
    for (int done = 0; done < 20; done++) {
        for (int steps = 0; steps < 60; steps++) {
            generate g;
            const generate_config c = {.interleaved = true,
                                       .text_run = 6,
                                       .audio_run = 5,
                                       .end_id = 7,
                                       .audio_start_id = -1,
                                       .text_end_id = 130,
                                       .end_code = 2048,
                                       .codebook_count = 1};
            int32_t code = 1, text = 0;
            generate_begin(&g, &c);
            for (int i = 0; i < done || generate_wants_frame(&g); i++)
                if (generate_wants_frame(&g))
                    generate_frame(&g, &code);
                else
                    (void)generate_text(&g, 50);
            const int told = generate_text_left(&g, steps);
            for (int i = 0; i < steps; i++) {
                if (generate_wants_frame(&g)) {
                    generate_frame(&g, &code);
                    continue;
                }
                text++;
                (void)generate_text(&g, 50);
            }
            assert_int_equal(told, text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_interleaved_table),
        cmocka_unit_test(other_lengths_of_chunks),
        cmocka_unit_test(the_sequential_loop),
        cmocka_unit_test(absent_tokens_never_match),
        cmocka_unit_test(law_random_decisions_follow_the_pseudo_code),
        cmocka_unit_test(other_ends_do_not_belong_to_the_reply),
        cmocka_unit_test(text_that_is_left_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
