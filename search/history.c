/* What was measured so far. */
#include "search/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void search_history_begin(search_history *h, const search_plan *plan) {
    *h = (search_history){.plan = plan};
}

void search_history_free(search_history *h) {
    for (int i = 0; i < h->count; i++) json_destroy(&h->all[i].line);
    free(h->all);
    free(h->front);
    hash_table_free(&h->keys);
    *h = (search_history){0};
}

/* first: values of the first candidate. */
static search_point point_of(const search_plan *p, const double *values, const double *first) {
    search_point point = {.excess = 0};
    for (int m = 0; m < p->objective_count; m++) {
        const int metric = p->objectives[m];
        point.value[m] = p->metrics->row[metric].rises ? 1 - values[metric] : values[metric];
    }
    for (int i = 0; i < p->limit_count; i++) {
        const search_limit *l = &p->limits[i];
        const double bound = l->times_first ? l->bound * first[l->metric] : l->bound;
        const double value = values[l->metric];
        const double over = p->metrics->row[l->metric].rises ? bound - value : value - bound;
        if (over > 0) point.excess += over / fabs(bound > 0 ? bound : 1);
    }
    return point;
}

bool search_history_is_on_front(const search_history *h, int index) {
    for (int i = 0; i < h->front_count; i++)
        if (h->front[i] == index) return true;
    return false;
}

search_point search_history_point(const search_history *h, int index) {
    return point_of(h->plan, h->all[index].values, h->all[0].values);
}

void search_history_reference(const search_history *h, double reference[SEARCH_OBJECTIVE_CAP]) {
    const search_point first = search_history_point(h, 0);
    for (int m = 0; m < SEARCH_OBJECTIVE_CAP; m++)
        reference[m] = first.value[m] > 0 ? 2 * first.value[m] : 1;
}

/* ---- Growing ---- */

static bool same_key(const void *things, size_t index, const void *key) {
    const search_evaluation *all = things;
    return strcmp(all[index].candidate.key, key) == 0;
}

static uint64_t hash_of(const char *key) {
    return hash_bytes(HASH_START, key, strlen(key));
}

int search_history_find(const search_history *h, const char *key) {
    const size_t at = hash_table_find(&h->keys, hash_of(key), same_key, h->all, key);
    return at == HASH_NONE ? -1 : (int)at;
}

search_evaluation *search_history_room(search_history *h) {
    if (h->count == h->cap) {
        const int cap = 2 * h->cap + 64;
        search_evaluation *all = realloc(h->all, (size_t)cap * sizeof *all);
        if (all != NULL) h->all = all;
        int *front = all != NULL ? realloc(h->front, (size_t)cap * sizeof *front) : NULL;
        if (front == NULL) return NULL;
        h->front = front;
        h->cap = cap;
    }
    h->all[h->count] = (search_evaluation){0};
    return &h->all[h->count];
}

bool search_history_would_join(const search_history *h, const double *values) {
    const search_point own = point_of(h->plan, values, h->count > 0 ? h->all[0].values : values);
    if (own.excess > 0) return false;
    for (int i = 0; i < h->front_count; i++) {
        const search_point other = search_history_point(h, h->front[i]);
        if (search_dominates(&other, &own, h->plan->objective_count)) return false;
    }
    return true;
}

/* Whether the front is another one with the newest evaluation. */
static bool take_into_front(search_history *h, int index) {
    const int count = h->plan->objective_count;
    const search_point own = search_history_point(h, index);
    int kept = 0;
    if (!search_history_would_join(h, h->all[index].values)) return false;
    for (int i = 0; i < h->front_count; i++) {
        const search_point other = search_history_point(h, h->front[i]);
        if (!search_dominates(&own, &other, count)) h->front[kept++] = h->front[i];
    }
    h->front[kept] = index;
    h->front_count = kept + 1;
    return true;
}

bool search_history_add(search_history *h) {
    const int index = h->count;
    search_evaluation *own = &h->all[index];
    double reference[SEARCH_OBJECTIVE_CAP];
    if (!hash_table_add(&h->keys, hash_of(own->candidate.key), (size_t)index)) return false;
    h->count++;
    own->volume = index > 0 ? h->all[index - 1].volume : 0;
    if (!take_into_front(h, index)) return true;
    search_point *points = malloc((size_t)h->front_count * sizeof *points);
    if (points == NULL) return false;
    for (int i = 0; i < h->front_count; i++) points[i] = search_history_point(h, h->front[i]);
    search_history_reference(h, reference);
    const bool good = search_hypervolume(points, h->front_count, h->plan->objective_count,
                                         reference, &own->volume);
    free(points);
    return good;
}
