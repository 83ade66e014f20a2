/* How long passes of a batch take on this machine, measured when a server starts. */
#ifndef SERVE_PASS_TIMES_H
#define SERVE_PASS_TIMES_H

#include <runnel/runnel_batch.h>

/* Lets 1, 2, 4, ... sessions of the batch speak, for at most `seconds` together, and tells the
 * batch (rnl_batch_set_times). The batch has no session else. What cannot be measured stays
 * unknown. */
void pass_times_measure(rnl_batch *batch, const rnl_model *model, int decision_cap, double seconds);

#endif
