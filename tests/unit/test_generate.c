/* The two generation loops, row by row of audio.md 7.5 and 7.6. A script says what the model would
 * choose; the test says what the loop asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backbone/generate.h"

enum { END = 7, AUDIO_START = 128, TEXT_END = 130, END_CODE = 2048, BOOKS = 3 };

/* What is chosen at each decision: 'x' a plain token, '7', 'A' (128), 'T' (130); 'f' a frame,
 * 'E' an end frame, 'e' a frame with the end code in the last book only. The loop must ask for a
 * token or a frame as the letter says, and the reply must end exactly with the script when it
 * ends in '.'; '|' marks nothing. */
typedef struct row {
    const char *name;
    bool interleaved;
    const char *script;
} row;

static const row rows[] = {
    {"sequential: text until 7", false, "xxTx7."},
    {"sequential: 128 starts frames, the end frame returns to text", false, "Afff|E7."},
    {"sequential: 130 has no effect", false, "TxAfE|x7."},
    {"sequential: text may go on after the audio", false, "AfEx|Aff|E7."},
    {"sequential: the end code in a later book is no end", false, "Afe|f|E7."},
    {"interleaved: 6 text, 12 frames, in turn", true, "xxxxxx|ffffffffffff|xxxxxx|ffffffffffff|xx"},
    {"interleaved: 130 inside a chunk starts audio at once", true, "xxT|fff"},
    {"interleaved: after 130 audio runs until an end frame", true,
     "xxxT|ffffffffffff|ffffffffffff|fffff|E7."},
    {"interleaved: a token other than 7 after 130 and the end gives audio again", true,
     "T|ff|Ex|ffffffffffff|ffff|Ex|f"},
    {"interleaved: an end frame before 130 leaves the rest of its counter to text", true,
     "xxxxxx|ffffE|xxxxxxx|ffffffffffff|xxxxxx|f"},
    {"interleaved: an end frame in the last slot gives a fresh text chunk", true,
     "xxxxxx|fffffffffffE|xxxxxx|ffff"},
    {"interleaved: 7 before 130 stops at once", true, "xxx7."},
    {"interleaved: 128 is an ordinary token", true, "xAxxxA|ffffffffffff|xA7."},
    {"interleaved: the end code in a later book is no end", true, "xxxxxx|fefffffffffe|xx"},
};

static int32_t token_of(char c) {
    return c == '7' ? END : c == 'A' ? AUDIO_START : c == 'T' ? TEXT_END : 500;
}

static bool is_frame(char c) {
    return c == 'f' || c == 'E' || c == 'e';
}

static void check_frame(const row *r, generate *g, char c) {
    int32_t codes[BOOKS] = {c == 'E' ? END_CODE : 5, 6, c == 'e' ? END_CODE : 7};
    const int32_t last = codes[2];
    generate_frame(g, codes);
    const bool whole = codes[0] == END_CODE && codes[1] == END_CODE && codes[2] == END_CODE;
    if (c == 'E' && !whole) fail_msg("%s: an end frame keeps other codes", r->name);
    if (c != 'E' && (codes[0] != 5 || codes[1] != 6 || codes[2] != last))
        fail_msg("%s: a frame was changed", r->name);
}

static void check_row(const row *r) {
    const generate_config config = {.interleaved = r->interleaved,
                                    .text_run = 6,
                                    .audio_run = 12,
                                    .end_id = END,
                                    .audio_start_id = AUDIO_START,
                                    .text_end_id = TEXT_END,
                                    .end_code = END_CODE,
                                    .codebook_count = BOOKS};
    generate g;
    generate_begin(&g, &config);
    for (const char *p = r->script; *p != '\0'; p++) {
        if (*p == '|') continue;
        if (*p == '.') fail_msg("%s: it did not stop", r->name);
        if (generate_wants_frame(&g) != is_frame(*p))
            fail_msg("%s: asks for %s at '%s'", r->name,
                     generate_wants_frame(&g) ? "a frame" : "a token", p);
        if (is_frame(*p)) {
            check_frame(r, &g, *p);
            continue;
        }
        const generate_result result = generate_text(&g, token_of(*p));
        /* The sequential loop emits 7, the interleaved one does not. */
        assert_int_equal(result.emit, !(r->interleaved && *p == '7'));
        assert_int_equal(result.stop, *p == '7');
        if (result.stop) {
            assert_string_equal(p + 1, ".");
            return;
        }
    }
}

static void every_row_of_the_table(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_row(&rows[i]);
}

/* A text model: 128 and 130 are no special tokens. */
static void without_special_ids_everything_is_text(void **state) {
    (void)state;
    const generate_config config = {
        .end_id = END, .audio_start_id = -1, .text_end_id = -1, .end_code = END_CODE};
    generate g;
    generate_begin(&g, &config);
    for (int32_t id = 100; id < 200; id++) {
        const generate_result result = generate_text(&g, id);
        assert_true(result.emit && !result.stop && !generate_wants_frame(&g));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_table),
        cmocka_unit_test(without_special_ids_everything_is_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
