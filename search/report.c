#include "search/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const colours[SEARCH_OPERATOR_COUNT] = {
    [SEARCH_SKIP] = "#999",       [SEARCH_CONVOLUTION] = "#4a90d9", [SEARCH_FULL] = "#d9534f",
    [SEARCH_SLIDING] = "#e8963a", [SEARCH_LINEAR] = "#5aa65a",      [SEARCH_SSD] = "#8e6bbf",
};

/* ---- Words ---- */

static void block_word(const search_space *s, const search_block *b, char word[16]) {
    const int quarter = s->heads / 4;
    static const char *const shared[] = {"", "=f", "=k"};
    switch (b->op) {
    case SEARCH_CONVOLUTION:
        (void)snprintf(word, 16, "c%d%s", b->p1, shared[b->share]);
        break;
    case SEARCH_FULL:
        (void)snprintf(word, 16, "a%d%s", quarter * b->p1, shared[b->share]);
        break;
    case SEARCH_SLIDING:
        (void)snprintf(word, 16, "w%d:%d%s", search_window(s, b->p2), quarter * b->p1,
                       shared[b->share]);
        break;
    case SEARCH_LINEAR:
        (void)snprintf(word, 16, "%s%d%s", b->p1 == 0 ? "l" : "r", quarter * b->p2,
                       shared[b->share]);
        break;
    default:
        (void)snprintf(word, 16, "s%d:%d%s", b->p1, quarter * b->p2, shared[b->share]);
        break;
    }
}

void search_words(const search_space *s, const search_genome *canonical,
                  char text[SEARCH_WORDS_CAP]) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < canonical->count; i++) {
        const search_block b = search_block_of(&canonical->genes[i]);
        char word[16];
        block_word(s, &b, word);
        used +=
            (size_t)snprintf(text + used, SEARCH_WORDS_CAP - used, "%s%s", i > 0 ? " " : "", word);
    }
}

/* ---- The front ---- */

enum { WIDE = 640, HIGH = 380, LEFT = 70, RIGHT = 20, TOP = 16, BOTTOM = 46 };

typedef struct axis {
    double low, high;
} axis;

static void axis_take(axis *a, double v) {
    a->low = fmin(a->low, v);
    a->high = fmax(a->high, v);
}

/* Some room at both ends; never empty. */
static void axis_end(axis *a) {
    const double room = a->high > a->low ? 0.05 * (a->high - a->low) : fabs(a->low) * 0.1 + 0.1;
    a->low -= room;
    a->high += room;
}

static double share_of(const axis *a, double v) {
    return (v - a->low) / (a->high - a->low);
}

static double x_of(const axis *a, double v) {
    return LEFT + share_of(a, v) * (WIDE - LEFT - RIGHT);
}

static double y_of(const axis *a, double v) {
    return HIGH - BOTTOM - share_of(a, v) * (HIGH - TOP - BOTTOM);
}

static void put_axes(FILE *f, const axis *x, const axis *y, const char *x_name,
                     const char *y_name) {
    enum { TICKS = 5 };
    (void)fprintf(f, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDE, HIGH);
    (void)fprintf(f, "<rect class=\"plot\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", LEFT,
                  TOP, WIDE - LEFT - RIGHT, HIGH - TOP - BOTTOM);
    for (int i = 0; i <= TICKS; i++) {
        const double at_x = x->low + (x->high - x->low) * i / TICKS;
        const double at_y = y->low + (y->high - y->low) * i / TICKS;
        (void)fprintf(f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>\n",
                      x_of(x, at_x), HIGH - BOTTOM + 16, at_x);
        (void)fprintf(f, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n", LEFT - 6,
                      y_of(y, at_y) + 4, at_y);
    }
    (void)fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                  (LEFT + WIDE - RIGHT) / 2, HIGH - 8, x_name);
    (void)fprintf(f,
                  "<text transform=\"translate(14 %d) rotate(-90)\" "
                  "text-anchor=\"middle\">%s</text>\n",
                  (TOP + HIGH - BOTTOM) / 2, y_name);
}

/* "decode_4k, ms", "1 - recall". */
static void objective_name(const search_plan *p, int m, char name[64]) {
    const search_metric *metric = &p->metrics->row[p->objectives[m]];
    (void)snprintf(name, 64, "%s%s%s%s", metric->rises ? "1 - " : "", metric->name,
                   metric->unit[0] != '\0' ? ", " : "", metric->unit);
}

/* Objective m of an evaluation; beyond the last the parameters, in millions. */
static double coordinate(const search_history *h, int index, int m) {
    if (m >= h->plan->objective_count) return (double)h->all[index].candidate.params / 1e6;
    return search_history_point(h, index).value[m];
}

static void put_point(FILE *f, const search_history *h, int i, const axis axes[4]) {
    const bool front = search_history_is_on_front(h, i);
    const int count = h->plan->objective_count;
    const double size = count > 2 ? 4 + 8 * share_of(&axes[2], coordinate(h, i, 2)) : 6;
    const double hue = count > 3 ? 220 - 220 * share_of(&axes[3], coordinate(h, i, 3)) : 210;
    char words[SEARCH_WORDS_CAP];
    search_words(&h->plan->space, &h->all[i].candidate.genome, words);
    (void)fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" ",
                  x_of(&axes[1], coordinate(h, i, 1)), y_of(&axes[0], coordinate(h, i, 0)), size);
    if (front)
        (void)fprintf(f, "fill=\"hsl(%.0f 65%% 50%%)\" stroke=\"#000\">", hue);
    else
        (void)fputs("class=\"past\">", f);
    (void)fprintf(f, "<title>%d: %s", i, words);
    for (int m = 0; m < count; m++) {
        char name[64];
        objective_name(h->plan, m, name);
        (void)fprintf(f, "&#10;%s: %.5g", name, coordinate(h, i, m));
    }
    (void)fputs("</title></circle>\n", f);
}

static void put_front(FILE *f, const search_history *h) {
    axis axes[4];
    char x_name[64] = "parameters, millions", y_name[64], further[2][64];
    const int count = h->plan->objective_count;
    for (int m = 0; m < 4; m++) {
        axes[m] = (axis){INFINITY, -INFINITY};
        for (int i = 0; i < h->count; i++) axis_take(&axes[m], coordinate(h, i, m));
        axis_end(&axes[m]);
    }
    objective_name(h->plan, 0, y_name);
    if (count > 1) objective_name(h->plan, 1, x_name);
    (void)fprintf(f,
                  "<h2>The front</h2>\n<p>%d of %d candidates are better in something than all "
                  "others within the limits; they are coloured. Less is better.",
                  h->front_count, h->count);
    for (int m = 2; m < 4 && m < count; m++) {
        objective_name(h->plan, m, further[m - 2]);
        (void)fprintf(f, m == 2 ? " Large: much %s." : " Red: much %s.", further[m - 2]);
    }
    (void)fputs("</p>\n", f);
    put_axes(f, &axes[1], &axes[0], x_name, y_name);
    for (int i = 0; i < h->count; i++)
        if (!search_history_is_on_front(h, i)) put_point(f, h, i, axes);
    for (int i = 0; i < h->front_count; i++) put_point(f, h, h->front[i], axes);
    (void)fputs("</svg>\n", f);
}

/* ---- Chance ---- */

/* How far the marks of the first candidate lie apart that other seeds gave it. */
static void put_noise(FILE *f, const search_history *h) {
    static const char *const lists[] = {"recall", "text"}, *const names[] = {"recall", "bits"};
    const json *measured = json_get(h->all[0].line, "measured");
    if (json_count(json_get(measured, "recall")) < 2) return;
    (void)fputs("<h2>Chance</h2>\n<p>The first candidate with several seeds:", f);
    for (int k = 0; k < 2; k++) {
        const json *runs = json_get(measured, lists[k]);
        (void)fprintf(f, " %s", names[k]);
        for (size_t i = 0; i < json_count(runs); i++) {
            double mark = NAN;
            (void)json_number(json_get(json_at(runs, i), names[k]), &mark);
            (void)fprintf(f, " %.3f", mark);
        }
        (void)fputs(k == 0 ? ";" : ".", f);
    }
    (void)fputs(" Candidates that differ by no more than these are equal.</p>\n", f);
}

/* ---- Volumes ---- */

/* As shares of the box that the reference makes. */
static double box_of(const search_history *h) {
    double reference[SEARCH_OBJECTIVE_CAP], box = 1;
    search_history_reference(h, reference);
    for (int m = 0; m < h->plan->objective_count; m++) box *= reference[m];
    return box;
}

static void put_line(FILE *f, const search_history *h, const axis *x, const axis *y,
                     const char *style) {
    const double box = box_of(h);
    (void)fprintf(f, "<polyline class=\"%s\" points=\"", style);
    for (int i = 0; i < h->count; i++)
        (void)fprintf(f, "%.1f,%.1f ", x_of(x, i + 1), y_of(y, h->all[i].volume / box));
    (void)fputs("\"/>\n", f);
}

static void put_volumes(FILE *f, const search_report *r) {
    const bool has_control = r->control->count > 0;
    const search_history *both[] = {r->found, r->control};
    axis x = {0, 1}, y = {0, 0};
    for (int k = 0; k < 1 + has_control; k++) {
        const double box = box_of(both[k]);
        axis_take(&x, both[k]->count);
        for (int i = 0; i < both[k]->count; i++) axis_take(&y, both[k]->all[i].volume / box);
    }
    axis_end(&y);
    (void)fputs("<h2>Hypervolume</h2>\n<p>What share of the box from nothing to twice the first "
                "candidate's objectives is dominated",
                f);
    (void)fprintf(f, ": <span class=\"found\">the search</span> %.4f",
                  r->found->all[r->found->count - 1].volume / box_of(r->found));
    if (has_control)
        (void)fprintf(
            f, ", <span class=\"control\">candidates drawn at random</span> %.4f after %d",
            r->control->all[r->control->count - 1].volume / box_of(r->control), r->control->count);
    (void)fputs(has_control ? ". One run of each shows how they went, not which is better.</p>\n"
                            : ". No control was run (<code>--random</code>).</p>\n",
                f);
    put_axes(f, &x, &y, "evaluations", "share dominated");
    put_line(f, r->found, &x, &y, "found");
    if (has_control) put_line(f, r->control, &x, &y, "control");
    (void)fputs("</svg>\n", f);
}

/* ---- Stacks ---- */

static void put_strip(FILE *f, const search_history *h, int index, int row) {
    enum { BOX = 52, STEP = 56, ROW = 40, LABEL = 60 };
    const search_space *s = &h->plan->space;
    const search_candidate *c = &h->all[index].candidate;
    const int y = row * ROW;
    (void)fprintf(f, "<text x=\"0\" y=\"%d\">%d</text>\n", y + 18, index);
    for (int i = 0; i < c->genome.count; i++) {
        const search_block b = search_block_of(&c->genome.genes[i]);
        const int x = LABEL + i * STEP;
        char word[16];
        block_word(s, &b, word);
        (void)fprintf(f,
                      "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"24\" fill=\"%s\"/>"
                      "<text class=\"on\" x=\"%d\" y=\"%d\">%s</text>\n",
                      x, y, BOX, colours[b.op], x + BOX / 2, y + 16, word);
        if (b.share != SEARCH_SHARE_FF) /* its feed-forward part, up to 5 d */
            (void)fprintf(f, "<rect class=\"ff\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"5\"/>\n",
                          x, y + 26,
                          fmin(1, search_ff_width(s, b.quarters, c->factor) / (10.0 * s->d)) * BOX);
    }
}

/* The front's members, the best in the first objective first. */
static int by_first(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static bool put_stacks(FILE *f, const search_history *h) {
    double(*order)[2] = malloc((size_t)(h->front_count + 1) * sizeof *order);
    if (order == NULL) return false;
    for (int i = 0; i < h->front_count; i++) {
        order[i][0] = search_history_point(h, h->front[i]).value[0];
        order[i][1] = h->front[i];
    }
    qsort(order, (size_t)h->front_count, sizeof *order, by_first);
    (void)fputs("<h2>Stacks of the front</h2>\n<p>From the first block to the last; below each the "
                "width of its feed-forward part. <code>c</code> convolution of so many taps, "
                "<code>a</code> attention with so many key heads, <code>w</code> over a window, "
                "<code>l</code> and <code>r</code> linear attention (sum, decay) of so many heads, "
                "<code>s</code> state space; <code>=f</code>, <code>=k</code>: feed-forward part, "
                "keys and values of a block above.</p>\n",
                f);
    (void)fprintf(f, "<svg class=\"strips\" viewBox=\"0 0 %d %d\" role=\"img\">\n",
                  60 + 56 * h->plan->space.blocks, 40 * h->front_count + 4);
    for (int i = 0; i < h->front_count; i++) put_strip(f, h, (int)order[i][1], i);
    (void)fputs("</svg>\n", f);
    free(order);
    return true;
}

/* ---- The table ---- */

static void put_row(FILE *f, const search_history *h, int i) {
    const search_metrics *m = h->plan->metrics;
    const search_evaluation *e = &h->all[i];
    const json *spread = json_get(json_get(e->line, "measured"), "spread");
    char words[SEARCH_WORDS_CAP];
    search_words(&h->plan->space, &e->candidate.genome, words);
    (void)fprintf(f, "<tr%s><td>%d</td><td>%d</td><td class=\"stack\">%s</td><td>%.1f</td>",
                  search_history_is_on_front(h, i) ? " class=\"front\"" : "", i, e->generation,
                  words, (double)e->candidate.params / 1e6);
    for (int k = 0; k < m->count; k++) {
        double around;
        (void)fprintf(f, "<td>%.5g", e->values[k]);
        if (json_number(json_get(spread, m->row[k].name), &around))
            (void)fprintf(f, " ± %.2g", around);
        (void)fputs("</td>", f);
    }
    (void)fprintf(f, "<td class=\"stack\">%s</td></tr>\n", e->candidate.key);
}

static void put_table(FILE *f, const search_history *h, const char *title) {
    const search_metrics *m = h->plan->metrics;
    (void)fprintf(f,
                  "<h2>%s</h2>\n<table>\n<tr><th>n</th><th>generation</th><th>stack</th>"
                  "<th>parameters, millions</th>",
                  title);
    for (int k = 0; k < m->count; k++)
        (void)fprintf(f, "<th>%s%s%s</th>", m->row[k].name, m->row[k].unit[0] != '\0' ? ", " : "",
                      m->row[k].unit);
    (void)fputs("<th>key</th></tr>\n", f);
    for (int i = 0; i < h->count; i++) put_row(f, h, i);
    (void)fputs("</table>\n", f);
}

/* ---- The page ---- */

static const char head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>runnel search</title>\n"
    "<style>\nbody { font: 15px sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }\n"
    "svg { width: 100%; max-width: 48em; } svg text { font-size: 12px; }\n"
    ".plot { fill: none; stroke: #888; } .past { fill: #bbb; fill-opacity: 0.5; }\n"
    "polyline { fill: none; stroke-width: 2; } polyline.found { stroke: #4a90d9; }\n"
    "polyline.control { stroke: #999; stroke-dasharray: 5 3; }\n"
    "span.found { color: #4a90d9; } span.control { color: #777; }\n"
    ".strips .on { fill: #fff; text-anchor: middle; } .ff { fill: #666; }\n"
    "table { border-collapse: collapse; font-size: 13px; } th, td { padding: 2px 8px; }\n"
    "td { text-align: right; border-top: 1px solid #ddd; } th { text-align: right; }\n"
    "td.stack { text-align: left; white-space: nowrap; } tr.front { font-weight: bold; }\n"
    "</style>\n<h1>runnel search</h1>\n";

/* Texts that are not ours. */
static void put_escaped(FILE *f, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '<')
            (void)fputs("&lt;", f);
        else if (*text == '&')
            (void)fputs("&amp;", f);
        else
            (void)fputc(*text, f);
    }
}

bool search_report_write(FILE *f, const void *context) {
    const search_report *r = context;
    const search_history *h = r->found;
    char *plan = search_plan_text(h->plan);
    if (plan == NULL) return false;
    (void)fputs(head, f);
    (void)fprintf(f, "<p>%d candidates on the device <code>", h->count);
    put_escaped(f, h->plan->device);
    (void)fprintf(f, "</code>, %d generations, seed %llu.</p>\n", h->generation_count,
                  (unsigned long long)h->plan->seed);
    put_front(f, h);
    put_noise(f, h);
    put_volumes(f, r);
    const bool good = put_stacks(f, h);
    put_table(f, h, "All candidates");
    if (r->control->count > 0) put_table(f, r->control, "The control");
    if (r->given->count > 0) put_table(f, r->given, "Given");
    (void)fputs("<h2>space.json</h2>\n<pre>", f);
    put_escaped(f, plan);
    (void)fputs("</pre>\n</html>\n", f);
    free(plan);
    return good && !ferror(f);
}
