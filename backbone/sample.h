/* From logits to one decision: greedy, or drawn. audio.md 7.3, family.md 3.4. */
#ifndef BACKBONE_SAMPLE_H
#define BACKBONE_SAMPLE_H

#include <runnel/runnel.h>

#include "core/random.h"

/* The penalty for repeating (family.md 3.4, step 1): logits of the ids that were seen, each once,
 * whatever their number in ids; ids outside [0, count) are passed over. seen: [(count + 7) / 8]
 * scratch. */
void sample_penalise(float *logits, int count, const int32_t *ids, size_t id_count, float penalty,
                     unsigned char *seen);

/* The probabilities that a draw would use: logits / temperature, everything strictly below the
 * top_k-th largest dropped (ties stay, so more than top_k may survive), then all but the best whose
 * probabilities reach top_p together (of equals the highest index stays), then what is below min_p
 * times the best; softmax. Greedy settings give 1 at the largest logit, the lowest index among
 * equals. The penalty is not applied here. probabilities and scratch: [count]. */
void sample_probabilities(const float *logits, int count, rnl_sampling how, float *probabilities,
                          float *scratch);

/* Random numbers that one decision draws: 0 or 1. */
int sample_draw_count(rnl_sampling how);

/* One index in [0, count); -1: the logits are no numbers (NaN, plus infinity, only minus infinity).
 * Greedy decisions draw no random number, others exactly one. scratch: [2 * count]. */
int sample_index(const float *logits, int count, rnl_sampling how, random_state *random,
                 float *scratch);

/* The log-probability of one index at temperature 1, whatever was drawn with: how sure the model
 * is of it. <= 0. */
float sample_confidence(const float *logits, int count, int index);
/* The same of the k most probable ones, the best first, of equals the lowest index first. indices
 * and confidences: [k], k >= 1; beyond count -1 and minus infinity. */
void sample_alternatives(const float *logits, int count, int k, int32_t *indices,
                         float *confidences);

#endif
