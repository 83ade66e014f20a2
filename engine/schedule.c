#include "engine/schedule.h"

#include <assert.h>
#include <limits.h>
#include <math.h>

/* Before anything is measured: a model of some hundred million weights on two cores. */
static const double text_us_guess = 20000, position_us_guess = 2000, encode_us_guess = 30;
static const double load_most = 0.80;      /* of the time may go into speech */
static const double load_beside = 1.1;     /* of that of one alone makes nobody late, */
static const double load_real = 0.95;      /* as long as speech is made in real time */
static const double load_guesses = 0.70;   /* from here on a guess is not worth its price */
static const double load_admits = 0.90;    /* from here on nobody new comes */
static const double load_memory_us = 10e6; /* over which the load is averaged */
static const double margin_us = 20000;     /* a pass may take longer than foreseen by this, */
static const double margin_frame = 0.25;   /* and by this part of a pass of frames */
static const double few_positions = 1.5;   /* what a position among few takes of one among many */
static const double held_us = 200000;      /* of sound beyond its needs stays with who waits */
static const int enough_positions = 16;
static const double ratio_max = 4;               /* more is no pass, but a machine that slept */
static const double rising = 0.5, falling = 0.1; /* caution: a pass has to end in time */
static const double averaging = 0.1;

enum { AHEAD_MOST_US = 10000000, AHEAD_LEAST_US = 1500000 };

void schedule_init(schedule *s, const schedule_config *config) {
    assert(config->decision_cap <= SCHEDULE_ROW_CAP);
    *s = (schedule){.config = *config,
                    .position_us = position_us_guess,
                    .encode_us = encode_us_guess,
                    .caution = 1,
                    .load_at_us = INT64_MIN};
}

/* ---- Times ---- */

void schedule_know(schedule *s, int rows, double text_us, double frame_us) {
    assert(rows >= 1 && rows <= s->config.decision_cap);
    s->text_us[rows] = text_us;
    s->frame_us[rows] = frame_us - text_us > 1 ? frame_us - text_us : 1; /* 0: not known */
}

/* `guess`: of one row, where nothing is known. More rows than any that are known take longer by
 * what they compute, which is what positions of a prefill take and, as few, somewhat more; they are
 * tried before they are known, so this must not be more than careful. */
static double at(const schedule *s, const double *table, int rows, double guess) {
    if (rows == 0) return 0;
    int below = rows, above = rows;
    while (below > 0 && table[below] == 0) below--;
    while (above <= s->config.decision_cap && table[above] == 0) above++;
    const bool has_above = above <= s->config.decision_cap;
    if (below == 0 && !has_above) return guess * rows;
    if (below == 0) return table[above];
    if (!has_above) {
        const double more = (rows - below) * few_positions * s->position_us;
        return fmin(table[below] * rows / below, table[below] + more);
    }
    if (above == below) return table[rows];
    return table[below] + (table[above] - table[below]) * (rows - below) / (above - below);
}

double schedule_text_us(const schedule *s, int rows) {
    return at(s, s->text_us, rows, text_us_guess);
}

static double frames_more_us(const schedule *s, int rows) {
    return at(s, s->frame_us, rows, text_us_guess);
}

double schedule_frame_us(const schedule *s, int rows) {
    return schedule_text_us(s, rows) + frames_more_us(s, rows);
}

/* On average. */
static double average_us(const schedule *s, const schedule_pass *p) {
    const int rows = p->texts + p->frames;
    double us = schedule_text_us(s, rows) + frames_more_us(s, p->frames);
    if (p->texts > 0 && p->frames > 0) us += s->both_us;
    us += s->position_us * p->positions + s->encode_us * p->encode_size;
    /* The weights are read, however few positions there are. */
    if (rows == 0 && p->positions > 0 && us < schedule_text_us(s, 1)) us = schedule_text_us(s, 1);
    return us;
}

double schedule_foresee(const schedule *s, const schedule_pass *p) {
    return s->caution * average_us(s, p);
}

/* Work beside decisions. Of positions enough to hide that weights are read a decision is one more;
 * as they are foreseen, behind each other, such a pass looks a little longer than it is. Of a pass
 * with both positions and blocks nobody knows which took how long. */
static void learn_others(schedule *s, double us) {
    const schedule_pass *p = &s->planned;
    const schedule_pass decisions = {.texts = p->texts, .frames = p->frames};
    double *of = p->positions > 0 ? &s->position_us : &s->encode_us;
    bool *known = p->positions > 0 ? &s->position_known : &s->encode_known;
    double value;
    if (p->positions > 0 && p->encode_size > 0) return;
    if (p->positions > 0) {
        const int rows = p->texts + p->frames;
        if (*known && p->positions < enough_positions) return;
        us -= average_us(s, &decisions) - schedule_text_us(s, rows);
        value = us / (p->positions + rows);
    } else {
        value = (us - average_us(s, &decisions)) / p->encode_size;
    }
    if (value < *of / ratio_max) value = *of / ratio_max;
    *of += (*known ? averaging : 1) * (value - *of);
    *known = true;
}

/* What is known of other numbers of rows follows half way: the machine may have become slower or
 * faster as a whole, and what is not tried any more must not stay as it was in a bad minute. */
static void correct(schedule *s, double *table, int at, double value, double factor, bool alone) {
    const double others = alone ? 1 : sqrt(factor);
    for (int rows = 1; rows <= s->config.decision_cap; rows++) table[rows] *= others;
    table[at] = value * factor;
}

/* A pass with both kinds corrects first what they take more together, up to a pass of one token, of
 * which that is a part that is read again. */
static void learn_decisions(schedule *s, double us) {
    const schedule_pass *p = &s->planned;
    const int rows = p->texts + p->frames;
    const double text_us = schedule_text_us(s, rows), more_us = frames_more_us(s, p->frames);
    const bool is_new = s->text_us[rows] == 0 || (p->frames > 0 && s->frame_us[p->frames] == 0);
    const double gain = is_new ? 1 : averaging;
    if (p->texts > 0 && p->frames > 0) {
        const double both_us = fmin(fmax(us - text_us - more_us, 0), schedule_text_us(s, 1));
        s->both_us += averaging * (both_us - s->both_us);
        us -= both_us;
    }
    /* Both parts were wrong alike. */
    const double factor = 1 + gain * (us / (text_us + more_us) - 1);
    correct(s, s->text_us, rows, text_us, factor, is_new);
    if (p->frames > 0) correct(s, s->frame_us, p->frames, more_us, factor, is_new);
}

void schedule_learn(schedule *s, double us) {
    const schedule_pass *p = &s->planned;
    if (p->us <= 0 || us <= 0) return;
    const double foreseen = schedule_foresee(s, p);
    if (us > ratio_max * foreseen) us = ratio_max * foreseen;
    const double wanted = foreseen + (us - foreseen) * (us > foreseen ? rising : falling);
    if (p->positions > 0 || p->encode_size > 0)
        learn_others(s, us);
    else
        learn_decisions(s, us);
    s->caution = fmax(1, wanted / average_us(s, p));
}

/* ---- Load ---- */

/* The part of the time that so many who speak take. */
static double load_of(const schedule *s, int rows) {
    const schedule_config *c = &s->config;
    const double us =
        c->audio_run * schedule_frame_us(s, rows) + c->text_run * schedule_text_us(s, rows);
    return us / (c->audio_run * c->frame_us);
}

static int most_within(const schedule *s, double load) {
    int most = 0;
    for (int rows = 1; rows <= s->config.decision_cap; rows++)
        if (load_of(s, rows) <= load) most = rows;
    return most;
}

int schedule_speaking_max(const schedule *s) {
    return most_within(s, load_most);
}

/* Those who make passes hardly longer than one alone speak beside it, in real time still: the
 * weights are read for it anyway. A machine that is too slow for one serves one. */
static int place_count(const schedule *s) {
    const double beside_one = fmin(load_beside * load_of(s, 1), load_real);
    const int most = most_within(s, fmax(load_most, beside_one));
    return most > 1 ? most : 1;
}

int64_t schedule_ahead_us(const schedule *s) {
    const double share = (s->load - 0.5) / (load_admits - 0.5);
    if (share <= 0) return AHEAD_MOST_US;
    if (share >= 1) return AHEAD_LEAST_US;
    return AHEAD_MOST_US - (int64_t)(share * (AHEAD_MOST_US - AHEAD_LEAST_US));
}

bool schedule_admits(const schedule *s, int count, double oversubscribe) {
    const int most = schedule_speaking_max(s);
    if (most == 0) return count < 1;
    return count < most * oversubscribe && s->load < load_admits;
}

static void age_load(schedule *s, const schedule_client *clients, int count, int places,
                     int64_t now_us) {
    s->placed_count = 0;
    for (int i = 0; i < count; i++) s->placed_count += clients[i].placed;
    if (s->load_at_us != INT64_MIN && now_us > s->load_at_us) {
        const double gain = 1 - exp(-(double)(now_us - s->load_at_us) / load_memory_us);
        s->load += gain * ((double)s->placed_count / places - s->load);
    }
    s->load_at_us = now_us;
}

/* ---- Whose turn it is ---- */

schedule_pace schedule_pace_of(const schedule *s) {
    const schedule_config *c = &s->config;
    const int rows = s->placed_count > 0 ? s->placed_count : 1;
    const int runs = c->audio_run + c->text_run;
    const int frames = runs > 0 ? rows * c->audio_run / runs : 0;
    const schedule_pass text = {.texts = rows - frames, .frames = frames}, frame = {.frames = rows};
    return (schedule_pace){.text_us = schedule_foresee(s, &text),
                           .frame_us = schedule_foresee(s, &frame)};
}

/* Every client's deadline: when its next piece of work has to be done at the latest. */
static void set_deadlines(const schedule *s, schedule_client *clients, int count) {
    const schedule_pace p = schedule_pace_of(s);
    for (int i = 0; i < count; i++) {
        schedule_client *c = &clients[i];
        c->granted = 0;
        c->overdue = c->held = false;
        c->deadline_us = c->due_us - (int64_t)(c->texts_before * p.text_us + p.frame_us);
    }
}

/* The earliest deadline first; of equal ones, the first. */
static void sort(const schedule_client *clients, int *order, int count) {
    for (int i = 0; i < count; i++) {
        int k = i;
        for (; k > 0 && clients[order[k - 1]].deadline_us > clients[i].deadline_us; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
}

/* When a pass of decisions, its own among them, has to be over for the sake of this one, who is
 * playing: until its next frame is made its sound lasts. */
static double limit_of(const schedule_client *c, const schedule_pace *p, int64_t now_us) {
    double behind_us = 0;
    if (c->want == SCHEDULE_TEXT) behind_us = (c->texts_before - 1) * p->text_us + p->frame_us;
    return (double)(c->due_us - now_us) - behind_us - margin_us - margin_frame * p->frame_us;
}

/* What the sound that it gains until its next run of tokens leaves to be wished for that run: work
 * for others must not eat it up. */
static double burst_of(const schedule *s, const schedule_client *c, const schedule_pace *p) {
    if (c->want != SCHEDULE_FRAME || c->frames_before == INT_MAX) return 0;
    const double gain_us = c->frames_before * (s->config.frame_us - p->frame_us);
    const double burst_us = s->config.text_run * p->text_us + p->frame_us - gain_us;
    return burst_us > 0 ? burst_us : 0;
}

typedef struct budget {
    double decisions_us; /* the pass may take as long as this for the sake of those who can be
                          * served in time at all, */
    double others_us;    /* and with what is not a decision as long as this, for all */
} budget;

static budget budget_of(const schedule *s, const schedule_client *clients, int count,
                        int64_t now_us) {
    const schedule_pass text = {.texts = 1}, frame = {.frames = 1};
    const double one_text = schedule_foresee(s, &text), one_frame = schedule_foresee(s, &frame);
    const schedule_pace p = schedule_pace_of(s);
    budget b = {.decisions_us = INFINITY, .others_us = INFINITY};
    for (int i = 0; i < count; i++) {
        const schedule_client *c = &clients[i];
        if (!c->playing || c->want == SCHEDULE_NOTHING) continue;
        const double limit = limit_of(c, &p, now_us);
        if (limit - burst_of(s, c, &p) < b.others_us) b.others_us = limit - burst_of(s, c, &p);
        if (limit >= (c->want == SCHEDULE_FRAME ? one_frame : one_text) && limit < b.decisions_us)
            b.decisions_us = limit;
    }
    return b;
}

/* May work for this one be done now? A place is taken by doing some. */
static bool is_ready(const schedule *s, schedule_client *c, int places, int64_t now_us) {
    if (c->want == SCHEDULE_ENCODE && c->in_encoder) return true;
    if (c->playing && c->due_us - now_us > schedule_ahead_us(s)) return false;
    if (c->guess && s->load >= load_guesses) return false;
    if (!c->reply || c->placed || s->placed_count < places) return true;
    c->overdue = now_us - c->due_us >= SCHEDULE_OVERDUE_US;
    return false;
}

/* Whether it comes to its next run of tokens soon: nearer than the other way round. */
static bool comes_soon(const schedule *s, schedule_client *c, int places, int64_t now_us) {
    return c->want == SCHEDULE_FRAME && c->placed &&
           2 * (int64_t)c->frames_before <= s->config.text_run + s->config.audio_run &&
           is_ready(s, c, places, now_us);
}

/* Who is at the beginning of a run of tokens, with sound enough, waits for those who come soon:
 * from then on they go through both kinds of passes together. */
static void hold(const schedule *s, schedule_client *clients, int count, int places,
                 int64_t now_us) {
    const schedule_pace p = schedule_pace_of(s);
    bool some = false;
    for (int i = 0; i < count; i++) some = some || comes_soon(s, &clients[i], places, now_us);
    for (int i = 0; some && i < count; i++) {
        schedule_client *c = &clients[i];
        if (c->want != SCHEDULE_TEXT || !c->playing || !c->placed) continue;
        if (c->texts_before != s->config.text_run) continue;
        /* A pass without it, and then its own. */
        c->held = limit_of(c, &p, now_us) >= p.frame_us + p.text_us + held_us;
    }
}

static void grant(schedule *s, schedule_client *c, int count) {
    if (c->reply && !c->placed) {
        c->placed = true;
        s->placed_count++;
    }
    c->granted = count;
}

/* Whether its sound does not last for a pass without it and then its own. */
static bool cannot_wait(const schedule *s, const schedule_client *c, int64_t now_us) {
    const schedule_pace p = schedule_pace_of(s);
    const double own_us = c->want == SCHEDULE_FRAME ? p.frame_us : p.text_us;
    return c->playing && limit_of(c, &p, now_us) < s->planned.us + own_us;
}

/* The decision of this one, if the pass still ends in time with it; that of the first who is
 * playing in any case, and of those who are playing and cannot wait: a row more takes little beside
 * reading the weights, so that to leave them out would make everybody late. */
static bool add_decision(schedule *s, schedule_client *c, double budget_us, int64_t now_us) {
    schedule_pass more = s->planned;
    if (more.texts + more.frames == s->config.decision_cap ||
        more.texts + more.frames == s->config.row_cap)
        return false;
    more.texts += c->want == SCHEDULE_TEXT;
    more.frames += c->want == SCHEDULE_FRAME;
    more.us = schedule_foresee(s, &more);
    const bool first = s->planned.us == 0 && c->playing;
    if (!first && more.us > budget_us && !cannot_wait(s, c, now_us)) return false;
    s->planned = more;
    grant(s, c, 1);
    return true;
}

/* Of the positions that wait so many as there is time for. */
static bool add_positions(schedule *s, schedule_client *c, double budget_us) {
    schedule_pass *p = &s->planned;
    int most = SCHEDULE_CHUNK_MAX - p->positions;
    const int room = s->config.row_cap - p->texts - p->frames - p->positions;
    if (room < most) most = room;
    const double time = (budget_us - p->us) / (s->caution * s->position_us);
    if (time < most) most = (int)time;
    const bool begins = p->positions == 0;
    const int least = room < SCHEDULE_CHUNK_MIN ? room : SCHEDULE_CHUNK_MIN;
    if (most < 1 || (begins && most < least && most < c->size)) return false;
    const int count = c->size < most ? c->size : most;
    p->positions += count;
    p->us = schedule_foresee(s, p);
    grant(s, c, count);
    return true;
}

/* Blocks of the encoder, which has one clip at a time: as many as there is time for. */
static bool add_blocks(schedule *s, schedule_client *c, double budget_us) {
    const double block_us = s->caution * s->encode_us * c->size;
    const double time = (budget_us - s->planned.us) / block_us;
    const int count = time < SCHEDULE_BLOCK_MAX ? (int)time : SCHEDULE_BLOCK_MAX;
    if (count < 1) return false;
    s->planned.encode_size = count * c->size;
    s->planned.us = schedule_foresee(s, &s->planned);
    grant(s, c, count);
    return true;
}

/* Of those who are playing, or of the others. */
static int add_decisions(schedule *s, schedule_client *clients, const int *order, int count,
                         bool playing, double budget_us, int places, int64_t now_us) {
    int granted = 0;
    for (int i = 0; i < count; i++) {
        schedule_client *c = &clients[order[i]];
        if ((c->want == SCHEDULE_TEXT || c->want == SCHEDULE_FRAME) && c->playing == playing &&
            !c->held && is_ready(s, c, places, now_us))
            granted += add_decision(s, c, budget_us, now_us);
    }
    return granted;
}

/* Whose clip is in the encoder, else the first who is ready. */
static int add_encoding(schedule *s, schedule_client *clients, const int *order, int count,
                        double budget_us, int places, int64_t now_us) {
    schedule_client *first = NULL;
    for (int i = 0; i < count; i++) {
        schedule_client *c = &clients[order[i]];
        if (c->want != SCHEDULE_ENCODE || !is_ready(s, c, places, now_us)) continue;
        if (first == NULL || c->in_encoder) first = c;
    }
    return first != NULL && add_blocks(s, first, budget_us);
}

static int add_prefills(schedule *s, schedule_client *clients, const int *order, int count,
                        double budget_us, int places, int64_t now_us) {
    int granted = 0;
    for (int i = 0; i < count; i++) {
        schedule_client *c = &clients[order[i]];
        if (c->want == SCHEDULE_PREFILL && is_ready(s, c, places, now_us))
            granted += add_positions(s, c, budget_us);
    }
    return granted;
}

int schedule_plan(schedule *s, schedule_client *clients, int *order, int count, int64_t now_us) {
    const int places = place_count(s);
    s->planned = (schedule_pass){0};
    age_load(s, clients, count, places, now_us);
    set_deadlines(s, clients, count);
    sort(clients, order, count);
    const budget b = budget_of(s, clients, count, now_us);
    hold(s, clients, count, places, now_us);
    int granted = add_decisions(s, clients, order, count, true, b.decisions_us, places, now_us);
    granted += add_decisions(s, clients, order, count, false, b.decisions_us, places, now_us);
    granted += add_prefills(s, clients, order, count, b.others_us, places, now_us);
    return granted + add_encoding(s, clients, order, count, b.others_us, places, now_us);
}
