/* Which part of a model a tensor belongs to, by its canonical name (engine/source.h). */
#ifndef ENGINE_MODEL_PART_H
#define ENGINE_MODEL_PART_H

typedef enum model_part {
    PART_BACKBONE,
    PART_ENCODER, /* the adapter included */
    PART_TOWER,   /* the projector included */
    PART_DEPTH,   /* the depthformer, and the embeddings of what it says */
    PART_CODEC,   /* codes to samples: both detokenizers */
    PART_COUNT
} model_part;

model_part part_of(const char *name);
/* "backbone", ... */
const char *part_name(model_part part);

#endif
