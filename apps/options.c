/* One table of all options; each command names by letter those it takes. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/cli.h"
#include "audio/file.h"

typedef enum option_kind {
    KIND_FLAG,
    KIND_TEXT,
    KIND_INT,
    KIND_REAL,
    KIND_SIZE,
    KIND_SEED,
    KIND_PAIR, /* T:A */
    KIND_SET   /* KEY=VALUE, repeatable */
} option_kind;

typedef struct option_row {
    char letter; /* names the row in command.own; also the short option when is_short */
    bool is_short, common;
    const char *name, *value, *help;
    option_kind kind;
    size_t offset;
    double min, max;
} option_row;

#define AT(field) offsetof(options, field)

static const option_row rows[] = {
    {'m', true, true, "model", "PATH", "bundle, main GGUF of a set, or Hugging Face folder",
     KIND_TEXT, AT(model), 0, 0},
    {'t', true, true, "threads", "N", "threads to compute with (default: physical cores)", KIND_INT,
     AT(threads), 1, RNL_THREAD_CAP},
    {'q', true, true, "quiet", NULL, "no progress and no times", KIND_FLAG, AT(quiet), 0, 0},
    {'M', false, true, "memory", "SIZE", "most memory for the session (K, M, G)", KIND_SIZE,
     AT(memory_max), 0, 0},
    {'C', false, true, "context", "N", "positions of a conversation (default 4096)", KIND_INT,
     AT(context), 64, 1 << 20},
    {'E', false, true, "exact", NULL, "float32 throughout: what meets the reference, slower",
     KIND_FLAG, AT(exact), 0, 0},
    {'u', false, true, "cpu", "LEVEL", "kernels of this level: scalar, avx2, avx512, neon, ...",
     KIND_TEXT, AT(cpu), 0, 0},
    {'1', false, true, "mmproj", "FILE", "encoder file of a GGUF set", KIND_TEXT, AT(mmproj), 0, 0},
    {'2', false, true, "vocoder", "FILE", "depthformer file of a GGUF set", KIND_TEXT, AT(vocoder),
     0, 0},
    {'3', false, true, "tokenizer", "FILE", "detokenizer file of a GGUF set", KIND_TEXT,
     AT(tokenizer), 0, 0},
    {'o', true, false, "output", "PATH", "where the result goes", KIND_TEXT, AT(output), 0, 0},
    {'j', false, false, "json", NULL, "one JSON object per result on stdout", KIND_FLAG, AT(json),
     0, 0},
    {'s', false, false, "system", "TEXT", "system prompt", KIND_TEXT, AT(system), 0, 0},
    {'v', false, false, "voice", "NAME", "us-male, us-female, uk-male or uk-female", KIND_TEXT,
     AT(voice), 0, 0},
    {'d', false, false, "mode", "MODE", "text or interleaved", KIND_TEXT, AT(mode), 0, 0},
    {'x', false, false, "max-tokens", "N", "backbone steps of a reply", KIND_INT, AT(max_tokens), 1,
     1 << 20},
    {'T', false, false, "temp", "X", "text temperature, 0 is greedy", KIND_REAL, AT(temperature), 0,
     2},
    {'K', false, false, "top-k", "N", "text: keep the N best", KIND_INT, AT(top_k), 1, 1 << 30},
    {'A', false, false, "audio-temp", "X", "audio temperature, 0 is greedy", KIND_REAL,
     AT(audio_temperature), 0, 2},
    {'k', false, false, "audio-top-k", "N", "audio: keep the N best", KIND_INT, AT(audio_top_k), 1,
     1 << 30},
    {'S', false, false, "seed", "N", "seed of the sampler (default 0)", KIND_SEED, AT(seed), 0, 0},
    {'i', false, false, "interleave", "T:A", "text tokens and audio frames in turn", KIND_PAIR, 0,
     0, 0},
    {'D', false, false, "drop-oldest", NULL, "a full context drops the oldest turns", KIND_FLAG,
     AT(drop_oldest), 0, 0},
    {'@', false, false, "kv", "TYPE", "keys and values as f16 (default), q8_0 or f32", KIND_TEXT,
     AT(kv), 0, 0},
    {'L', false, false, "max-seconds", "X", "longest sound of a turn (default 60)", KIND_REAL,
     AT(seconds_max), 0.1, 600},
    {'y', false, false, "type", "TYPE", "of the matrices, as above (default keep)", KIND_TEXT,
     AT(type), 0, 0},
    {'F', false, false, "format", "KIND", "bundle (one file, default) or set (four files)",
     KIND_TEXT, AT(format), 0, 0},
    {'Y', false, false, "encoder-type", "TYPE", "of encoder and adapter (default: as --type)",
     KIND_TEXT, AT(encoder_type), 0, 0},
    {'p', false, false, "pack", "LEVEL", "store matrices packed for this kernel level", KIND_TEXT,
     AT(pack), 0, 0},
    {'=', false, false, "set", "KEY=VALUE", "a runnel.default.* key of the bundle", KIND_SET, 0, 0,
     0},
    {'W', false, false, "work", "LIST", "what to measure, such as prefill,decode (default: all)",
     KIND_TEXT, AT(work), 0, 0},
    {'N', false, false, "tokens", "LIST", "positions of a prefill or a decoding, such as 32,128",
     KIND_TEXT, AT(tokens), 0, 0},
    {'P', false, false, "depth", "LIST", "positions before a decoding (default 0,2048)", KIND_TEXT,
     AT(depth), 0, 0},
    {'<', false, false, "input", "DEVICE",
     "microphone: a name or number of `runnel devices`, "
     "file:IN.wav or null",
     KIND_TEXT, AT(input), 0, 0},
    {'#', false, false, "list-devices", NULL, "the same as `runnel devices`", KIND_FLAG,
     AT(list_devices), 0, 0},
    {'(', false, false, "record", "FILE", "a stereo WAV of what was heard (left) and said (right)",
     KIND_TEXT, AT(record), 0, 0},
    {'!', false, false, "push-to-talk", NULL, "the space key begins and ends a turn", KIND_FLAG,
     AT(push_to_talk), 0, 0},
    {'|', false, false, "no-barge-in", NULL, "an answer cannot be interrupted", KIND_FLAG,
     AT(no_barge_in), 0, 0},
    {'?', false, false, "no-speculation", NULL, "begin to answer only when the turn is over",
     KIND_FLAG, AT(no_speculation), 0, 0},
    {'+', false, false, "max-turn", "X", "longest turn of the user in seconds (default 30)",
     KIND_REAL, AT(turn_seconds_max), 2, 600},
    {'~', false, false, "trace", "FILE", "one JSON line a turn with its marks T0 to T11", KIND_TEXT,
     AT(trace), 0, 0},
    {'&', false, false, "transcribe", NULL, "write down what the user said, too", KIND_FLAG,
     AT(transcribe), 0, 0},
    {'$', false, false, "sim-cost", "MS",
     "with file: a fixed cost of each step instead of the "
     "measured one",
     KIND_REAL, AT(sim_cost_ms), 0, 10000},
    {'r', false, false, "repeat", "N", "measurements of each kind (default 5)", KIND_INT,
     AT(repeat), 1, 1000},
    {'l', false, false, "list", "FILE", "work on the files named in FILE, one a line", KIND_TEXT,
     AT(list), 0, 0},
    {'c', false, false, "channel", "N", "hear channel N alone (default: the mean of all)", KIND_INT,
     AT(channel), 1, SOUND_CHANNEL_CAP},
    {'8', false, false, "per-channel", NULL, "every channel by itself, as for recorded calls",
     KIND_FLAG, AT(per_channel), 0, 0},
    {'z', false, false, "raw-rate", "HZ", "standard input without a header: its rate (16000)",
     KIND_INT, AT(raw_rate), SOUND_RATE_MIN, SOUND_RATE_MAX},
    {'Z', false, false, "raw-channels", "N", "likewise: its channels (1)", KIND_INT,
     AT(raw_channels), 1, SOUND_CHANNEL_CAP},
    {'9', false, false, "raw-format", "FORMAT", "likewise: s16le (default), s32le or f32le",
     KIND_TEXT, AT(raw_format), 0, 0},
    {'R', false, false, "resume", NULL, "go on where an earlier run was stopped", KIND_FLAG,
     AT(resume), 0, 0},
    {'f', true, false, "file", "FILE",
     "speak a text file (- for standard input), sentence by "
     "sentence",
     KIND_TEXT, AT(text_file), 0, 0},
    {'n', false, false, "plain", NULL, "-f: the text is no Markdown, speak every character",
     KIND_FLAG, AT(plain), 0, 0},
    {'4', false, false, "sentence-max", "N", "-f: longest piece in characters (default 300)",
     KIND_INT, AT(sentence_max), 40, 1000},
    {'5', false, false, "pause-sentence", "S", "-f: seconds after a sentence (default 0.3)",
     KIND_REAL, AT(pause_sentence), 0, 10},
    {'6', false, false, "pause-paragraph", "S", "-f: seconds after a paragraph (default 0.7)",
     KIND_REAL, AT(pause_paragraph), 0, 10},
    {'7', false, false, "pause-heading", "S", "-f: seconds around a heading (default 1.2)",
     KIND_REAL, AT(pause_heading), 0, 10},
    {'O', false, false, "output-format", "LIST",
     "files to write: txt,srt,vtt,json,jsonl,csv,tsv or all", KIND_TEXT, AT(output_formats), 0, 0},
    {'G', false, false, "output-dir", "DIR", "where they go (default: beside the recording)",
     KIND_TEXT, AT(output_folder), 0, 0},
    {'J', false, false, "jobs", "N", "recordings at a time (default 1)", KIND_INT, AT(jobs), 1,
     RNL_THREAD_CAP},
    {'H', false, false, "shard", "I/N", "work on share I of N, counted from 0", KIND_TEXT,
     AT(shard), 0, 0},
    {'B', false, false, "color", NULL, "text on a terminal coloured by confidence", KIND_FLAG,
     AT(colour), 0, 0},
    {'*', false, false, "whole", NULL, "each recording in one piece, at most 60 s", KIND_FLAG,
     AT(whole), 0, 0},
    {'b', false, false, "calibrate", NULL,
     "measure which choices are fastest here and keep them for later runs", KIND_FLAG,
     AT(calibrate), 0, 0},
    {'e', false, false, "refs", "FILE", "lines of JSON with audio_filepath and text", KIND_TEXT,
     AT(refs), 0, 0},
};
enum { ROW_COUNT = sizeof rows / sizeof *rows };

static bool takes(const command *c, const option_row *row) {
    return row->common || strchr(c->own, row->letter) != NULL;
}

void command_help(const command *c) {
    printf("usage: runnel %s %s\n", c->name, c->synopsis);
    if (c->about != NULL) printf("\n%s\n", c->about);
    printf("\noptions:\n");
    for (int i = 0; i < ROW_COUNT; i++) {
        if (!takes(c, &rows[i])) continue;
        char name[64], letter[8] = "    ";
        if (rows[i].is_short) (void)snprintf(letter, sizeof letter, "-%c, ", rows[i].letter);
        (void)snprintf(name, sizeof name, "%s--%s%s%s", letter, rows[i].name,
                       rows[i].value != NULL ? " " : "",
                       rows[i].value != NULL ? rows[i].value : "");
        printf("  %-26s %s\n", name, rows[i].help);
    }
    printf("  -h, --help                 this text\n"
           "      --version              the version of runnel\n");
}

static int bad_value(const option_row *row, const char *value, const char *expected) {
    return complain(EXIT_USAGE, "--%s: '%s' is not %s", row->name, value, expected);
}

/* Plain decimal numbers only: strtod and its kin also take spaces, 0x10 and infinities. */
static bool is_plain(const char *text, const char *first, const char *rest) {
    return *text != '\0' && strchr(first, *text) != NULL && text[strspn(text, rest)] == '\0';
}

static bool parse_real(const char *text, double *out) {
    char *end;
    if (!is_plain(text, "-.0123456789", "0123456789.eE+-")) return false;
    errno = 0;
    *out = strtod(text, &end);
    return errno == 0 && end != text && *end == '\0' && *out == *out;
}

static bool parse_whole(const char *text, long long *out) {
    char *end;
    if (!is_plain(text, "-0123456789", "-0123456789")) return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_seed(const char *text, uint64_t *out) {
    if (!is_plain(text, "0123456789", "0123456789")) return false;
    errno = 0;
    const unsigned long long seed = strtoull(text, NULL, 10);
    *out = (uint64_t)seed;
    return errno == 0;
}

static bool parse_size(const char *text, size_t *out) {
    char *end;
    if (!is_plain(text, "0123456789", "0123456789KMG")) return false;
    errno = 0;
    const unsigned long long n = strtoull(text, &end, 10);
    const char *units = "KMG";
    int shift = 0;
    if (*end != '\0') {
        const char *unit = strchr(units, *end);
        if (unit == NULL || end[1] != '\0') return false;
        shift = 10 * (int)(unit - units + 1);
    }
    if (errno != 0 || end == text || n == 0 || n > (SIZE_MAX >> shift)) return false;
    *out = (size_t)n << shift;
    return true;
}

/* "T:A", e.g. 6:12. */
static bool parse_pair(options *o, const char *text) {
    long long t, a;
    char left[16];
    const char *colon = strchr(text, ':');
    if (colon == NULL || colon - text >= (long)sizeof left) return false;
    (void)snprintf(left, sizeof left, "%.*s", (int)(colon - text), text);
    if (!parse_whole(left, &t) || !parse_whole(colon + 1, &a)) return false;
    if (t < 1 || t > 64 || a < 1 || a > 256) return false;
    o->text_run = (int)t;
    o->audio_run = (int)a;
    return true;
}

/* Stores one value; EXIT_OK or the code of a complaint. */
static int store(options *o, const option_row *row, const char *value) {
    void *field = (char *)o + row->offset;
    char expected[96];
    long long whole;
    double real;
    switch (row->kind) {
    case KIND_FLAG:
        if (row->offset > 0) *(bool *)field = true;
        return EXIT_OK;
    case KIND_TEXT:
        *(const char **)field = value;
        return EXIT_OK;
    case KIND_INT:
        (void)snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", row->min,
                       row->max);
        if (!parse_whole(value, &whole) || (double)whole < row->min || (double)whole > row->max)
            return bad_value(row, value, expected);
        *(int *)field = (int)whole;
        return EXIT_OK;
    case KIND_REAL:
        (void)snprintf(expected, sizeof expected, "a number from %g to %g", row->min, row->max);
        if (!parse_real(value, &real) || real < row->min || real > row->max)
            return bad_value(row, value, expected);
        *(double *)field = real;
        return EXIT_OK;
    case KIND_SIZE:
        return parse_size(value, field) ? EXIT_OK
                                        : bad_value(row, value, "a size such as 500M or 2G");
    case KIND_SEED:
        return parse_seed(value, &o->seed)
                   ? EXIT_OK
                   : bad_value(row, value, "a whole number from 0 to 18446744073709551615");
    case KIND_PAIR:
        return parse_pair(o, value) ? EXIT_OK
                                    : bad_value(row, value, "two counts such as 6:12 (1-64:1-256)");
    case KIND_SET:
        if (o->set_count == sizeof o->sets / sizeof *o->sets || strchr(value, '=') == NULL)
            return bad_value(row, value, "KEY=VALUE, at most 64 of them");
        o->sets[o->set_count++] = value;
        return EXIT_OK;
    }
    return EXIT_USAGE;
}

/* The complaint about what getopt_long refused, or gave although the command does not take it. */
static int bad_option(const command *c, int got, const option_row *row, const char *word) {
    const char *why = "unknown here";
    char name[64];
    if (row != NULL) /* its value may be the last word, so the word does not name it */
        (void)snprintf(name, sizeof name, "--%s", row->name);
    else if (got == '?' && optopt > 0 && optopt < 256) /* one letter of several */
        (void)snprintf(name, sizeof name, "-%c", optopt);
    else
        (void)snprintf(name, sizeof name, "%.60s", word);
    if (got == ':') why = "missing its value";
    if (got == '?' && optopt >= 256) why = "given a value, but takes none";
    return complain(EXIT_USAGE, "%s: option '%s' is %s; see `runnel %s --help`", c->name, name, why,
                    c->name);
}

bool options_parse(options *o, const command *c, int argc, char **argv, int *code) {
    *o = (options){.threads = -1,
                   .context = -1,
                   .max_tokens = -1,
                   .top_k = -1,
                   .audio_top_k = -1,
                   .text_run = -1,
                   .audio_run = -1,
                   .repeat = -1,
                   .temperature = -1,
                   .audio_temperature = -1,
                   .seconds_max = -1,
                   .channel = -1,
                   .raw_rate = -1,
                   .raw_channels = -1,
                   .sentence_max = -1,
                   .pause_sentence = -1,
                   .pause_paragraph = -1,
                   .pause_heading = -1,
                   .turn_seconds_max = -1,
                   .sim_cost_ms = -1,
                   .jobs = -1,
                   .memory_max = SIZE_MAX};
    struct option long_options[ROW_COUNT + 3] = {0};
    char short_options[2 * ROW_COUNT + 8] = ":h"; /* ':' reports a missing value as such */
    for (int i = 0; i < ROW_COUNT; i++) {
        const bool has_value = rows[i].value != NULL;
        long_options[i] = (struct option){rows[i].name, has_value, NULL, 256 + i};
        if (!rows[i].is_short) continue;
        const char letter[] = {rows[i].letter, has_value ? ':' : '\0', '\0'};
        strcat(short_options, letter);
    }
    long_options[ROW_COUNT] = (struct option){"help", 0, NULL, 'h'};
    long_options[ROW_COUNT + 1] = (struct option){"version", 0, NULL, 'V'};
    optind = 1;
    opterr = 0;
    *code = EXIT_OK;
    for (int got; (got = getopt_long(argc, argv, short_options, long_options, NULL)) != -1;) {
        if (got == 'h') {
            command_help(c);
            return false;
        }
        if (got == 'V') {
            printf("runnel %s\n", rnl_version());
            return false;
        }
        int at = got >= 256 ? got - 256 : 0;
        while (got < 256 && at < ROW_COUNT && !(rows[at].is_short && rows[at].letter == got)) at++;
        if (got == '?' || got == ':' || at == ROW_COUNT)
            *code = bad_option(c, got, NULL, argv[optind - 1]);
        else if (!takes(c, &rows[at]))
            *code = bad_option(c, got, &rows[at], NULL);
        else
            *code = store(o, &rows[at], optarg);
        if (*code != EXIT_OK) return false;
    }
    o->arguments = argv + optind;
    o->argument_count = argc - optind;
    return true;
}
