#include "apps/speaking.h"

#include <stddef.h>

enum { FRAMES = 12, TOKENS = 6 };
static const double TURN_MS = 960, LOAD_MOST = 0.80;

static double turn_of(const speaking_times *t) {
    return FRAMES * t->frame_ms + TOKENS * t->text_ms;
}

static double turn_at(const speaking_times *times, int count, int rows) {
    const speaking_times *below = NULL, *above = NULL;
    for (int i = 0; i < count; i++) {
        const speaking_times *t = &times[i];
        if (t->rows <= rows && (below == NULL || t->rows > below->rows)) below = t;
        if (t->rows >= rows && (above == NULL || t->rows < above->rows)) above = t;
    }
    if (below == NULL || below->rows == rows) return turn_of(above);
    const double share = (double)(rows - below->rows) / (above->rows - below->rows);
    return turn_of(below) + share * (turn_of(above) - turn_of(below));
}

int speaking_count(const speaking_times *times, int count) {
    int largest = 0, most = 0;
    for (int i = 0; i < count; i++) largest = times[i].rows > largest ? times[i].rows : largest;
    for (int rows = 1; rows <= largest; rows++)
        if (turn_at(times, count, rows) <= LOAD_MOST * TURN_MS) most = rows;
    return most;
}
