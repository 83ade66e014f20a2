#include "search/evolve.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/status.h"
#include "search/history.h"

typedef struct member {
    search_genome genome; /* repaired; skips and unused indices are still there */
    int index;            /* of its evaluation */
} member;

typedef struct breeding {
    const search_run *run;
    const search_plan *plan;
    search_history *h;
    random_state random;
    member *all; /* [2 * population] those that live, and their children behind them */
    int count, alive;
    search_candidate *coming; /* [coming_count] to be measured, then behind the history's last */
    int coming_count;
    search_point *points; /* [2 * population] */
    search_place *places;
    bool full; /* with them there are as many evaluations as the plan says */
} breeding;

static rnl_status no_memory(rnl_error *error) {
    return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
}

/* ---- An evaluation ---- */

/* A number that the line must have, the same double. */
static bool line_has(const json *line, const char *name, double want) {
    double got;
    return json_number(json_get(line, name), &got) && got == want;
}

/* What the log says of the evaluation. */
static rnl_status recall(const breeding *b, search_evaluation *e, rnl_error *error) {
    const search_log *l = b->run->log;
    const char *key = json_chars(json_get(e->line, "genome"), NULL);
    if (key == NULL || strcmp(key, e->candidate.key) != 0 || !line_has(e->line, "n", b->h->count) ||
        !line_has(e->line, "generation", e->generation) ||
        !line_has(e->line, "ff_scale", e->candidate.factor) ||
        !line_has(e->line, "params", (double)e->candidate.params))
        return search_log_refuse(l, "is not the evaluation that comes next", error);
    for (int m = 0; m < b->plan->metrics->count; m++)
        if (!json_number(json_get(e->line, b->plan->metrics->row[m].name), &e->values[m]))
            return search_log_refuse(l, "lacks a number that was measured", error);
    return RNL_OK;
}

static json_draft *draft_of(const breeding *b, const search_evaluation *e, json_draft *measured,
                            double seconds) {
    const search_candidate *c = &e->candidate;
    const search_metrics *m = b->plan->metrics;
    json_draft *line = json_new_object();
    json_set(line, "n", json_new_int(b->h->count));
    json_set(line, "generation", json_new_int(e->generation));
    json_set(line, "genome", json_new_string(c->key, strlen(c->key)));
    json_set(line, "ff_scale", json_new_number(c->factor));
    json_set(line, "params", json_new_int(c->params));
    for (int i = 0; i < m->count; i++)
        json_set(line, m->row[i].name, json_new_number(e->values[i]));
    if (measured != NULL) json_set(line, "measured", measured);
    json_set(line, "seconds", json_new_number(seconds));
    return line;
}

/* Candidate i of those that come. */
static rnl_status measure(const breeding *b, int i, search_evaluation *e, rnl_error *error) {
    const search_run *run = b->run;
    if (run->goes_on != NULL && !run->goes_on(run->context, b->h))
        return status_fail(error, RNL_ERR_STATE, "stopped behind %d evaluations", b->h->count);
    const double begun = clock_seconds();
    json_draft *measured = NULL;
    rnl_status status = run->device->measure(run->device->context, b->h, &b->coming[i],
                                             b->coming_count - i, e->values, &measured, error);
    for (int m = 0; status == RNL_OK && m < b->plan->metrics->count; m++)
        if (!isfinite(e->values[m]))
            status = status_fail(error, RNL_ERR_DATA, "%.60s: %s is no number", e->candidate.key,
                                 b->plan->metrics->row[m].name);
    if (status != RNL_OK || run->log == NULL) {
        json_drop(&measured);
        return status;
    }
    json_draft *line = draft_of(b, e, measured, clock_seconds() - begun);
    return search_log_append(run->log, line, error);
}

static rnl_status add(breeding *b, int i, int generation, rnl_error *error) {
    search_evaluation *e = search_history_room(b->h);
    rnl_status status = RNL_OK;
    if (e == NULL) return no_memory(error);
    e->candidate = b->coming[i];
    e->generation = generation;
    if (b->run->log != NULL) status = search_log_next(b->run->log, &e->line, error);
    if (status == RNL_OK) status = e->line != NULL ? recall(b, e, error) : measure(b, i, e, error);
    if (status == RNL_OK && !search_history_add(b->h)) status = no_memory(error);
    if (status != RNL_OK) {
        if (b->h->count == (int)(e - b->h->all)) json_destroy(&e->line);
        return status;
    }
    if (b->run->evaluated != NULL) b->run->evaluated(b->run->context, b->h);
    return RNL_OK;
}

/* Has all that come measured. What is drawn does not depend on it, so that a device can be told of
 * a whole generation at once. */
static rnl_status add_coming(breeding *b, int generation, rnl_error *error) {
    rnl_status status = RNL_OK;
    for (int i = 0; i < b->coming_count && status == RNL_OK; i++)
        status = add(b, i, generation, error);
    b->coming_count = 0;
    return status;
}

static int find(const breeding *b, const char *key) {
    for (int i = 0; i < b->coming_count; i++)
        if (strcmp(b->coming[i].key, key) == 0) return b->h->count + i;
    return search_history_find(b->h, key);
}

/* Mends the genome and sees to it that it comes, if it is not known. Returns its index, now or
 * then; -1: it cannot be mended, or there are enough. */
static int enlist(breeding *b, search_genome *g) {
    search_candidate *c = &b->coming[b->coming_count];
    if (!search_repair(&b->plan->space, g, &c->factor)) return -1;
    search_canonical(g, &c->genome);
    search_key(&c->genome, c->key);
    const int index = find(b, c->key);
    if (index >= 0) return index;
    b->full = b->h->count + b->coming_count == b->plan->evaluations;
    if (b->full) return -1;
    c->params = search_params(&b->plan->space, g, c->factor);
    return b->h->count + b->coming_count++;
}

/* The same, and takes it in when it is not among them. */
static void invite(breeding *b, search_genome *g) {
    const int index = enlist(b, g);
    for (int i = 0; i < b->count; i++)
        if (b->all[i].index == index) return;
    if (index >= 0) b->all[b->count++] = (member){.genome = *g, .index = index};
}

/* ---- Generations ---- */

static rnl_status rank_all(breeding *b, rnl_error *error) {
    for (int i = 0; i < b->count; i++) b->points[i] = search_history_point(b->h, b->all[i].index);
    if (search_rank(b->points, b->count, b->plan->objective_count, b->places)) return RNL_OK;
    return no_memory(error);
}

static rnl_status populate(breeding *b, rnl_error *error) {
    enum { TRIES = 1000 };
    search_genome g;
    for (int i = 0; i < SEARCH_SEED_COUNT && b->count < b->plan->population; i++) {
        search_seed_genome(&b->plan->space, i, &g);
        invite(b, &g);
    }
    for (int tries = 0; !b->full && tries < TRIES && b->count < b->plan->population; tries++) {
        search_random_genome(&b->random, &b->plan->space, &g);
        invite(b, &g);
    }
    b->alive = b->count;
    return add_coming(b, 0, error);
}

static const search_genome *pick(breeding *b) {
    int best = search_below(&b->random, b->alive);
    for (int k = 1; k < b->plan->tournament; k++) {
        const int other = search_below(&b->random, b->alive);
        if (search_better(&b->places[other], &b->places[best])) best = other;
    }
    return &b->all[best].genome;
}

static rnl_status have_children(breeding *b, int generation, rnl_error *error) {
    enum { TRIES_EACH = 50 };
    const int population = b->plan->population;
    const rnl_status status = rank_all(b, error);
    if (status != RNL_OK) return status;
    for (int tries = 0; !b->full && tries < TRIES_EACH * population; tries++) {
        search_genome child;
        if (b->count - b->alive == population) break;
        const search_genome *first = pick(b), *second = pick(b);
        search_cross(&b->random, first, second, &child);
        search_mutate(&b->random, &child, b->plan->mutation);
        invite(b, &child);
    }
    return add_coming(b, generation, error);
}

typedef struct claim {
    search_place place;
    int index;
} claim;

static int by_claim(const void *a, const void *b) {
    const claim *x = a, *y = b;
    if (search_better(&x->place, &y->place)) return -1;
    if (search_better(&y->place, &x->place)) return 1;
    return x->index - y->index;
}

/* The best of parents and children. */
static rnl_status select_survivors(breeding *b, rnl_error *error) {
    const size_t count = (size_t)b->count;
    rnl_status status = rank_all(b, error);
    if (status != RNL_OK) return status;
    claim *claims = malloc((count + 1) * sizeof *claims);
    member *kept = malloc((count + 1) * sizeof *kept);
    if (claims != NULL && kept != NULL) {
        for (int i = 0; i < b->count; i++) claims[i] = (claim){b->places[i], i};
        qsort(claims, count, sizeof *claims, by_claim);
        if (b->count > b->plan->population) b->count = b->plan->population;
        for (int i = 0; i < b->count; i++) kept[i] = b->all[claims[i].index];
        memcpy(b->all, kept, (size_t)b->count * sizeof *kept);
        b->alive = b->count;
    } else {
        status = no_memory(error);
    }
    free(claims);
    free(kept);
    return status;
}

/* ---- A generation's line ---- */

static const char *key_at(const breeding *b, int i) {
    return b->h->all[b->all[i].index].candidate.key;
}

static rnl_status recall_generation(const breeding *b, const json *line, int generation,
                                    rnl_error *error) {
    const json *population = json_get(line, "population");
    bool same = line_has(line, "generation_end", generation) &&
                line_has(line, "evaluated", b->h->count) && json_is_array(population) &&
                json_count(population) == (size_t)b->alive;
    for (int i = 0; same && i < b->alive; i++) {
        const char *key = json_chars(json_at(population, (size_t)i), NULL);
        same = key != NULL && strcmp(key, key_at(b, i)) == 0;
    }
    if (same) return RNL_OK;
    return search_log_refuse(b->run->log, "is not the generation that ends there", error);
}

static rnl_status append_generation(const breeding *b, int generation, rnl_error *error) {
    json_draft *line = json_new_object(), *population = json_new_array();
    json_draft *front = json_new_array(), *state = json_new_array();
    for (int i = 0; i < b->alive; i++) {
        const char *key = key_at(b, i);
        json_append(population, json_new_string(key, strlen(key)));
        if (b->places[i].front == 0) json_append(front, json_new_string(key, strlen(key)));
    }
    for (int i = 0; i < 4; i++) {
        char text[24];
        const int size = snprintf(text, sizeof text, "%" PRIu64, b->random.s[i]);
        json_append(state, json_new_string(text, (size_t)size));
    }
    json_set(line, "generation_end", json_new_int(generation));
    json_set(line, "evaluated", json_new_int(b->h->count));
    json_set(line, "population", population);
    json_set(line, "front", front);
    json_set(line, "hypervolume", json_new_number(b->h->all[b->h->count - 1].volume));
    json_set(line, "random", state);
    return search_log_append(b->run->log, line, error);
}

static rnl_status end_generation(breeding *b, int generation, rnl_error *error) {
    json *line = NULL;
    rnl_status status = rank_all(b, error);
    b->h->generation_count = generation;
    if (status != RNL_OK || b->run->log == NULL) return status;
    status = search_log_next(b->run->log, &line, error);
    if (status != RNL_OK) return status;
    status = line != NULL ? recall_generation(b, line, generation, error)
                          : append_generation(b, generation, error);
    json_destroy(&line);
    return status;
}

/* ---- The whole ---- */

static rnl_status begin(breeding *b, const search_run *run, search_history *h, rnl_error *error) {
    const size_t room = 2 * (size_t)run->plan->population;
    *b = (breeding){.run = run, .plan = run->plan, .h = h};
    random_seed(&b->random, run->plan->seed);
    b->all = malloc(room * sizeof *b->all);
    b->points = malloc(room * sizeof *b->points);
    b->places = malloc(room * sizeof *b->places);
    b->coming = malloc((room + 1) * sizeof *b->coming); /* one more to look at */
    if (b->all != NULL && b->points != NULL && b->places != NULL && b->coming != NULL)
        return RNL_OK;
    return no_memory(error);
}

static void end(breeding *b) {
    free(b->all);
    free(b->points);
    free(b->places);
    free(b->coming);
}

/* Nothing may stand in the log behind the end. */
static rnl_status end_log(const search_run *run, rnl_error *error) {
    json *line = NULL;
    if (run->log == NULL) return RNL_OK;
    const rnl_status status = search_log_next(run->log, &line, error);
    if (status != RNL_OK || line == NULL) return status;
    json_destroy(&line);
    return search_log_refuse(run->log, "stands behind the end of this search", error);
}

static rnl_status none_fits(const search_plan *p, rnl_error *error) {
    return status_fail(error, RNL_ERR_ARGUMENT,
                       "no candidate of %d blocks has %lld parameters: other d, blocks or params",
                       p->space.blocks, (long long)p->space.params);
}

rnl_status search_evolve(const search_run *run, search_history *h, rnl_error *error) {
    breeding b;
    const search_plan *p = run->plan;
    rnl_status status = begin(&b, run, h, error);
    if (status == RNL_OK) status = populate(&b, error);
    if (status == RNL_OK && b.alive == 0) status = none_fits(p, error);
    for (int g = 1; status == RNL_OK && g <= p->generations; g++) {
        if (h->count == p->evaluations) break;
        status = have_children(&b, g, error);
        if (status == RNL_OK) status = select_survivors(&b, error);
        if (status == RNL_OK) status = end_generation(&b, g, error);
    }
    if (status == RNL_OK) status = end_log(run, error);
    end(&b);
    return status;
}

rnl_status search_at_random(const search_run *run, search_history *h, rnl_error *error) {
    enum { TRIES_EACH = 1000 };
    breeding b;
    search_genome g;
    const search_plan *p = run->plan;
    rnl_status status = begin(&b, run, h, error);
    if (status == RNL_OK) {
        search_seed_genome(&p->space, 0, &g);
        (void)enlist(&b, &g);
    }
    for (int tries = 0; status == RNL_OK && !b.full && tries < TRIES_EACH * p->evaluations;
         tries++) {
        search_random_genome(&b.random, &p->space, &g);
        (void)enlist(&b, &g);
        if (b.coming_count == p->population) status = add_coming(&b, 0, error);
    }
    if (status == RNL_OK) status = add_coming(&b, 0, error);
    if (status == RNL_OK && h->count == 0) status = none_fits(p, error);
    if (status == RNL_OK) status = end_log(run, error);
    end(&b);
    return status;
}

static rnl_status add_given(breeding *b, const char *key, rnl_error *error) {
    search_genome g;
    const bool is_key = search_key_read(key, &g) && g.count <= b->plan->space.blocks;
    if (!is_key || enlist(b, &g) < 0)
        return status_fail(error, RNL_ERR_ARGUMENT,
                           "'%.200s' is no candidate of this search; a key is like 10020-21020, "
                           "of at most %d blocks, and meets the budget of parameters",
                           key, b->plan->space.blocks);
    return RNL_OK;
}

/* Those that the log has, whatever they are. */
static rnl_status add_recorded(breeding *b, rnl_error *error) {
    search_log *log = b->run->log;
    rnl_status status = RNL_OK;
    while (log != NULL && log->at < log->size && status == RNL_OK) {
        const search_log here = *log;
        json *line = NULL;
        status = search_log_next(log, &line, error);
        const char *key = json_chars(json_get(line, "genome"), NULL);
        if (status == RNL_OK && (key == NULL || add_given(b, key, NULL) != RNL_OK))
            status = search_log_refuse(log, "is no candidate of this search", error);
        json_destroy(&line);
        if (status != RNL_OK) return status;
        log->at = here.at; /* to be read as any other */
        log->line = here.line;
        if (b->coming_count == 0) return search_log_refuse(log, "stands there twice", error);
        status = add_coming(b, 0, error);
    }
    return status;
}

rnl_status search_given(const search_run *run, search_history *h, rnl_error *error) {
    breeding b;
    search_plan any = *run->plan; /* however many */
    any.evaluations = SEARCH_EVALUATION_MAX;
    rnl_status status = begin(&b, run, h, error);
    b.plan = &any;
    if (status == RNL_OK) status = add_recorded(&b, error);
    for (int i = 0; i < run->key_count && status == RNL_OK; i++) {
        status = add_given(&b, run->keys[i], error);
        if (status == RNL_OK && b.coming_count == run->plan->population)
            status = add_coming(&b, 0, error);
    }
    if (status == RNL_OK) status = add_coming(&b, 0, error);
    end(&b);
    return status;
}
