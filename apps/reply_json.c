#include "apps/reply_json.h"

#include <string.h>

#include "core/clock.h"

void reply_times_watch(reply_times *t, rnl_stage stage) {
    if (t->encoded == 0 && stage != RNL_STAGE_ENCODE) t->encoded = clock_seconds();
    if (t->prefilled == 0 && (stage == RNL_STAGE_GENERATE || stage == RNL_STAGE_IDLE))
        t->prefilled = clock_seconds();
}

double reply_times_ms(const reply_times *t, double moment) {
    return moment > 0 ? 1e3 * (moment - t->begin) : -1;
}

static void set_time(json_draft *object, const char *key, double value) {
    if (value >= 0) json_set(object, key, json_new_number(value));
}

static json_draft *frames_of(const rnl_reply *reply) {
    json_draft *frames = json_new_array();
    for (size_t i = 0; i < reply->frame_count; i++) {
        json_draft *codes = json_new_array();
        for (int k = 0; k < reply->codebook_count; k++)
            json_append(codes,
                        json_new_int(reply->frames[i * (size_t)reply->codebook_count + (size_t)k]));
        json_append(frames, codes);
    }
    return frames;
}

void reply_json(json_draft *o, const rnl_reply *reply, const reply_times *t) {
    json_draft *ids = json_new_array(), *times = json_new_object();
    for (size_t i = 0; i < reply->text_count; i++)
        json_append(ids, json_new_int(reply->text_ids[i]));
    json_set(o, "text_tokens", ids);
    json_set(o, "modality", json_new_string(reply->modality, reply->position_count));
    json_set(o, "frames", frames_of(reply));
    const char *finish = rnl_finish_name(reply->finish);
    json_set(o, "finish", json_new_string(finish, strlen(finish)));
    set_time(times, "encode_ms", reply_times_ms(t, t->encoded));
    set_time(times, "prefill_ms", reply_times_ms(t, t->prefilled));
    set_time(times, "first_text_ms", reply_times_ms(t, t->first_text));
    set_time(times, "first_sound_ms", reply_times_ms(t, t->first_sound));
    set_time(times, "total_ms", reply_times_ms(t, t->end));
    set_time(times, "audio_seconds", (double)t->sample_count / RNL_RATE_OUT);
    json_set(o, "times", times);
}
