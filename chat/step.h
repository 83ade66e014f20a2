/* The inside of the automaton: one frame (step.c), below the threads of a state (walk.c). */
#ifndef CHAT_STEP_H
#define CHAT_STEP_H

#include "chat/grammar.h"

/* What a frame expects next, by the kind of its node. */
enum { ARRAY_START, ARRAY_OPEN, ARRAY_ITEM, ARRAY_COMMA };
enum {
    OBJECT_START,
    OBJECT_OPEN,
    OBJECT_KEY,      /* within a key that may be one of the schema's */
    OBJECT_FREE_KEY, /* within one that is none */
    OBJECT_COLON,
    OBJECT_VALUE,
    OBJECT_DONE, /* a value is complete, or will be when this is on top again */
    OBJECT_COMMA
};
enum { CALLS_START, CALLS_BEGUN, CALLS_NAME, CALLS_DONE, CALLS_COMMA };
enum {
    NUMBER_START,
    NUMBER_MINUS,
    NUMBER_ZERO,
    NUMBER_DIGITS,
    NUMBER_POINT,
    NUMBER_FRACTION,
    NUMBER_E,
    NUMBER_SIGN,
    NUMBER_EXPONENT
};
enum { GRAMMAR_CALL_CAP = 16 }; /* calls in a list */

#define GRAMMAR_HASH_START UINT32_C(2166136261)
uint32_t grammar_hash(const char *bytes, size_t size); /* FNV-1a */

static inline uint32_t grammar_cap(uint64_t need) {
    return need < GRAMMAR_NEED_CAP ? (uint32_t)need : GRAMMAR_NEED_CAP;
}

/* What a step needs besides the frame. */
typedef struct walker {
    const grammar *g;
    uint32_t
        *used; /* [GRAMMAR_USED_CAP] hashes of keys; a step may write the one behind the last */
    int used_count;
    bool used_made; /* it did */
} walker;

/* The shortest end: its bytes and its first one. */
typedef struct grammar_way {
    uint32_t need;
    unsigned char byte;
} grammar_way;

/* Of what the frame itself still needs. room: objects and arrays that may still be opened. need 0:
 * it may end without a byte. */
grammar_way grammar_frame_way(const walker *w, const grammar_frame *f, uint32_t room);

typedef enum grammar_effect {
    DIES,
    STAYS,     /* has taken the byte */
    ENDS,      /* has taken the byte as its last */
    ENDED,     /* was at its end before the byte, which is for the frame below */
    OPENS,     /* the byte begins a value, to be put on top */
    OPENS_NEXT /* has taken the byte, and a value follows */
} grammar_effect;

/* *value: the node of what is to be put on top. Not for NODE_ANY_OF. */
grammar_effect grammar_frame_step(walker *w, grammar_frame *f, uint32_t room, unsigned char byte,
                                  int32_t *value);

#endif
