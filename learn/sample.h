/* Conversations as they are learnt from: lines of JSON -> ids, heard rows and frames, each with
 * whether it is to be foreseen. learn.md 4.1, 4.2.
 *
 *     {"messages": [{"role", "content"}, ...]}   content: text, or a list of parts (below)
 *     {"prompt", "completion"}                   as plain text; the completion is learnt
 *     {"text"}                                   all of it is learnt
 *     {"audio", "text"} and others               short forms of sound (learn/short_form.h)
 *
 * Laid out piece by piece as a session does it (engine/session_history.c), so that the ids are
 * those that will be there when the model is used. Learnt are the contents of assistants and what
 * ends them; nothing that a person, a tool or the template says.
 *
 * Parts of a content, in models that hear or speak:
 *
 *     {"type": "text", "text"}
 *     {"type": "audio", "audio": sound}          heard: of user or system
 *     {"type": "audio", "audio" | "codes"}       spoken: of assistant
 *     {"type": "interleaved", "text", "audio" | "codes"}   of assistant: both in turns */
#ifndef LEARN_SAMPLE_H
#define LEARN_SAMPLE_H

#include "engine/model.h"
#include "learn/heard_cache.h"
#include "learn/network.h"

typedef struct learn_sample {
    int32_t *ids;          /* [count] text ids, LEARN_ROW_HEARD, LEARN_ROW_FRAME */
    unsigned char *learnt; /* [count] 1: to be foreseen by the row before it; [0] is 0 */
    int count;
    int text_count, label_frame_count; /* of what is learnt */
    float *heard;                      /* [heard_count, encoder width] */
    int heard_count;
    int32_t *frames; /* [frame_count, codebooks] */
    int frame_count;
    uint64_t hash; /* of the line that it is made of */
} learn_sample;

void learn_sample_free(learn_sample *s); /* leaves an empty one */

/* What only the program can do: files of sound and of codes. Paths are as the lines have them,
 * behind the folder of the file they stand in. NULL: refused. */
typedef struct learn_media {
    /* Samples [count] of all channels' mean, at *rate: free() them. */
    rnl_status (*sound)(void *context, const char *path, float **samples, size_t *count, int *rate,
                        rnl_error *error);
    /* Codes [codebook_count, frame_count] of a .npy file, without an end frame: free() them. */
    rnl_status (*codes)(void *context, const char *path, int32_t **codes, int *codebook_count,
                        int *frame_count, rnl_error *error);
    void *context;
    /* The system prompt that asks for a voice by its name [size]; NULL: no such voice. */
    const char *(*voice)(const char *name, size_t size);
} learn_media;

/* What short lines of sound and text are for (learn/short_form.h). */
typedef enum learn_task { LEARN_TASK_NONE, LEARN_TASK_ASR, LEARN_TASK_TTS } learn_task;

typedef struct learn_reading {
    int length_max;     /* positions of a sample; longer ones are cut at their end */
    bool skips_newline; /* the newline behind an answer's end is not learnt */
    bool last_only;     /* of each conversation only the last answer is learnt */
    learn_task task;
    double seconds_max;       /* of a sound that is heard */
    int thread_count;         /* for the encoder */
    learn_heard_cache *cache; /* keeps what the encoder gave; NULL: nothing does */
    learn_media media;
    /* Asked before lines that are read side by side, done of a file's bytes read; false ends
     * the reading: RNL_ERR_STATE. NULL: not asked. */
    bool (*goes_on)(void *context, double done);
    void *context; /* of goes_on */
} learn_reading;

typedef struct learn_reader learn_reader;

/* RNL_ERR_UNSUPPORTED: the model has no vocabulary. The model outlives it. */
RNL_MUST_USE rnl_status learn_reader_create(const rnl_model *m, const learn_reading *how,
                                            learn_reader **out, rnl_error *error);
void learn_reader_destroy(learn_reader **r); /* NULL is fine; sets NULL */

/* One line. place ("chats.jsonl, line 12") is put into sentences; folder: paths in the line are
 * relative to it. *is_cut: it was longer than length_max. Of a sample with nothing to learn both
 * counts are 0. RNL_ERR_DATA, RNL_ERR_IO, RNL_ERR_MEMORY; nothing is to be freed then. */
RNL_MUST_USE rnl_status learn_reader_line(learn_reader *r, const char *place, const char *folder,
                                          const char *text, size_t size, learn_sample *out,
                                          bool *is_cut, rnl_error *error);

#endif
