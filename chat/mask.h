/* Which tokens may come next in a text that a grammar holds: one bit for each. Masks of states that
 * come again are kept. For one thread at a time. */
#ifndef CHAT_MASK_H
#define CHAT_MASK_H

#include "chat/grammar.h"
#include "chat/vocabulary.h"

typedef struct mask mask;

/* v and g must outlive it. RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status mask_create(const vocabulary *v, const grammar *g, mask **out);
void mask_destroy(mask **m); /* NULL is fine; sets NULL */

/* Where a text stands. Holds no pointers: copied as it is. */
typedef struct mask_text {
    grammar_state state;
    uint32_t used[GRAMMAR_USED_CAP];
} mask_text;

void mask_begin(const mask *m, mask_text *t);
/* Takes a token's text on; false: the grammar does not go on so (the state is then without use). */
bool mask_advance(mask *m, mask_text *t, const char *bytes, size_t size);
bool mask_may_end(const mask *m, const mask_text *t);

/* The fewest tokens that end the text, 0 when it may end here: an upper bound that a text can
 * always keep to. */
int mask_cost(mask *m, mask_text *t);
/* The tokens of which one may come now, when at most `left` (>= mask_cost) come in all; within
 * three tokens of the limit not all of those that break off within a character. Never empty unless
 * the text may end. Valid until the next call. */
const unsigned char *mask_tokens(mask *m, mask_text *t, int left);

#endif
