/* runnel talk: the live loop between a microphone and a loudspeaker.
 *
 *     duplex ─► 10 ms blocks ─► rnl_live ─► 24 kHz ─► duplex
 *
 * One thread does all of it; the sound card's own threads only fill and empty the duplex's
 * rings. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/commands.h"
#include "apps/ending.h"
#include "apps/inputs.h"
#include "apps/keys.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/replace.h"
#include "apps/sources.h"
#include "apps/talk.h"
#include "audio/duplex.h"
#include "core/clock.h"

typedef struct talk {
    const options *options;
    rnl_live *live;
    duplex *duplex;
    talk_view view;
    talk_trace *trace;
    talk_record *record;
    talk_tools *tools;
    bool files; /* the microphone is a file or nothing: it may well be silent */

    /* The sound of the reply under way, by index of pushed samples. */
    int64_t pushed;
    int64_t first, audible; /* -1: not yet */
    int64_t dac_us[2];      /* of the two, -1: not yet */
    bool fresh;             /* no sample of the reply was pushed yet */
    double step_ms_max;     /* of a step while speaking */

    bool cutting; /* duplex_cut was asked for */

    /* Push-to-talk: a terminal tells presses and repeats, not releases. */
    bool key_down, key_held;
    double key_last, key_toggle; /* seconds; 0: none */

    int turns, underruns;
    bool over; /* the input is */
} talk;

static int failed(const rnl_error *error) {
    return complain(exit_code(error), "%s", error->text);
}

/* ---- Opening ---- */

static bool is_silent_kind(const char *name) {
    return name != NULL && (device_is_file(name) || strcmp(name, "null") == 0);
}

/* A file on one side and nothing said of the other: nothing is there. */
static device_config devices_of(const options *o) {
    device_config c = device_config_default();
    c.input = o->input;
    c.output = o->output;
    if (is_silent_kind(c.input) && c.output == NULL) c.output = "null";
    if (is_silent_kind(c.output) && c.input == NULL) c.input = "null";
    c.sim_cost_ms = o->sim_cost_ms;
    return c;
}

static int open_duplex(talk *t) {
    const device_config c = devices_of(t->options);
    rnl_error error = {0};
    if (c.input != NULL && device_is_file(c.input)) source_note(strchr(c.input, ':') + 1);
    if (c.output != NULL && device_is_file(c.output)) {
        const int code = check_target(strchr(c.output, ':') + 1);
        if (code != EXIT_OK) return code;
    }
    t->files = is_silent_kind(c.input);
    const rnl_status status = duplex_open(&c, &t->duplex, &error);
    if (status == RNL_OK) {
        const sound_faults *faults = duplex_facts(t->duplex)->faults;
        if (faults != NULL) (void)inputs_tell_faults(strchr(c.input, ':') + 1, faults);
        return EXIT_OK;
    }
    const int code = status == RNL_ERR_ARGUMENT                           ? EXIT_USAGE
                     : t->files || (c.output && is_silent_kind(c.output)) ? EXIT_INPUT
                                                                          : EXIT_DEVICE;
    return complain(code, "%s", error.text);
}

static rnl_live_config live_config_of(const options *o, const rnl_model *model) {
    rnl_live_config c = rnl_live_config_default(model);
    c.turn = answer_config(o, model, RNL_MODE_INTERLEAVED);
    c.system = o->system;
    c.rate_in = DUPLEX_RATE_MIC;
    c.rate_out = DUPLEX_RATE_SPEAKER;
    c.speculation = !o->no_speculation;
    c.barge_in = !o->no_barge_in;
    c.push_to_talk = o->push_to_talk;
    c.volume_inside = false;
    if (o->no_turn_network) c.turn_network = false;
    c.lead_in_trim = !o->no_lead_in_trim;
    if (o->history_turns >= 0) c.history_turns = o->history_turns;
    if (o->backchannel_ms >= 0) c.backchannel_ms = o->backchannel_ms;
    if (o->end_ms[0] > 0) {
        c.end_ms_min = o->end_ms[0];
        c.end_ms = o->end_ms[1];
        c.end_ms_max = o->end_ms[2];
    }
    if (o->turn_seconds_max > 0) c.turn_seconds_max = o->turn_seconds_max;
    return c;
}

static int open_live(talk *t, rnl_model *model) {
    rnl_error error = {0};
    rnl_live_config c = live_config_of(t->options, model);
    int code;
    t->tools = tools_open(t->options, model, &t->view, &code);
    if (code != EXIT_OK) return code;
    c.turn.tools = tools_constraint(t->tools);
    c.turn.calls_free = t->options->free_calls;
    if (!session_options(t->options, &c.session)) return EXIT_USAGE;
    return rnl_live_create(model, &c, &t->live, &error) == RNL_OK ? EXIT_OK : failed(&error);
}

/* What belongs before the first sample: the system prompt is read, all pages are warm. */
static int warm_up(talk *t) {
    rnl_error error = {0};
    rnl_status status;
    while ((status = rnl_live_step(t->live, duplex_now_us(t->duplex), &error)) == RNL_OK) continue;
    return status < 0 ? failed(&error) : EXIT_OK;
}

static int open_all(talk *t, rnl_model *model) {
    int code = open_live(t, model);
    if (code == EXIT_OK) code = open_duplex(t);
    if (code != EXIT_OK) return code;
    t->trace = trace_open(t->options, model, &t->view, &code);
    if (t->trace != NULL && t->options->record != NULL)
        t->record = record_open(t->options->record, DUPLEX_RATE_MIC, &code);
    if (code == EXIT_OK && t->options->push_to_talk && !keys_begin())
        code = complain(EXIT_USAGE,
                        "--push-to-talk: standard input is no terminal, so there is no space key; "
                        "leave the option away");
    return code;
}

/* ---- The microphone ---- */

static int listen(talk *t) {
    duplex_block b;
    rnl_error error = {0};
    while (duplex_pull(t->duplex, &b) == RNL_OK) {
        if (t->record != NULL) {
            const int code = record_write(t->record, b.mic, b.reference, DUPLEX_BLOCK);
            if (code != EXIT_OK) return code;
        }
        const rnl_live_sound block = {
            .mic = b.mic, .reference = b.reference, .count = DUPLEX_BLOCK, .adc_us = b.adc_us};
        size_t taken; /* less than all only when the loop has slept for 4 s: then it is lost */
        if (rnl_live_push(t->live, &block, duplex_now_us(t->duplex), &taken, &error) != RNL_OK)
            return failed(&error);
    }
    return EXIT_OK;
}

/* A second press ends the turn; a key that is held repeats, and ends it when the repeats stop. */
static void watch_key(talk *t) {
    static const double together = 0.12, released = 0.2; /* seconds between repeats */
    const double now = clock_seconds();
    char key = 0;
    while (key_waits() && read(STDIN_FILENO, &key, 1) == 1) {
        if (key != ' ') continue;
        if (!t->key_down)
            t->key_down = true;
        else if (now - t->key_last < together)
            t->key_held = true, t->key_toggle = 0;
        else
            t->key_toggle = now; /* the first repeat of a held key, or a second press */
        t->key_last = now;
    }
    const bool up = t->key_held ? now - t->key_last > released
                                : t->key_toggle > 0 && now - t->key_toggle > together;
    if (up) t->key_down = t->key_held = false, t->key_toggle = 0;
    rnl_live_hold(t->live, t->key_down);
}

/* ---- The loudspeaker ---- */

static void note_pushed(talk *t, const float *samples, size_t count) {
    if (t->fresh) {
        t->fresh = false;
        t->first = t->pushed;
        t->audible = -1;
        t->dac_us[0] = t->dac_us[1] = -1;
    }
    for (size_t i = 0; i < count && t->audible < 0; i++)
        if (samples[i] > 0.0031622777f || samples[i] < -0.0031622777f) /* -50 dBFS */
            t->audible = t->pushed + (int64_t)i;
    t->pushed += (int64_t)count;
}

static void speak(talk *t) {
    float samples[2400];
    for (;;) {
        size_t room = duplex_room(t->duplex), got, taken;
        if (room > sizeof samples / sizeof *samples) room = sizeof samples / sizeof *samples;
        const int64_t now = duplex_now_us(t->duplex);
        const rnl_status status = rnl_live_pull(t->live, samples, room, now, -1, &got);
        if (status == RNL_DONE) duplex_end(t->duplex);
        if (status != RNL_OK) break;
        note_pushed(t, samples, got);
        duplex_push(t->duplex, samples, got, &taken); /* all: there was room */
    }
    if (t->first >= 0 && t->dac_us[0] < 0) (void)!duplex_dac_us(t->duplex, t->first, &t->dac_us[0]);
    if (t->audible >= 0 && t->dac_us[1] < 0)
        (void)!duplex_dac_us(t->duplex, t->audible, &t->dac_us[1]);
    rnl_live_queued(t->live, duplex_queued(t->duplex));
}

/* The queue empties within a callback or two after duplex_cut. */
static void finish_cut(talk *t) {
    int64_t dropped;
    if (!t->cutting || duplex_cut_done(t->duplex, &dropped) != RNL_OK) return;
    t->cutting = false;
    rnl_live_cut_done(t->live, (size_t)dropped);
}

/* ---- Events ---- */

static int end_turn(talk *t, rnl_live_event *e) {
    e->turn.mark_us[RNL_LIVE_T10] = t->dac_us[0];
    e->turn.mark_us[RNL_LIVE_T11] = t->dac_us[1];
    t->first = t->audible = t->dac_us[0] = t->dac_us[1] = -1;
    t->turns++;
    t->underruns += e->turn.underrun_count;
    const char *heard;
    size_t size;
    rnl_live_heard(t->live, &heard, &size);
    view_turn(&t->view, &e->turn, heard, size);
    tools_end_turn(t->tools);
    const int code = trace_turn(t->trace, t->live, &e->turn);
    return code == EXIT_OK ? flush_output() : code;
}

static int on_event(talk *t, rnl_live_event *e) {
    switch (e->kind) {
    case RNL_LIVE_THINKING:
        t->fresh = true;
        return trace_clip(t->trace, t->live);
    case RNL_LIVE_DUCK:
    case RNL_LIVE_UNDUCK:
        duplex_duck(t->duplex, e->kind == RNL_LIVE_DUCK);
        break;
    case RNL_LIVE_HOLD:
    case RNL_LIVE_RESUME:
        duplex_hold(t->duplex, e->kind == RNL_LIVE_HOLD);
        break;
    case RNL_LIVE_CUT:
        t->cutting = true;
        duplex_cut(t->duplex);
        break;
    case RNL_LIVE_FALSE_ALARM:
        if (t->options->push_to_talk) view_say(&t->view, "there is no speech in it");
        break;
    case RNL_LIVE_CALL:
        return tools_take_calls(t->tools, t->live);
    case RNL_LIVE_TURN:
        return end_turn(t, e);
    case RNL_LIVE_SLOW:
        view_say(&t->view, "this machine is too slow to speak without a pause; sound is gathered "
                           "first. More threads or a smaller model help");
        break;
    case RNL_LIVE_MUTED:
        if (!t->files)
            view_say(&t->view, "the microphone gives only zeros: it is muted, or not allowed; "
                               "look at the mixer, or choose another with --input");
        break;
    default:
        break;
    }
    return EXIT_OK;
}

static int take_events(talk *t) {
    rnl_live_event e;
    int code = EXIT_OK;
    while (code == EXIT_OK && rnl_live_next_event(t->live, &e) == RNL_OK) code = on_event(t, &e);
    return code;
}

static void show(talk *t) {
    rnl_live_facts facts;
    const char *heard = "";
    size_t size = 0;
    if (!t->view.drawing) return;
    rnl_live_get_facts(t->live, &facts);
    if (facts.state == RNL_LIVE_SPEAKING) rnl_live_heard(t->live, &heard, &size);
    view_state(&t->view, &facts, t->key_down, heard, size);
}

/* ---- The loop ---- */

/* What is queued in front of the loudspeaker must outlast the longest step. */
static void keep_lead(talk *t, double step_ms) {
    if (step_ms <= t->step_ms_max) return;
    t->step_ms_max = step_ms;
    const double lead = 40 + 1.5 * step_ms;
    if (lead > DUPLEX_LEAD_MS_DEFAULT) duplex_set_lead_ms(t->duplex, lead);
}

/* One step of the loop, charged to the device's clock when the model has worked. */
static int step(talk *t, bool *again) {
    rnl_live_facts before, after;
    rnl_error error = {0};
    rnl_live_get_facts(t->live, &before);
    const double begin = clock_seconds();
    const rnl_status status = rnl_live_step(t->live, duplex_now_us(t->duplex), &error);
    double seconds = clock_seconds() - begin;
    if (status < 0) return failed(&error);
    rnl_live_get_facts(t->live, &after);
    *again = status == RNL_AGAIN;
    const int code = take_events(t);
    const bool through = after.work_count > before.work_count;
    if (code != EXIT_OK || after.part_count == before.part_count) return code;
    if (t->options->sim_cost_ms >= 0) { /* of a whole step */
        if (!through) return code;
        seconds = 1e-3 * t->options->sim_cost_ms;
    }
    if (after.state == RNL_LIVE_SPEAKING) keep_lead(t, 1e3 * seconds);
    if (duplex_charge(t->duplex, (int64_t)(1e6 * seconds), &error) != RNL_OK)
        return complain(EXIT_FAILED, "%s", error.text);
    return EXIT_OK;
}

/* The device is gone: it may come back. */
static int wait_for_device(talk *t, const rnl_error *lost) {
    enum { TRIES = 60 };
    if (duplex_facts(t->duplex)->simulated) return complain(EXIT_FAILED, "%s", lost->text);
    view_say(&t->view, lost->text);
    for (int i = 0; i < TRIES && !interrupted(); i++) {
        if (duplex_reopen(t->duplex) == RNL_OK) {
            view_say(&t->view, "the sound device is back");
            return EXIT_OK;
        }
        (void)sleep(1);
    }
    if (interrupted()) return EXIT_OK;
    return complain(EXIT_DEVICE, "the sound device did not come back within a minute");
}

static int rest(talk *t) {
    rnl_error error = {0};
    bool worked;
    const int code = trace_work(t->trace, &worked);
    if (code != EXIT_OK || (worked && !duplex_facts(t->duplex)->simulated)) return code;
    return duplex_wait(t->duplex, &error) == RNL_OK ? EXIT_OK : wait_for_device(t, &error);
}

/* The file has ended, the last answer is out. */
static bool is_over(talk *t) {
    if (!duplex_input_over(t->duplex)) return false;
    if (!t->over) rnl_live_finish(t->live);
    t->over = true;
    rnl_live_facts facts;
    rnl_live_get_facts(t->live, &facts);
    return facts.idle && duplex_queued(t->duplex) == 0;
}

static int converse(talk *t) {
    int code = EXIT_OK;
    while (code == EXIT_OK && !interrupted()) {
        bool again = false;
        code = listen(t);
        if (t->options->push_to_talk) watch_key(t);
        if (code == EXIT_OK) code = step(t, &again);
        if (code != EXIT_OK) break;
        speak(t);
        /* Time stands still for a file while a result is waited for. */
        code = tools_give_results(t->tools, t->live, duplex_facts(t->duplex)->simulated);
        finish_cut(t);
        show(t);
        if (!again || code != EXIT_OK) continue;
        if (is_over(t)) break;
        code = rest(t);
    }
    return code;
}

static void tell_end(talk *t) {
    if (t->options->quiet) return;
    duplex_counts c;
    duplex_get_counts(t->duplex, &c);
    view_clear(&t->view);
    (void)fprintf(stderr, "%d turn%s, %.1f s heard, %.1f s said", t->turns,
                  t->turns == 1 ? "" : "s", (double)c.mic_count / DUPLEX_RATE_MIC,
                  (double)c.played_count / DUPLEX_RATE_SPEAKER);
    if (t->underruns > 0) (void)fprintf(stderr, ", sound ran out %d times", t->underruns);
    if (c.in_xruns + c.out_xruns > 0)
        (void)fprintf(stderr, ", %lld overflows, %lld underflows", (long long)c.in_xruns,
                      (long long)c.out_xruns);
    if (c.dropped_count > 0)
        (void)fprintf(stderr, ", %lld samples of the microphone lost", (long long)c.dropped_count);
    if (c.reopen_count > 0)
        (void)fprintf(stderr, ", the device was lost %lld times", (long long)c.reopen_count);
    (void)fputc('\n', stderr);
}

static int close_all(talk *t, int code) {
    rnl_error error = {0};
    keys_end();
    view_clear(&t->view);
    if (t->duplex != NULL && code == EXIT_OK) tell_end(t);
    if (duplex_close(&t->duplex, code != EXIT_OK, &error) != RNL_OK && code == EXIT_OK)
        code = complain(EXIT_FAILED, "%s", error.text);
    const int recorded = record_close(&t->record, code != EXIT_OK);
    const int traced = trace_close(&t->trace);
    rnl_live_destroy(&t->live);
    tools_close(&t->tools);
    return code != EXIT_OK ? code : recorded != EXIT_OK ? recorded : traced;
}

static int run(const options *o) {
    if (o->list_devices) return command_devices.run(o);
    if (o->argument_count > 0)
        return complain(EXIT_USAGE, "talk: '%s' is too much; see `runnel talk --help`",
                        o->arguments[0]);
    int code;
    rnl_model *model = open_model(o, &code);
    if (model == NULL) return code;
    talk t = {.options = o, .first = -1, .audible = -1, .dac_us = {-1, -1}};
    view_begin(&t.view, o);
    code = open_all(&t, model);
    if (code == EXIT_OK) code = warm_up(&t);
    if (code == EXIT_OK) code = converse(&t);
    code = close_all(&t, code);
    rnl_model_close(&model);
    return code;
}

static const option_row rows[] = {
    {.name = "list-devices",
     .help = "the same as `runnel devices`",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(list_devices)},
    {.name = "record",
     .value = "FILE",
     .help = "a stereo WAV of what was heard (left) and said (right)",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(record)},
    {.name = "push-to-talk",
     .help = "the space key begins and ends a turn",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(push_to_talk),
     .changes_result = true},
    {.name = "no-barge-in",
     .help = "an answer cannot be interrupted",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(no_barge_in),
     .changes_result = true},
    {.name = "no-speculation",
     .help = "begin to answer only when the turn is over",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(no_speculation),
     .changes_result = true},
    {.name = "no-turn-network",
     .help = "do not ask whether a turn sounds finished; end it after the middle silence",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(no_turn_network),
     .changes_result = true},
    {.name = "no-lead-in-trim",
     .help = "play the silence that an answer begins with, too",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(no_lead_in_trim),
     .changes_result = true},
    {.name = "end-ms",
     .value = "A:B:C",
     .help = "silence that ends a turn: sounds finished, may be, does not (default 350:500:900)",
     .kind = OPTION_WAITS,
     .offset = OPTION_AT(end_ms),
     .min = 100,
     .max = 5000,
     .changes_result = true},
    {.name = "history-turns",
     .value = "N",
     .help = "turns that the model sees, 0: all that fit (default: as the model says, else 0)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(history_turns),
     .max = 100000,
     .changes_result = true},
    {.name = "backchannel-ms",
     .value = "N",
     .help = "hear up to N ms said into an answer before it is cut (default: as the model says)",
     .kind = OPTION_INT,
     .offset = OPTION_AT(backchannel_ms),
     .max = 1000,
     .changes_result = true},
    {.name = "max-turn",
     .value = "X",
     .help = "longest turn of the user in seconds (default 30)",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(turn_seconds_max),
     .min = 2,
     .max = 600,
     .changes_result = true},
    {.name = "trace",
     .value = "FILE",
     .help = "one JSON line a turn with its marks T0 to T11",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(trace)},
    {.name = "verbose",
     .letter = 'v',
     .help = "tell what ended each turn, and how finished it sounded",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(verbose)},
    {.name = "transcribe",
     .help = "write down what the user said, too",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(transcribe),
     .changes_result = true},
    {.name = "sim-cost",
     .value = "MS",
     .help = "with file: a fixed cost of each step instead of the measured one",
     .kind = OPTION_REAL,
     .offset = OPTION_AT(sim_cost_ms),
     .min = 0,
     .max = 10000,
     .changes_result = true},
};
static const option_list own = OPTION_LIST(rows);

const command command_talk = {
    .name = "talk",
    .summary = "talk with the model by voice; interrupt it as you like",
    .synopsis = "[options] [--input DEVICE] [--output DEVICE]",
    .about = "Listens to the microphone and answers through the loudspeaker until Ctrl-C. Devices\n"
             "are named as by `runnel devices`; file:IN.wav and file:OUT.wav stand for them, and\n"
             "null for nothing. Each answer is a line on standard output; ' -' behind it says\n"
             "that it was interrupted there. With --tools a call is a line\n"
             "{\"tool\":\"f\",\"arguments\":{...}} there, and a line of standard input,\n"
             "{\"result\": ...}, its result; with those of all the answer goes on.",
    .options = {&options_output, &options_system, &options_sampling, &options_answer, &options_lora,
                &options_device, &options_cache, &options_input, &options_tools, &own},
    .run = run,
    .endless = true,
};
