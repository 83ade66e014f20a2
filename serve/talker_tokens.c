/* The tokens of a reply's text, for whoever wants to know how sure the model was of each. What is
 * no text (marks, calls) is not told. Engine thread. */
#include <math.h>
#include <stdlib.h>

#include "engine/model.h"
#include "serve/work_inner.h"

static work_token token_of(const rnl_model *m, int32_t id, float logprob) {
    work_token t = {.bytes = "", .logprob = logprob};
    if (m->source.text != NULL && id >= 0)
        (void)bpe_token_bytes(m->source.text, id, &t.bytes, &t.size, &t.special);
    return t;
}

/* Whether token i of the reply is text. */
static bool is_text(conversation *c, int32_t id) {
    talk_reply *r = &c->talker.reply;
    const rnl_model *m = c->work->model;
    if (id == m->ids.call_begin || id == m->ids.call_end) r->in_call = id == m->ids.call_begin;
    return !r->in_call && !token_of(m, id, 0).special;
}

/* Token i with its alternatives. */
static void fill(const rnl_model *m, const rnl_reply *reply, size_t i, work_token *out) {
    const size_t row = i * RNL_ALTERNATIVES_CAP; /* talker_session_config */
    *out++ = token_of(m, reply->text_ids[i], reply->text_confidences[i]);
    for (int k = 0; k < reply->alternative_count; k++)
        *out++ = token_of(m, reply->alternatives[row + (size_t)k],
                          reply->alternative_confidences[row + (size_t)k]);
}

bool talker_tell_tokens(conversation *c) {
    talk_reply *r = &c->talker.reply;
    rnl_reply reply;
    if (!r->tokens) return true;
    rnl_session_get_reply(c->talker.session, &reply);
    for (; r->told < reply.text_count; r->told++) {
        if (!conversation_takes(c, EVENTS_KEPT + 1)) return false;
        if (!is_text(c, reply.text_ids[r->told])) continue;
        work_token *tokens = malloc((1 + (size_t)reply.alternative_count) * sizeof *tokens);
        if (tokens == NULL) return false;
        fill(c->work->model, &reply, r->told, tokens);
        conversation_tell(c, &(queued_event){.kind = EVENT_TOKENS,
                                             .tag = r->tag,
                                             .count = 1,
                                             .alternatives = reply.alternative_count,
                                             .owned = tokens});
    }
    return true;
}
