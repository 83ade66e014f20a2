/* Parsing by the rows of a command, and its help. */
#include "apps/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/messages.h"

const option_row *command_option(const command *c, int index) {
    const option_list *list = &options_common;
    for (int i = 0; list != NULL && index >= list->count; i++) {
        index -= list->count;
        list = i < OPTION_LIST_CAP ? c->options[i] : NULL;
    }
    return list != NULL ? &list->rows[index] : NULL;
}

void command_help(const command *c) {
    printf("usage: runnel %s %s\n", c->name, c->synopsis);
    if (c->about != NULL) printf("\n%s\n", c->about);
    printf("\noptions:\n");
    const option_row *row;
    for (int i = 0; (row = command_option(c, i)) != NULL; i++) {
        char name[64], letter[8] = "    ";
        if (row->letter != 0) (void)snprintf(letter, sizeof letter, "-%c, ", row->letter);
        (void)snprintf(name, sizeof name, "%s--%s%s%s", letter, row->name,
                       row->value != NULL ? " " : "", row->value != NULL ? row->value : "");
        printf("  %-26s %s\n", name, row->help);
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
static bool parse_pair(const option_row *row, const char *text, int pair[2]) {
    long long left, right;
    char part[16];
    const char *colon = strchr(text, ':');
    if (colon == NULL || colon - text >= (long)sizeof part) return false;
    (void)snprintf(part, sizeof part, "%.*s", (int)(colon - text), text);
    if (!parse_whole(part, &left) || !parse_whole(colon + 1, &right)) return false;
    if (left < 1 || (double)left > row->min || right < 1 || (double)right > row->max) return false;
    pair[0] = (int)left;
    pair[1] = (int)right;
    return true;
}

/* "A:B:C", e.g. 350:500:900. */
static bool parse_waits(const option_row *row, const char *text, int waits[3]) {
    long long got[3];
    for (int i = 0; i < 3; i++) {
        char part[16];
        const size_t size = strcspn(text, ":");
        if (size >= sizeof part || (text[size] == ':') != (i < 2)) return false;
        (void)snprintf(part, sizeof part, "%.*s", (int)size, text);
        text += size + 1;
        if (!parse_whole(part, &got[i]) || (double)got[i] < (i > 0 ? (double)got[i - 1] : row->min))
            return false;
    }
    if ((double)got[2] > row->max) return false;
    for (int i = 0; i < 3; i++) waits[i] = (int)got[i];
    return true;
}

/* Stores one value; EXIT_OK or the code of a complaint. */
static int store(options *o, const option_row *row, const char *value) {
    void *field = (char *)o + row->offset;
    char expected[96];
    long long whole;
    double real;
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return EXIT_OK;
    case OPTION_TEXT:
        *(const char **)field = value;
        return EXIT_OK;
    case OPTION_INT:
        (void)snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", row->min,
                       row->max);
        if (!parse_whole(value, &whole) || (double)whole < row->min || (double)whole > row->max)
            return bad_value(row, value, expected);
        *(int *)field = (int)whole;
        return EXIT_OK;
    case OPTION_REAL:
        (void)snprintf(expected, sizeof expected, "a number from %g to %g", row->min, row->max);
        if (!parse_real(value, &real) || real < row->min || real > row->max)
            return bad_value(row, value, expected);
        *(double *)field = real;
        return EXIT_OK;
    case OPTION_SIZE:
        return parse_size(value, field) ? EXIT_OK
                                        : bad_value(row, value, "a size such as 500M or 2G");
    case OPTION_SEED:
        return parse_seed(value, field)
                   ? EXIT_OK
                   : bad_value(row, value, "a whole number from 0 to 18446744073709551615");
    case OPTION_PAIR:
        (void)snprintf(expected, sizeof expected, "two counts such as 6:12 (1-%.0f:1-%.0f)",
                       row->min, row->max);
        return parse_pair(row, value, field) ? EXIT_OK : bad_value(row, value, expected);
    case OPTION_TEXTS: {
        option_texts *texts = field;
        if (texts->count == sizeof texts->at / sizeof *texts->at)
            return bad_value(row, value, "given 64 times at most");
        texts->at[texts->count++] = value;
        return EXIT_OK;
    }
    case OPTION_WAITS:
        (void)snprintf(expected, sizeof expected,
                       "three times such as 350:500:900, rising (%.0f to %.0f)", row->min,
                       row->max);
        return parse_waits(row, value, field) ? EXIT_OK : bad_value(row, value, expected);
    case OPTION_SETS:
        if (o->set_count == sizeof o->sets / sizeof *o->sets || strchr(value, '=') == NULL)
            return bad_value(row, value, "KEY=VALUE, at most 64 of them");
        o->sets[o->set_count++] = value;
        return EXIT_OK;
    }
    return EXIT_USAGE;
}

/* The complaint about what getopt_long refused. */
static int bad_option(const command *c, int got, const char *word) {
    const char *why = "unknown here";
    char name[64];
    if (got == '?' && optopt > 0 && optopt < 256) /* one letter of several */
        (void)snprintf(name, sizeof name, "-%c", optopt);
    else
        (void)snprintf(name, sizeof name, "%.60s", word);
    if (got == ':') why = "missing its value";
    if (got == '?' && optopt >= 256) why = "given a value, but takes none";
    return complain(EXIT_USAGE, "%s: option '%s' is %s; see `runnel %s --help`", c->name, name, why,
                    c->name);
}

static options nothing_given(void) {
    return (options){.threads = -1,
                     .context = -1,
                     .max_tokens = -1,
                     .top_k = -1,
                     .audio_top_k = -1,
                     .top_p = -1,
                     .min_p = -1,
                     .repeat_penalty = -1,
                     .interleave = {-1, -1},
                     .end_ms = {-1, -1, -1},
                     .history_turns = -1,
                     .backchannel_ms = -1,
                     .repeat = -1,
                     .count = -1,
                     .stride = -1,
                     .chunks = -1,
                     .shots = -1,
                     .temperature = -1,
                     .audio_temperature = -1,
                     .seconds_max = -1,
                     .image_tokens_min = -1,
                     .image_tokens_max = -1,
                     .frames_max = -1,
                     .pixels_max = -1,
                     .fps = -1,
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
                     .length = -1,
                     .batch = -1,
                     .epochs = -1,
                     .steps = -1,
                     .warmup = -1,
                     .keep = -1,
                     .rate = -1,
                     .hold = -1,
                     .dropout = -1,
                     .memory_max = SIZE_MAX,
                     .measure = {.rounds = -1, .again = -1, .timeout = -1},
                     .search = {.evaluations = -1,
                                .generations = -1,
                                .population = -1,
                                .tournament = -1,
                                .mutation = -1,
                                .decode_ms_max = -1,
                                .recall_min = -1,
                                .seed = UINT64_MAX},
                     .serve = {.port = -1,
                               .sessions = -1,
                               .sessions_of_key = -1,
                               .drain_seconds = -1,
                               .slow_seconds = -1,
                               .session_seconds = -1,
                               .resume_seconds = -1,
                               .truncate_wait_ms = -1,
                               .oversubscribe = -1}};
}

/* What getopt_long gives for a row: 256 + its number, or its letter. NULL: neither. */
static const option_row *row_of(const command *c, int got) {
    if (got >= 256) return command_option(c, got - 256);
    const option_row *row = NULL;
    for (int i = 0; (row = command_option(c, i)) != NULL && row->letter != got; i++) continue;
    return row;
}

bool options_parse(options *o, const command *c, int argc, char **argv, int *code) {
    struct option long_options[OPTION_CAP + 3] = {0};
    char short_options[2 * OPTION_CAP + 8] = ":h"; /* ':' reports a missing value as such */
    const option_row *row;
    int count = 0;
    for (; count < OPTION_CAP && (row = command_option(c, count)) != NULL; count++) {
        const bool has_value = row->value != NULL;
        long_options[count] = (struct option){row->name, has_value, NULL, 256 + count};
        const char letter[] = {row->letter, has_value ? ':' : '\0', '\0'};
        strcat(short_options, letter);
    }
    assert(command_option(c, count) == NULL);
    long_options[count] = (struct option){"help", 0, NULL, 'h'};
    long_options[count + 1] = (struct option){"version", 0, NULL, 'V'};
    *o = nothing_given();
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
        row = got != '?' && got != ':' ? row_of(c, got) : NULL;
        *code = row != NULL ? store(o, row, optarg) : bad_option(c, got, argv[optind - 1]);
        if (*code != EXIT_OK) return false;
    }
    o->arguments = argv + optind;
    o->argument_count = argc - optind;
    return true;
}
