/* What a person sees of a conversation. On a terminal one line is drawn anew ten times a second:
 * meters, state, the turn's length, the text as it is spoken; above it stand the turns. Elsewhere
 * each turn is a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/messages.h"
#include "apps/talk.h"
#include "core/clock.h"

enum { METER = 8, WIDTH = 78 };

void view_begin(talk_view *v, const options *o) {
    *v = (talk_view){.options = o,
                     .drawing = !o->quiet && isatty(STDERR_FILENO) != 0,
                     .colour = colour_allowed(STDERR_FILENO),
                     .latency_ms = -1};
}

/* -60 dB: nothing; 0 dB: full. */
static void draw_meter(char *to, float db) {
    const int filled = (int)((double)(db + 60.0f) / 60.0 * METER + 0.5);
    for (int i = 0; i < METER; i++) to[i] = i < filled ? '#' : '.';
    to[METER] = '\0';
}

static const char *state_name(const rnl_live_facts *facts, bool key_down) {
    if (key_down && facts->state == RNL_LIVE_LISTENING) return "key down";
    return rnl_live_kind_name(facts->state);
}

/* Where the last room bytes of a text begin, at a character. */
static const char *tail(const char *text, size_t size, size_t room) {
    size_t at = size > room ? size - room : 0;
    while (at < size && ((unsigned char)text[at] & 0xC0) == 0x80) at++;
    return text + at;
}

void view_state(talk_view *v, const rnl_live_facts *facts, bool key_down, const char *heard,
                size_t heard_size) {
    const double now = clock_seconds();
    if (!v->drawing || (v->drawn && now - v->last < 0.1)) return;
    v->last = now;
    v->drawn = true;
    char mic[METER + 1], speaker[METER + 1], more[64] = "";
    draw_meter(mic, facts->mic_db);
    draw_meter(speaker, facts->speaker_db);
    if (facts->turn_seconds > 0)
        (void)snprintf(more, sizeof more, " %.1f s", facts->turn_seconds);
    else if (facts->state == RNL_LIVE_LISTENING && v->latency_ms >= 0)
        (void)snprintf(more, sizeof more, " (last answer after %.0f ms)", v->latency_ms);
    const bool speaking = facts->state == RNL_LIVE_SPEAKING;
    const char *text = speaking ? tail(heard, heard_size, 40) : "";
    (void)fprintf(stderr, "\r\033[Kmic [%s] out [%s] %s%s%s%s ", mic, speaker,
                  v->colour ? "\033[1m" : "", state_name(facts, key_down),
                  v->colour ? "\033[0m" : "", more);
    if (speaking) put_spoken(stderr, text, (size_t)(heard + heard_size - text));
    (void)fflush(stderr);
}

void view_clear(talk_view *v) {
    if (!v->drawn) return;
    (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    v->drawn = false;
}

void view_user(talk_view *v, const char *text, size_t size) {
    view_clear(v);
    printf("you: ");
    put_spoken(stdout, text, size);
    (void)putchar('\n');
    (void)fflush(stdout);
}

static double between_ms(const rnl_live_turn *t, int from, int to) {
    return (double)(t->mark_us[to] - t->mark_us[from]) / 1e3;
}

void view_turn(talk_view *v, const rnl_live_turn *t, const char *heard, size_t heard_size) {
    view_clear(v);
    put_spoken(stdout, heard, heard_size);
    (void)puts(t->barged_in ? " -" : "");
    (void)fflush(stdout);
    const bool sounded = t->mark_us[RNL_LIVE_T11] >= 0 && t->mark_us[RNL_LIVE_T0] >= 0;
    if (sounded) v->latency_ms = between_ms(t, RNL_LIVE_T0, RNL_LIVE_T11);
    if (v->options->quiet) return;
    (void)fprintf(stderr, "turn %d: you %.1f s", t->index,
                  (double)(t->clip_end - t->clip_begin) / RNL_RATE_IN);
    if (v->options->verbose) (void)fprintf(stderr, ", end %s", rnl_live_end_rule_name(t->end_rule));
    if (v->options->verbose && t->end_probability >= 0)
        (void)fprintf(stderr, " (p %.2f)", t->end_probability);
    if (sounded)
        (void)fprintf(stderr, ", answer after %.0f ms (compute %+.0f ms)", v->latency_ms,
                      between_ms(t, RNL_LIVE_T3, RNL_LIVE_T8));
    if (t->barged_in)
        (void)fprintf(stderr, ", interrupted after %.1f s", (double)t->played_count / RNL_RATE_OUT);
    if (t->underrun_count > 0) (void)fprintf(stderr, ", sound ran out %d times", t->underrun_count);
    if (t->finish != RNL_FINISH_END && t->finish != RNL_FINISH_STOPPED)
        (void)fprintf(stderr, ", cut off: %s reached", rnl_finish_name(t->finish));
    (void)fputc('\n', stderr);
}

void view_say(talk_view *v, const char *sentence) {
    view_clear(v);
    if (!v->options->quiet) (void)fprintf(stderr, "runnel: %s\n", sentence);
}
