/* What a transcript may be asked for. */
#include "core/range.h"
#include "core/status.h"
#include "engine/transcript.h"

rnl_transcript_config rnl_transcript_config_default(const rnl_model *model) {
    const model_config *c = &model->source.config;
    return (rnl_transcript_config){
        .rate = RNL_RATE_IN,
        .thread_count = rnl_thread_count_default(),
        .piece_min = c->asr_piece_min,
        .piece_max = c->asr_piece_max,
        .piece_cap = 8,
        .word_times = true,
        .text = rnl_turn_config_default(model, RNL_MODE_TRANSCRIBE).text,
        .memory_size_max = SIZE_MAX,
        .adapter_scale = 1,
    };
}

rnl_status transcript_check_config(const rnl_model *m, const rnl_transcript_config *c,
                                   rnl_error *error) {
    if (!rnl_model_can(m, RNL_MODE_TRANSCRIBE))
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s: the model cannot transcribe: it has no audio encoder or no "
                           "vocabulary",
                           m->path);
    const range ranges[] = {
        {"rate", c->rate, 4000, 768000},    {"thread_count", c->thread_count, 1, RNL_THREAD_CAP},
        {"piece_max", c->piece_max, 1, 30}, {"piece_min", c->piece_min, 0, c->piece_max},
        {"piece_cap", c->piece_cap, 1, 64}, {"step_max", c->step_max, 0, 1 << 20},
    };
    return range_check(ranges, sizeof ranges / sizeof *ranges, error);
}
