/* runnel trace: what `runnel talk --trace` has written, as a table and as an SVG timeline. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/commands.h"
#include "apps/messages.h"
#include "apps/replace.h"
#include "apps/sources.h"
#include "core/json.h"

enum { MARKS = 12, LINE_CAP = 1 << 20 };

typedef struct row {
    int64_t turn;
    int64_t mark[MARKS]; /* microseconds; -1: not reached */
    bool barged_in;
    char rule[16]; /* end_rule; "-": a trace of before there was one */
    char *heard;   /* said_heard, terminated */
} row;

typedef struct rows {
    row *list;
    size_t count, cap;
} rows;

/* ---- Reading ---- */

static bool read_row(const json *line, row *r) {
    *r = (row){0};
    if (!json_int(json_get(line, "turn"), 0, INT64_MAX / 2, &r->turn)) return false;
    for (int i = 0; i < MARKS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "T%d", i);
        const json *mark = json_get(line, name);
        r->mark[i] = -1;
        if (!json_is_null(mark) && !json_int(mark, 0, INT64_MAX / 2, &r->mark[i])) return false;
    }
    (void)json_bool(json_get(line, "barged_in"), &r->barged_in);
    size_t size = 0;
    const char *rule = json_chars(json_get(line, "end_rule"), &size);
    (void)snprintf(r->rule, sizeof r->rule, "%.*s", rule != NULL ? (int)size : 1,
                   rule != NULL ? rule : "-");
    const char *heard = json_chars(json_get(line, "said_heard"), &size);
    if (heard == NULL) return false;
    r->heard = malloc(size + 1);
    if (r->heard == NULL) return false;
    memcpy(r->heard, heard, size);
    r->heard[size] = '\0';
    return true;
}

static bool add_row(rows *all, const row *r) {
    if (all->count == all->cap) {
        const size_t cap = 2 * all->cap + 64;
        row *grown = realloc(all->list, cap * sizeof *grown);
        if (grown == NULL) return false;
        all->list = grown;
        all->cap = cap;
    }
    all->list[all->count++] = *r;
    return true;
}

static int read_line(const char *path, const char *line, size_t size, int number, rows *all) {
    json *parsed = NULL;
    rnl_error error = {0};
    char name[4200];
    (void)snprintf(name, sizeof name, "%.4096s, line %d", path, number);
    if (json_parse(line, size, name, &parsed, &error) != RNL_OK)
        return complain(EXIT_INPUT, "%s", error.text);
    row r;
    const bool good = read_row(parsed, &r);
    json_destroy(&parsed);
    if (!good)
        return complain(EXIT_INPUT,
                        "%s: this is no turn of a trace (turn, T0 to T11, said_heard); name a file "
                        "written by `runnel talk --trace`",
                        name);
    if (add_row(all, &r)) return EXIT_OK;
    free(r.heard);
    return complain(EXIT_FAILED, "memory is exhausted");
}

static int read_rows(const char *path, rows *all) {
    FILE *f = fopen(path, "r");
    if (f == NULL) return complain(EXIT_INPUT, "%s: %s", path, strerror(errno));
    char *line = NULL;
    size_t cap = 0;
    int code = EXIT_OK;
    for (int number = 1; code == EXIT_OK; number++) {
        const ssize_t size = getline(&line, &cap, f);
        if (size < 0) break;
        if (size > LINE_CAP)
            code = complain(EXIT_INPUT, "%s, line %d: too long for a trace", path, number);
        else if (size > 1)
            code = read_line(path, line, (size_t)size, number, all);
    }
    if (code == EXIT_OK && ferror(f) != 0)
        code = complain(EXIT_INPUT, "%s: %s", path, strerror(errno));
    if (code == EXIT_OK && all->count == 0) code = complain(EXIT_INPUT, "%s: no turn in it", path);
    free(line);
    (void)fclose(f);
    return code;
}

/* ---- The table ---- */

/* What lies between two marks, and what it is called. docs/LATENCY.md explains each. */
static const struct {
    const char *name;
    int from, to;
} parts[] = {
    {"capture", 0, 1}, {"vad", 1, 2},      {"endpoint", 1, 3},  {"encode", 2, 4},
    {"prefill", 4, 5}, {"text", 5, 6},     {"code", 6, 7},      {"sound", 7, 8},
    {"compute", 3, 8}, {"playout", 8, 10}, {"lead-in", 10, 11}, {"V2V", 0, 11},
};
enum { PARTS = sizeof parts / sizeof *parts };

static bool part_ms(const row *r, int part, double *ms) {
    const int64_t from = r->mark[parts[part].from], to = r->mark[parts[part].to];
    if (from < 0 || to < 0) return false;
    *ms = (double)(to - from) / 1e3;
    return true;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The nearest-rank percentile of one part, over the turns that have it. */
static bool percentile(const rows *all, int part, double share, double *scratch, double *ms) {
    size_t count = 0;
    for (size_t i = 0; i < all->count; i++)
        if (part_ms(&all->list[i], part, &scratch[count])) count++;
    if (count == 0) return false;
    qsort(scratch, count, sizeof *scratch, compare);
    size_t index = (size_t)(share * (double)count + 0.999999);
    if (index > 0) index--;
    *ms = scratch[index < count ? index : count - 1];
    return true;
}

static void print_value(bool known, double ms) {
    if (known)
        printf(" %8.1f", ms);
    else
        printf(" %8s", "-");
}

static int print_table(const rows *all) {
    double *scratch = malloc(all->count * sizeof *scratch), ms = 0;
    if (scratch == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    printf("%-6s", "turn");
    for (int k = 0; k < PARTS; k++) printf(" %8s", parts[k].name);
    printf("  %-8s heard (times in ms)\n", "end");
    for (size_t i = 0; i < all->count; i++) {
        const row *r = &all->list[i];
        printf("%-6lld", (long long)r->turn);
        for (int k = 0; k < PARTS; k++) {
            const bool known = part_ms(r, k, &ms);
            print_value(known, ms);
        }
        printf("  %-8s %s%s\n", r->rule, r->heard, r->barged_in ? " -" : "");
    }
    static const struct {
        const char *name;
        double share;
    } lines[] = {{"p50", 0.5}, {"p95", 0.95}, {"max", 1.0}};
    for (int n = 0; n < 3; n++) {
        printf("%-6s", lines[n].name);
        for (int k = 0; k < PARTS; k++) {
            const bool known = percentile(all, k, lines[n].share, scratch, &ms);
            print_value(known, ms);
        }
        printf("\n");
    }
    free(scratch);
    return flush_output();
}

/* ---- The timeline ---- */

enum { LEFT = 60, LANE = 14, TURN = 40, TOP = 60, WIDTH = 1000 };

/* What is drawn of a turn: two lanes, what the user's side waits for and what the model does. */
static const struct {
    int from, to, lane;
    const char *colour, *name;
} bars[] = {
    {0, 3, 0, "#c9c9c9", "silence until the end is sure"},
    {2, 4, 1, "#7fa7d6", "encode"},
    {4, 5, 1, "#4f7fb8", "prefill"},
    {5, 7, 1, "#2f5588", "text and first frame"},
    {9, 10, 0, "#e2b04a", "play-out"},
    {10, 11, 0, "#f0d9a0", "the reply's own lead-in"},
};
enum { BARS = sizeof bars / sizeof *bars };

static double scale_of(const rows *all) {
    double longest = 100;
    for (size_t i = 0; i < all->count; i++)
        for (int k = 0; k < MARKS; k++) {
            const row *r = &all->list[i];
            if (r->mark[0] < 0 || r->mark[k] < 0) continue;
            const double ms = (double)(r->mark[k] - r->mark[0]) / 1e3;
            if (ms > longest) longest = ms;
        }
    return (WIDTH - LEFT - 20) / longest;
}

static void draw_axis(FILE *f, double scale, double bottom) {
    const double longest = (WIDTH - LEFT - 20) / scale;
    const double grid = longest > 5000 ? 1000 : longest > 1000 ? 200 : 100;
    for (double ms = 0; ms <= longest; ms += grid) {
        const double x = LEFT + ms * scale;
        (void)fprintf(f,
                      "<line x1='%.1f' y1='%d' x2='%.1f' y2='%.1f' stroke='#eee'/>"
                      "<text x='%.1f' y='%d' text-anchor='middle'>%.0f ms</text>\n",
                      x, TOP - 8, x, bottom, x, TOP - 12, ms);
    }
}

static void draw_legend(FILE *f) {
    for (int k = 0; k < BARS; k++)
        (void)fprintf(f,
                      "<rect x='%d' y='8' width='12' height='12' fill='%s'/>"
                      "<text x='%d' y='18'>%s</text>\n",
                      LEFT + 155 * k, bars[k].colour, LEFT + 155 * k + 16, bars[k].name);
}

static void draw_turn(FILE *f, const row *r, double scale, double y) {
    (void)fprintf(f, "<text x='8' y='%.1f'>%lld%s</text>\n", y + LANE, (long long)r->turn,
                  r->barged_in ? " -" : "");
    if (r->mark[0] < 0) return;
    for (int k = 0; k < BARS; k++) {
        const int64_t from = r->mark[bars[k].from], to = r->mark[bars[k].to];
        if (from < 0 || to < from) continue;
        (void)fprintf(f, "<rect x='%.1f' y='%.1f' width='%.1f' height='%d' fill='%s'/>\n",
                      LEFT + (double)(from - r->mark[0]) / 1e3 * scale, y + bars[k].lane * LANE,
                      (double)(to - from) / 1e3 * scale, LANE - 2, bars[k].colour);
    }
    if (r->mark[11] >= 0)
        (void)fprintf(f, "<text x='%.1f' y='%.1f' text-anchor='end'>%.0f ms</text>\n",
                      LEFT + (double)(r->mark[11] - r->mark[0]) / 1e3 * scale, y + 2 * LANE - 2,
                      (double)(r->mark[11] - r->mark[0]) / 1e3);
}

static bool write_drawing(FILE *f, const void *context) {
    const rows *all = context;
    const double height = TOP + (double)all->count * TURN + 10, scale = scale_of(all);
    (void)fprintf(f,
                  "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%.0f' "
                  "font-family='sans-serif' font-size='11'>\n"
                  "<rect width='100%%' height='100%%' fill='white'/>\n",
                  WIDTH, height);
    draw_legend(f);
    draw_axis(f, scale, height - 6);
    for (size_t i = 0; i < all->count; i++)
        draw_turn(f, &all->list[i], scale, TOP + (double)i * TURN);
    return fputs("</svg>\n", f) >= 0 && ferror(f) == 0;
}

static int draw(const rows *all, const char *path) {
    rnl_error error = {0};
    if (replace_file(path, write_drawing, all, &error)) return EXIT_OK;
    return complain(exit_code(&error), "%s", error.text);
}

static int run(const options *o) {
    if (o->argument_count != 1)
        return complain(EXIT_USAGE, "trace: name one file written by `runnel talk --trace`");
    rows all = {0};
    char path[4200];
    if (o->output != NULL)
        (void)snprintf(path, sizeof path, "%.4096s", o->output);
    else
        (void)snprintf(path, sizeof path, "%.4096s.svg", o->arguments[0]);
    source_note(o->arguments[0]);
    int code = check_target(path);
    if (code == EXIT_OK) code = read_rows(o->arguments[0], &all);
    if (code == EXIT_OK) code = print_table(&all);
    if (code == EXIT_OK) code = draw(&all, path);
    if (code == EXIT_OK && !o->quiet) (void)fprintf(stderr, "timeline: %s\n", path);
    for (size_t i = 0; i < all.count; i++) free(all.list[i].heard);
    free(all.list);
    return code;
}

const command command_trace = {
    .name = "trace",
    .summary = "a trace of talk as a table and a timeline",
    .synopsis = "[options] FILE [-o TIMELINE.svg]",
    .about =
        "Reads what `runnel talk --trace FILE` has written: a table of the parts of each turn's\n"
        "latency with median, 95th percentile and maximum on standard output, and a timeline\n"
        "in FILE.svg or the file of -o.",
    .options = {&options_output},
    .run = run,
};
