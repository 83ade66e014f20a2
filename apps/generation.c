#include "apps/generation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/asking.h"
#include "apps/documents.h"
#include "apps/ending.h"
#include "apps/messages.h"
#include "engine/session.h"

/* Cuts the text where the first of the stops begins; false: none is there. */
static bool cut(chat_text *text, const task_texts *stops) {
    const char *first = NULL;
    for (int i = 0; i < stops->count && text->data != NULL; i++) {
        const char *at = *stops->at[i] != '\0' ? strstr(text->data, stops->at[i]) : NULL;
        if (at != NULL && (first == NULL || at < first)) first = at;
    }
    if (first == NULL) return false;
    text->size = (size_t)(first - text->data);
    text->data[text->size] = '\0';
    return true;
}

static int check(const chat_text *out) {
    return out->failed ? complain(EXIT_FAILED, "memory is exhausted") : EXIT_OK;
}

/* ---- A text that goes on ---- */

static bool ends(const rnl_model *m, int32_t id) {
    if (id == m->ids.message_end || id == m->ids.text_stop) return true;
    for (int i = 0; i < m->stop_count; i++)
        if (id == m->stop_ids[i]) return true;
    return false;
}

/* Takes token after token, each the best behind those before; the first behind what was run. */
static int take_best(scorer *s, const task_texts *stops, int token_max, chat_text *out) {
    int code = EXIT_OK;
    for (int i = 0; i < token_max && code == EXIT_OK; i++) {
        const float *logits = scorer_logits(s, s->run_count - 1);
        const int32_t id = scoring_best(logits, s->vocab_count);
        const char *bytes;
        size_t size;
        bool special;
        if (!isfinite(logits[id]))
            return complain(EXIT_MODEL, "%s: the logits are no numbers: the file is damaged",
                            s->model->path);
        if (ends(s->model, id)) break;
        if (bpe_token_bytes(s->model->source.text, id, &bytes, &size, &special) && !special)
            chat_put(out, bytes, size);
        if (cut(out, stops)) break;
        if (i + 1 < token_max) code = scorer_go_on(s, &id, 1);
    }
    return code;
}

int generation_go_on(scorer *s, const char *name, const char *context, const task_texts *stops,
                     int token_max, chat_text *out) {
    int32_t *ids = NULL;
    size_t count;
    rnl_error error = {0};
    const int most = s->row_cap - token_max;
    if (most < 1)
        return complain(EXIT_USAGE, "eval: --max-tokens %d leaves no room in a --context of %d",
                        token_max, s->row_cap);
    if (document_encode(s->model, name, context, strlen(context), 1, &ids, &count, &error) !=
        RNL_OK)
        return complain(exit_code(&error), "%s", error.text);
    ids[0] = s->begin_id;
    const size_t over = count > (size_t)most ? count - (size_t)most : 0;
    int code = scorer_run(s, ids + over, (int)(count - over));
    free(ids);
    if (code == EXIT_OK) code = take_best(s, stops, token_max, out);
    return code == EXIT_OK ? check(out) : code;
}

/* ---- A conversation ---- */

/* Takes what there is; of speech only that it was made. */
static void pull(rnl_session *session, chat_text *out) {
    char text[1024];
    float samples[4096];
    size_t size;
    while (rnl_session_pull_text(session, text, sizeof text, &size) == RNL_OK)
        chat_put(out, text, size);
    while (rnl_session_pull_samples(session, samples, 4096, &size) == RNL_OK) continue;
}

int generation_answer(const options *o, rnl_session *session, const task_item *item,
                      const task_item *const *shots, int shot_count, int token_max,
                      chat_text *out) {
    rnl_error error = {0};
    const rnl_mode mode = item->sound != NULL ? RNL_MODE_INTERLEAVED : RNL_MODE_TEXT;
    rnl_turn_config turn = rnl_turn_config_default(session->model, mode);
    turn.text = turn.audio = rnl_sampling_plain(0, 1);
    turn.step_max = token_max;
    rnl_status status = ask_in_chat(o, session, item, shots, shot_count, &turn, &error);
    bool over = false;
    while (status >= 0 && status != RNL_DONE && !over) {
        if (interrupted()) return EXIT_STOPPED;
        status = rnl_session_step(session, &error);
        if (status >= 0) pull(session, out);
        over = cut(out, &item->stops);
    }
    return status >= 0 ? check(out) : complain(exit_code(&error), "%s", error.text);
}
