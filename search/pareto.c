#include "search/pareto.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool search_dominates(const search_point *a, const search_point *b, int count) {
    bool less = false;
    if (a->excess > 0 || b->excess > 0) return a->excess < b->excess;
    for (int m = 0; m < count; m++) {
        if (!(a->value[m] <= b->value[m])) return false;
        less = less || a->value[m] < b->value[m];
    }
    return less;
}

bool search_better(const search_place *a, const search_place *b) {
    return a->front < b->front || (a->front == b->front && a->crowding > b->crowding);
}

/* ---- Fronts and crowding ---- */

typedef struct ranked {
    double value;
    int index;
} ranked;

static int by_value(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return x->index - y->index;
}

/* Front after front: those that nothing dominates any more, which then dominate no more. above[i]:
 * points that dominate i and are in no front yet. */
static int take_fronts(const search_point *p, int n, int count, int *above, search_place *out) {
    int front = 0;
    for (int i = 0; i < n; i++) {
        above[i] = 0;
        out[i] = (search_place){.front = -1};
        for (int j = 0; j < n; j++) above[i] += search_dominates(&p[j], &p[i], count);
    }
    for (int left = n; left > 0; front++) {
        for (int i = 0; i < n; i++)
            if (out[i].front < 0 && above[i] == 0) out[i].front = front;
        for (int i = 0; i < n; i++) {
            if (out[i].front != front) continue;
            left--;
            for (int j = 0; j < n; j++) above[j] -= search_dominates(&p[i], &p[j], count);
        }
    }
    return front;
}

static void crowd(const search_point *p, int n, int count, int front, ranked *row,
                  search_place *out) {
    for (int m = 0; m < count; m++) {
        int size = 0;
        for (int i = 0; i < n; i++)
            if (out[i].front == front) row[size++] = (ranked){p[i].value[m], i};
        qsort(row, (size_t)size, sizeof *row, by_value);
        const double low = row[0].value, high = row[size - 1].value;
        out[row[0].index].crowding = out[row[size - 1].index].crowding = INFINITY;
        if (!(high > low)) continue;
        for (int k = 1; k + 1 < size; k++)
            out[row[k].index].crowding += (row[k + 1].value - row[k - 1].value) / (high - low);
    }
}

bool search_rank(const search_point *points, int point_count, int count, search_place *out) {
    const size_t n = point_count > 0 ? (size_t)point_count : 1;
    int *above = malloc(n * sizeof *above);
    ranked *row = malloc(n * sizeof *row);
    const bool good = above != NULL && row != NULL;
    if (good) {
        const int fronts = take_fronts(points, point_count, count, above, out);
        for (int f = 0; f < fronts; f++) crowd(points, point_count, count, f, row, out);
    }
    free(above);
    free(row);
    return good;
}

/* ---- Hypervolume ---- */

typedef struct cell {
    double at[SEARCH_OBJECTIVE_CAP];
} cell;

/* By the last of `count` objectives, then by those before it. */
static int compare(const cell *a, const cell *b, int count) {
    for (int m = count - 1; m >= 0; m--)
        if (a->at[m] != b->at[m]) return a->at[m] < b->at[m] ? -1 : 1;
    return 0;
}

/* Into its place among `size` others, unless it is there. The new size. */
static int insert(cell *list, int size, const cell *own, int count) {
    int at = size;
    while (at > 0 && compare(own, &list[at - 1], count) < 0) at--;
    if (at > 0 && compare(own, &list[at - 1], count) == 0) return size;
    memmove(list + at + 1, list + at, (size_t)(size - at) * sizeof *list);
    list[at] = *own;
    return size + 1;
}

/* Slices along the last objective, of points in order. room: [room_size] cells for each objective
 * below, one behind the other. */
static double volume(const cell *p, int size, int count, const double *reference, cell *room,
                     int room_size) {
    const int last = count - 1;
    double sum = 0, least = INFINITY;
    int below = 0;
    if (last == 0) return reference[0] - p[0].at[0];
    for (int i = 0; i < size; i++) {
        const double top = i + 1 < size ? p[i + 1].at[last] : reference[last];
        const double high = top - p[i].at[last];
        if (last == 1)
            least = fmin(least, p[i].at[0]);
        else
            below = insert(room, below, &p[i], last);
        if (!(high > 0)) continue;
        sum +=
            high * (last == 1 ? reference[0] - least
                              : volume(room, below, last, reference, room + room_size, room_size));
    }
    return sum;
}

bool search_hypervolume(const search_point *points, int point_count, int count,
                        const double *reference, double *out) {
    const size_t n = point_count > 0 ? (size_t)point_count : 1;
    cell *room = malloc(n * (size_t)count * sizeof *room);
    int size = 0;
    if (room == NULL) return false;
    for (int i = 0; i < point_count; i++) {
        cell own;
        bool inside = true;
        memcpy(own.at, points[i].value, sizeof own.at);
        for (int m = 0; m < count; m++) inside = inside && own.at[m] < reference[m];
        if (inside) size = insert(room, size, &own, count);
    }
    *out = size > 0 ? volume(room, size, count, reference, room + n, (int)n) : 0;
    free(room);
    return true;
}
