/* The inside of rnl_model: every stage's weights, loaded once and never changed. */
#ifndef ENGINE_MODEL_H
#define ENGINE_MODEL_H

#include <pthread.h>

#include <runnel/runnel.h>

#include <pthread.h>

#include "backbone/backbone.h"
#include "backbone/depthformer.h"
#include "chat/template.h"
#include "chat/vocabulary.h"
#include "detokenizer/codec.h"
#include "engine/adapters.h"
#include "engine/placement.h"
#include "engine/source.h"
#include "tokenizer/adapter.h"
#include "tokenizer/chat.h"
#include "tokenizer/encoder.h"
#include "tokenizer/mel.h"
#include "vad/turn_network.h"
#include "vision/projector.h"
#include "vision/resize.h"
#include "vision/tower.h"

/* The special tokens around the rows of a picture, by their text in the vocabulary; -1: it has none
 * such. family.md 2.10. */
typedef struct image_ids {
    int32_t begin, end, thumbnail;
    int32_t image; /* what a row counts as in the penalty for repeating (family.md 3.4) */
    int32_t tiles[VIEWS_GRID_MAX][VIEWS_GRID_MAX]; /* by row and column, from 0 */
} image_ids;

struct rnl_model {
    source source; /* files, canonical tensors, configuration, vocabulary */
    char *path;    /* as given to open */
    kernels kernels;
    rnl_tuning tuning;
    bool exact;   /* nothing is packed, the KV cache is float32 */
    chat_ids ids; /* special tokens; all -1 without a vocabulary */
    chat_template chat;
    int32_t stop_ids[SOURCE_STOP_CAP]; /* [stop_count] end an answer besides ids.message_end */
    int stop_count;
    pthread_mutex_t mutex; /* of spelling and turn, made when they are first wanted */
    vocabulary *spelling;
    backbone_weights backbone;
    mel_weights mel; /* with config.has_encoder, as the next two */
    encoder_weights encoder;
    adapter_weights adapter;
    tower_weights tower; /* with config.has_tower, as the next two */
    projector_weights projector;
    image_ids image_ids;
    depth_weights depth; /* with config.codebook_count > 0 */
    codec_weights codec; /* kind CODEC_NONE without sound */
    adapters *adapters;  /* NULL: none */
    placement placement; /* which of these a device computes */
    int64_t col_max;     /* widest matrix: the panel scratch of a session */
    int token_size_max;  /* bytes of the longest token */
    size_t weight_size;  /* bytes of the tensors that stages use */
    turn_network *turn;  /* NULL until it is first asked for, under the mutex; then as the rest */
};

/* The vocabulary as grammars walk it, made when it is first asked for. Any thread.
 * RNL_ERR_MEMORY. */
RNL_MUST_USE rnl_status model_spelling(rnl_model *m, const vocabulary **out);

/* The bytes of a token, which may be parts of characters. False: it is a special one, or none.
 * Valid as long as the model. */
bool model_token_bytes(const rnl_model *m, int32_t id, const char **bytes, size_t *size);

/* Forces a kernel level, for tests and comparison: features as in kernels_select. */
void model_use_features(rnl_model *m, unsigned features);
/* The network for ends of turns, one for all conversations on the model: made by the first call,
 * valid as long as the model. RNL_ERR_UNSUPPORTED: not built; RNL_ERR_MEMORY. Any thread. */
RNL_MUST_USE rnl_status model_turn_network(rnl_model *m, const turn_network **out,
                                           rnl_error *error);

#endif
