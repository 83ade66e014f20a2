/* A model that learns: forward with what backward needs, losses of text and of frames, backward.
 * learn.md 3.
 *
 *     rows of runs: ids | rows of the encoder | frames
 *          -> embedding | adapter             | sum of tables        -> stack -> norm
 *          -> logits of labelled rows, nll    | depthformer, nll of codes
 *
 * Weights that do not learn are used as they are stored, by the exact way of core/linear: the loss
 * of a text is that of `perplexity --exact`, bit for bit; but not with learn_config.bf16. The same
 * bits for any number of threads.
 * All memory is taken when the network is made. One thread at a time per network; the model
 * outlives it. */
#ifndef LEARN_NETWORK_H
#define LEARN_NETWORK_H

#include "engine/model.h"
#include "learn/depth.h"

typedef struct learn_config {
    learn_choice choice;
    int row_cap;    /* positions of a micro batch, >= 1 */
    int run_cap;    /* sequences of a micro batch, >= 1 */
    bool keeps_all; /* every layer keeps what backward needs; else it is made again */
    int thread_count;
    uint64_t seed; /* of the adapters' first values */
    /* Products of matrices in BF16 by these kernels: inputs are rounded, sums are float32 (learn.md
     * 4.6). Borrowed; NULL: float32 by the model's kernels. */
    const kernels *bf16;
} learn_config;

/* The best kernels with BF16 of this machine, not above the level named (NULL: any). False: there
 * are none. AMX is asked of the system, for the whole process. */
bool learn_bf16_kernels(const char *level, kernels *out);

/* What a row of a micro batch is, where it is no text. */
enum { LEARN_ROW_HEARD = -1, LEARN_ROW_FRAME = -2 };

/* A micro batch; all borrowed. */
typedef struct learn_batch {
    learn_rows rows;
    const int32_t *ids;    /* [rows.count] a text id, or LEARN_ROW_HEARD (the next row of heard), or
                          * LEARN_ROW_FRAME (the next of frames) */
    const float *heard;    /* [heard_count, encoder width] */
    const int32_t *frames; /* [frame_count, codebooks] */
    int heard_count, frame_count;

    /* What is learnt: row text_at[i] is to foresee text_ids[i], rising; row frame_at[i] frame
     * frame_of[i] of frames. */
    int text_count;
    const int *text_at;
    const int32_t *text_ids;
    int label_frame_count;
    const int *frame_at;
    const int *frame_of;
    /* Weights of one text label's nll and of one frame's loss, 1 / N of the whole step or so. */
    double text_weight, frame_weight;
} learn_batch;

typedef struct learn_result {
    double text_nll;   /* sum over the labels */
    double frame_loss; /* sum over the frames of sum_k share_k nll_k */
} learn_result;

typedef struct learn_network {
    const rnl_model *model;
    learn_config config;
    learn_tensors tensors;
    learn_linear embedding, head; /* one table when tied */
    bool tied;
    learn_vector final_norm;
    learn_stack stack;

    /* Audio models only. */
    bool has_audio, has_adapter;
    learn_depth depth;
    learn_linear audio_embedding;
    learn_vector adapter_gain, adapter_bias;
    learn_linear adapter_up, adapter_out;
    double *share; /* [codebooks] of a frame's loss, summing to 1 */

    compute compute;
    learn_dropout dropout; /* key: whoever runs it sets one for each micro batch */
    learn_loss_work loss;
    float *dx;               /* [row_cap, width] */
    float *hidden, *dhidden; /* [row_cap, width] behind the final norm */
    float *picked, *dpicked; /* [LEARN_LOSS_ROWS, width] */
    float *row, *ratios;     /* [width] [2 * row_cap] */
    float *heard_normed, *heard_hidden, *heard_active, *dheard, *dheard_hidden; /* of the adapter */
    float *heard_low[2], *heard_dlow, *heard_out;
    int32_t *codes; /* [row_cap, codebooks] of labelled frames */
    void *memory;
    size_t size;
} learn_network;

/* Bytes that learn_network_create would take. RNL_ERR_UNSUPPORTED with a sentence: the model is not
 * exact, is packed, or has parts that do not learn. */
RNL_MUST_USE rnl_status learn_network_size(const rnl_model *m, const learn_config *config,
                                           size_t *size, rnl_error *error);
RNL_MUST_USE rnl_status learn_network_create(const rnl_model *m, const learn_config *config,
                                             learn_network **out, rnl_error *error);
void learn_network_destroy(learn_network **n); /* NULL is fine; sets NULL */

/* Forward; with wants_gradients backward too, adding to the gradients of what learns. Ids, codes
 * and places are in range (asserted). Results that are no numbers: the values have diverged. */
learn_result learn_network_run(learn_network *n, const learn_batch *b, bool wants_gradients);

#endif
