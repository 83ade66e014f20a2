/* What a person brings that becomes rows of the history: a clip, a picture. Its positions are there
 * from the moment it is added; the pass fills them, one percept at a time, in bounded pieces of
 * work. Who adds another kind writes its `add`, which reserves positions and says where they are
 * (rnl_session.percept, encode_at, encode_count), and its row here.
 *
 *     clip      mel frames  -> encoder, adapter     session_input.c
 *     picture   views       -> tower, projector     session_picture.c */
#ifndef ENGINE_PERCEPT_H
#define ENGINE_PERCEPT_H

#include "engine/pass.h"

typedef struct percept_kind {
    const char *name;
    /* One piece of work with the pass's scratch. begins: the first since the session has it, so
     * that nothing in it is the session's. RNL_OK: more remains; RNL_AGAIN: more remains, and the
     * scratch holds nothing of it, so that others may have it; RNL_DONE: all rows are there. */
    rnl_status (*step)(pass *p, rnl_session *s, const compute *c, bool begins);
} percept_kind;

extern const percept_kind percept_clip;
extern const percept_kind percept_picture;

#endif
