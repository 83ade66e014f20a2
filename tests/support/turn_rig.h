/* The network for ends of turns with memory, threads and a compute of its own. */
#ifndef TESTS_SUPPORT_TURN_RIG_H
#define TESTS_SUPPORT_TURN_RIG_H

#include "vad/turn_network.h"

typedef struct turn_rig {
    turn_network *n;
    turn_look s;
    kernels k;
    compute c;
    void *memory[2];
} turn_rig;

/* Skips the running test where the network is not built. k: NULL for the best kernels. Fills r,
 * which must stay where it is. */
void turn_rig_open(turn_rig *r, const kernels *k, bool exact, int thread_count);
void turn_rig_close(turn_rig *r);
/* The probability of the clip as it stands. */
float turn_rig_look(turn_rig *r);
/* The same of samples [count] as a clip of their own. */
float turn_rig_hear(turn_rig *r, const float *samples, size_t count);

#endif
