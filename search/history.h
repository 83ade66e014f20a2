/* Inner half of evolve.h: how a history grows. */
#ifndef SEARCH_HISTORY_H
#define SEARCH_HISTORY_H

#include "search/evolve.h"

/* Index of a key, or -1. */
int search_history_find(const search_history *h, const char *key);
/* Room behind the last, zeroed, to be filled and then added; NULL: no memory. */
search_evaluation *search_history_room(search_history *h);
/* Counts it in, with its volume. False: memory is exhausted. */
bool search_history_add(search_history *h);

#endif
