/* Sound cards, over a PortAudio that has none: choosing, formats, refusals, loss and return. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audio/duplex.h"
#include "tests/devices/fake_portaudio.h"

static const fake_card usual[] = {
    {.name = "HDA: ALC (hw:0,0)", .in_channels = 2, .out_channels = 2, .rate = 48000},
    {.name = "HDMI (hw:0,3)", .out_channels = 8, .rate = 44100},
    {.name = "USB Microphone (hw:1,0)", .in_channels = 1, .rate = 44100},
    {.name = "pulse", .in_channels = 32, .out_channels = 32, .rate = 44100},
    {.name = "Headset", .host = 1, .in_channels = 1, .out_channels = 1, .rate = 16000},
};
enum { USUAL = sizeof usual / sizeof *usual };

static device_config config(const char *input, const char *output) {
    device_config c = device_config_default();
    c.input = input;
    c.output = output;
    return c;
}

static duplex *open_usual(const char *input, const char *output) {
    const device_config c = config(input, output);
    duplex *d = NULL;
    rnl_error error = {0};
    fake_cards(usual, USUAL);
    if (duplex_open(&c, &d, &error) != RNL_OK) fail_msg("%s", error.text);
    return d;
}

static void close_it(duplex *d) {
    assert_int_equal(duplex_close(&d, false, NULL), RNL_OK);
    assert_null(d);
    assert_int_equal(fake_open_count(), 0);
    assert_int_equal(fake_initialised(), 0);
}

/* One sentence that holds the pattern, nothing left open. */
static void refuse(const device_config *c, rnl_status status, const char *pattern) {
    duplex *d = NULL;
    rnl_error error = {0};
    assert_int_equal(duplex_open(c, &d, &error), status);
    assert_null(d);
    if (strstr(error.text, pattern) == NULL) fail_msg("'%s' lacks '%s'", error.text, pattern);
    assert_int_equal(fake_open_count(), 0);
    assert_int_equal(fake_initialised(), 0);
}

static void test_list(void **state) {
    (void)state;
    device_row *rows = NULL;
    size_t count = 0;
    fake_cards(usual, USUAL);
    assert_int_equal(device_list(&rows, &count, NULL), RNL_OK);
    assert_int_equal(count, USUAL);
    assert_string_equal(rows[4].host, "OSS");
    assert_true(rows[0].default_in && rows[0].default_out && !rows[1].default_out);
    assert_int_equal((int)(10.0 * rows[1].latency_out_ms + 0.5), 120);
    free(rows);
    fake_cards(NULL, 0);
    assert_int_equal(device_list(&rows, &count, NULL), RNL_OK);
    assert_int_equal(count, 0);
    assert_null(rows);
}

static void test_one_clock_or_two(void **state) {
    (void)state;
    const struct {
        const char *input, *output, *name_in, *name_out;
        int rate_in, rate_out;
        bool one_clock;
    } rows[] = {
        {NULL, "default", usual[0].name, usual[0].name, 48000, 48000, true},
        {"2", "1", usual[2].name, usual[1].name, 44100, 44100, false},
        {"usb", "hdmi", usual[2].name, usual[1].name, 44100, 44100, false},
        {"usb", "ALC", usual[2].name, usual[0].name, 44100, 48000, false},
        {"pulse", "pulse", "pulse", "pulse", 44100, 44100, false}, /* two devices behind it */
        {"headset", "headset", "Headset", "Headset", 16000, 16000, true},
        {"usb", "null", usual[2].name, "null", 44100, 44100, true},
        {"null", "hdmi", "null", usual[1].name, 44100, 44100, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        duplex *d = open_usual(rows[i].input, rows[i].output);
        const device_facts *f = duplex_facts(d);
        assert_string_equal(f->name_in, rows[i].name_in);
        assert_string_equal(f->name_out, rows[i].name_out);
        assert_int_equal(f->rate_in, rows[i].rate_in);
        assert_int_equal(f->rate_out, rows[i].rate_out);
        assert_int_equal(f->one_clock, rows[i].one_clock);
        assert_int_equal(fake_open_count(), rows[i].one_clock ? 1 : 2);
        close_it(d);
    }
}

static void test_refusals(void **state) {
    (void)state;
    fake_card cards[USUAL];
    memcpy(cards, usual, sizeof cards);
    device_config c = config(NULL, NULL);
    fake_cards(NULL, 0);
    refuse(&c, RNL_ERR_IO, "no sound device with a microphone");
    fake_cards(usual + 1, 1);
    refuse(&c, RNL_ERR_IO, "no sound device with a microphone");
    fake_cards(usual + 2, 1);
    refuse(&c, RNL_ERR_IO, "no sound device with a loudspeaker");

    fake_cards(cards, USUAL);
    c = config("Gramophone", NULL);
    refuse(&c, RNL_ERR_IO, "Gramophone: there is no microphone of this name");
    c = config(NULL, "hw:0");
    refuse(&c, RNL_ERR_IO, "hw:0: there is more than one loudspeaker of this name");
    c = config("9", NULL);
    refuse(&c, RNL_ERR_IO, "no sound device 9");
    c = config("1", NULL);
    refuse(&c, RNL_ERR_IO, "HDMI (hw:0,3): this device has no microphone");
    c = config(NULL, "2");
    refuse(&c, RNL_ERR_IO, "this device has no loudspeaker");

    c = config("usb", NULL);
    cards[2].busy = true;
    refuse(&c, RNL_ERR_IO, "USB Microphone (hw:1,0): the device is busy");
    cards[2].busy = false;
    c.rate = 22050;
    cards[2].rate_only = 44100;
    refuse(&c, RNL_ERR_IO, "does not work at 22050 Hz");
    c.rate = 100;
    refuse(&c, RNL_ERR_ARGUMENT, "100 Hz");
    c.rate = 0;
    cards[2].channels_only = 6;
    refuse(&c, RNL_ERR_IO, "number of channels");

    c = config("file:nowhere.wav", "null");
    refuse(&c, RNL_ERR_IO, "nowhere.wav");
    c = config("file:nowhere.wav", NULL);
    refuse(&c, RNL_ERR_ARGUMENT, "two clocks");
}

/* Runs the card for a time and returns the last microphone sample. */
static float run(duplex *d, int blocks, float level) {
    float last = -1.0f;
    duplex_block block;
    for (int i = 0; i < blocks; i++) {
        (void)fake_run(level);
        while (duplex_pull(d, &block) == RNL_OK) last = block.mic[DUPLEX_BLOCK - 1];
    }
    return last;
}

static void test_formats(void **state) {
    (void)state;
    /* Each of them works: 8 kHz, 192 kHz, mono only, stereo only, a rate that is not its own. */
    const fake_card cards[] = {
        {.name = "8k (hw:0,0)",
         .in_channels = 1,
         .out_channels = 1,
         .rate = 8000,
         .rate_only = 8000},
        {.name = "192k (hw:0,0)",
         .in_channels = 2,
         .out_channels = 2,
         .rate = 192000,
         .rate_only = 192000},
        {.name = "stereo (hw:0,0)",
         .in_channels = 2,
         .out_channels = 2,
         .rate = 48000,
         .channels_only = 2},
        {.name = "mono (hw:0,0)", .in_channels = 1, .out_channels = 1, .rate = 48000},
        {.name = "liar (hw:0,0)",
         .in_channels = 2,
         .out_channels = 2,
         .rate = 96000,
         .rate_only = 44100},
        {.name = "one way (hw:0,0)",
         .in_channels = 2,
         .out_channels = 2,
         .rate = 48000,
         .one_way = true},
    };
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        const device_config c = config(NULL, NULL);
        duplex *d = NULL;
        rnl_error error = {0};
        fake_cards(&cards[i], 1);
        if (duplex_open(&c, &d, &error) != RNL_OK) fail_msg("%s: %s", cards[i].name, error.text);
        assert_int_equal(duplex_facts(d)->one_clock, !cards[i].one_way);
        const float level = run(d, 30, 0.25f);
        if (level < 0.249f || level > 0.251f) fail_msg("%s: %g", cards[i].name, (double)level);
        float half[2400];
        size_t taken, frames;
        int channels;
        for (size_t k = 0; k < 2400; k++) half[k] = 0.5f;
        duplex_push(d, half, 2400, &taken);
        assert_int_equal(taken, 2400);
        (void)run(d, 6, 0.0f);
        const float *out = fake_output(&frames, &channels);
        assert_int_equal(channels, cards[i].out_channels);
        for (size_t k = 0; k < frames * (size_t)channels; k++)
            if (out[k] < 0.49f || out[k] > 0.51f)
                fail_msg("%s: sample %zu is %g", cards[i].name, k, (double)out[k]);
        close_it(d);
    }
}

static void test_times(void **state) {
    (void)state;
    /* PortAudio's times where they make sense, else what the device claims (21 and 34 ms). */
    const struct {
        double age, ahead;
        int64_t in_us, out_us;
    } rows[] = {{0.015, 0.025, 15000, 25000},
                {0.0, 0.0, 21000, 34000},
                {-5.0, 1e9, 21000, 34000},
                {1000.0, -1000.0, 21000, 34000}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        duplex *d = open_usual(NULL, NULL);
        duplex_block block;
        float sound[480] = {0};
        size_t taken;
        int64_t dac_us;
        fake_times(rows[i].age, rows[i].ahead);
        duplex_push(d, sound, 480, &taken);
        duplex_end(d);
        const int64_t before = duplex_now_us(d);
        (void)fake_run(0.0f);
        const int64_t after = duplex_now_us(d);
        (void)fake_run(0.0f);
        assert_int_equal(duplex_pull(d, &block), RNL_OK);
        assert_in_range(block.adc_us, before - rows[i].in_us - 10, after - rows[i].in_us + 10);
        assert_int_equal(duplex_dac_us(d, 0, &dac_us), RNL_OK);
        assert_in_range(dac_us, before + rows[i].out_us - 10, after + rows[i].out_us + 10);
        close_it(d);
    }
    fake_times(0.02, 0.03);
}

static void test_loss_and_return(void **state) {
    (void)state;
    duplex *d = open_usual("usb", "ALC");
    rnl_error error = {0};
    duplex_counts counts;
    float sound[2400] = {0};
    size_t taken;
    int64_t dropped;
    (void)run(d, 20, 0.1f);
    duplex_push(d, sound, 2400, &taken);
    /* The callbacks stop: within four seconds the wait says so, and names the device. */
    const int64_t heard_us = duplex_now_us(d);
    assert_int_equal(duplex_wait(d, &error), RNL_OK);
    const int64_t noticed_us = duplex_now_us(d);
    int waits = 0;
    while (duplex_wait(d, &error) == RNL_OK && waits < 600) waits++;
    assert_in_range(waits, 10, 600);
    assert_non_null(strstr(error.text, "USB Microphone (hw:1,0): the sound device has stopped"));
    /* Gone: PortAudio started anew does not list it. */
    fake_cards(usual, 2);
    assert_int_equal(duplex_reopen(d), RNL_AGAIN);
    assert_int_equal(duplex_reopen(d), RNL_AGAIN);
    duplex_block block;
    assert_int_equal(duplex_pull(d, &block), RNL_AGAIN);
    /* Back, under other indices and with another rate; one of the same name on another host. */
    const fake_card moved[] = {
        {.name = "USB Microphone (hw:1,0)", .host = 1, .in_channels = 1, .rate = 16000},
        usual[1],
        {.name = "USB Microphone (hw:1,0)", .in_channels = 1, .rate = 32000},
        usual[0],
    };
    fake_cards(moved, 4);
    const int64_t found_us = duplex_now_us(d);
    assert_int_equal(duplex_reopen(d), RNL_OK);
    const int64_t back_us = duplex_now_us(d);
    assert_int_equal(duplex_facts(d)->rate_in, 32000);
    assert_string_equal(duplex_facts(d)->name_out, usual[0].name);
    assert_int_equal(duplex_cut_done(d, &dropped), RNL_OK);
    assert_int_equal(dropped, 2400);
    (void)fake_run(0.1f);
    (void)fake_run(0.1f);
    assert_int_equal(duplex_pull(d, &block), RNL_OK);
    assert_int_equal(block.sample_index, 20 * DUPLEX_BLOCK - DUPLEX_BLOCK);
    /* All that is missing since the last callback, not since it was missed. */
    assert_in_range(block.lost_count, (found_us - noticed_us) * 16 / 1000,
                    (back_us - heard_us) * 16 / 1000);
    assert_int_equal(duplex_wait(d, &error), RNL_OK);
    duplex_get_counts(d, &counts);
    assert_int_equal(counts.reopen_count, 1);
    close_it(d);
}

static void test_muted(void **state) {
    (void)state;
    duplex *d = open_usual(NULL, NULL);
    duplex_counts counts;
    (void)run(d, 100, 0.0f);
    duplex_get_counts(d, &counts);
    assert_in_range(counts.zeros_us, 950000, 1000000);
    (void)run(d, 2, 1e-5f);
    duplex_get_counts(d, &counts);
    assert_int_equal(counts.zeros_us, 0);
    close_it(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),     cmocka_unit_test(test_one_clock_or_two),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_formats),
        cmocka_unit_test(test_times),    cmocka_unit_test(test_loss_and_return),
        cmocka_unit_test(test_muted),
    };
    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
