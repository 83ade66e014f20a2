/* The two generation loops as a pure state machine: which modality comes next, what is emitted,
 * when the reply ends. It knows neither model nor sampler, so every edge of audio.md 7.5 and 7.6
 * is tested by a table. One cycle: generate_wants_frame, then exactly one of generate_text,
 * generate_frame. */
#ifndef BACKBONE_GENERATE_H
#define BACKBONE_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

enum { GENERATE_STOP_CAP = 8 };

typedef struct generate_config {
    bool interleaved;                    /* audio.md 7.6, else the sequential loop of 7.5 */
    int text_run;                        /* interleaved: text tokens of a chunk, n_t */
    int audio_run;                       /* interleaved: frames of a chunk, n_a */
    int32_t end_id;                      /* <|im_end|>, 7: ends the reply */
    int32_t stop_ids[GENERATE_STOP_CAP]; /* [stop_count] end it too, and do not belong to it */
    int stop_count;
    int32_t audio_start_id; /* <|audio_start|>, 128: sequential loop goes to frames; -1: none */
    int32_t text_end_id;    /* <|text_end|>, 130: interleaved text is complete; -1: none */
    int32_t end_code;       /* 2048: in codebook 0 it ends the audio */
    int codebook_count;
} generate_config;

typedef struct generate {
    generate_config config;
    bool in_audio;
    bool text_done;
    int left; /* of the running chunk; may go negative after text_done (the test is left == 0) */
} generate;

void generate_begin(generate *g, const generate_config *config);

/* True: the next decision is a frame; false: a text token. */
bool generate_wants_frame(const generate *g);

typedef struct generate_result {
    bool emit; /* the decision belongs to the reply and is fed back */
    bool stop; /* the reply ends here */
} generate_result;

generate_result generate_text(generate *g, int32_t id);

/* How many of the next `steps` decisions are of text at least, beginning with the next one, which
 * is of text; as long as frames keep to their runs. */
int generate_text_left(const generate *g, int steps);

/* codes [codebook_count]: all become end_code when codes[0] is. Frames are always emitted. */
void generate_frame(generate *g, int32_t *codes);

#endif
