/* What a reply is held to: a grammar with its masks over the model's tokens. */
#ifndef ENGINE_CONSTRAINT_H
#define ENGINE_CONSTRAINT_H

#include <runnel/runnel_chat.h>

#include "chat/mask.h"
#include "engine/model.h"

struct rnl_constraint {
    const rnl_model *model;
    bool tools;    /* else a schema */
    json *source;  /* as given; of tools what the model is told */
    char date[16]; /* "" for none */
    grammar g;
    mask *m;
    int token_min; /* of the grammar's text alone */
};

#endif
