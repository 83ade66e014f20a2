/* Which of many points with several objectives are better: domination, fronts, crowding and the
 * volume that is dominated. All objectives are minimised. learn.md 6.7. */
#ifndef SEARCH_PARETO_H
#define SEARCH_PARETO_H

#include <stdbool.h>

enum { SEARCH_OBJECTIVE_CAP = 6 };

typedef struct search_point {
    double value[SEARCH_OBJECTIVE_CAP];
    double excess; /* how far it misses hard limits in all, relative; 0: it keeps them */
} search_point;

/* Whether a is better: not worse in any of the `count` objectives and better in one. With excesses
 * the smaller one decides alone. */
bool search_dominates(const search_point *a, const search_point *b, int count);

typedef struct search_place {
    int front;       /* 0: nothing dominates it; 1: nothing that is in no front before; ... */
    double crowding; /* how far its neighbours in the front are; INFINITY at the ends */
} search_place;

/* Places [point_count] of all points among each other. False: memory is exhausted. */
bool search_rank(const search_point *points, int point_count, int count, search_place *out);
/* A better front, or the same and more room. */
bool search_better(const search_place *a, const search_place *b);

/* The volume between the points and `reference` [count], exact; points that are not below it in
 * every objective do not count. False: memory is exhausted. */
bool search_hypervolume(const search_point *points, int point_count, int count,
                        const double *reference, double *out);

#endif
