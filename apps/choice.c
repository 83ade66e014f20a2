#include "apps/choice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/asking.h"
#include "apps/documents.h"
#include "apps/messages.h"
#include "engine/session.h"

const char *const choice_metric_names[CHOICE_METRIC_COUNT] = {"acc", "acc_norm", "acc_bytes",
                                                              "acc_mutual_info"};

/* Context and answer: ids [count], of which those from `begin` on are the answer. */
typedef struct sequence {
    int32_t *ids;
    size_t count, begin;
} sequence;

typedef struct scoring {
    scorer *scorer;
    const char *name;
    size_t index;
} scoring;

static void free_all(sequence *all, int count) {
    for (int i = 0; i < count; i++) free(all[i].ids);
}

static int no_memory(void) {
    return complain(EXIT_FAILED, "memory is exhausted");
}

/* ---- From text to ids ---- */

/* Ids of text behind <|startoftext|>, but where the text itself begins with that. */
static int encode(const scoring *w, const char *text, size_t size, int32_t **ids, size_t *count) {
    static const char begin_text[] = "<|startoftext|>";
    rnl_error error = {0};
    char name[32];
    (void)snprintf(name, sizeof name, "document %zu", w->index);
    const bool begun =
        size >= sizeof begin_text - 1 && memcmp(text, begin_text, sizeof begin_text - 1) == 0;
    if (document_encode(w->scorer->model, name, text, size, !begun, ids, count, &error) != RNL_OK)
        return complain(error.status == RNL_ERR_DATA ? EXIT_INPUT : exit_code(&error), "%s: %s",
                        w->name, error.text);
    if (!begun) (*ids)[0] = w->scorer->begin_id;
    return EXIT_OK;
}

static bool is_white(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* What the model sees of a conversation when its reply begins. */
static int encode_chat(const scoring *w, const options *o, const task_item *item,
                       const task_item *const *shots, int shot_count, task_text *out) {
    rnl_session *s = w->scorer->session;
    rnl_turn_config turn = rnl_turn_config_default(w->scorer->model, RNL_MODE_TEXT);
    turn.step_max = 1;
    rnl_error error = {0};
    if (ask_in_chat(o, s, item, shots, shot_count, &turn, &error) != RNL_OK)
        return complain(exit_code(&error), "%s: document %zu: %s", w->name, w->index, error.text);
    out->id_count = (size_t)rnl_session_position_count(s);
    out->ids = malloc(out->id_count * sizeof *out->ids);
    if (out->ids != NULL) memcpy(out->ids, s->ids, out->id_count * sizeof *out->ids);
    rnl_session_reset(s);
    return out->ids != NULL ? EXIT_OK : no_memory();
}

static int join_ids(const task_text *context, const int32_t *ids, size_t count, sequence *out) {
    out->count = context->id_count + count;
    out->begin = context->id_count;
    out->ids = malloc(out->count * sizeof *out->ids);
    if (out->ids == NULL) return no_memory();
    memcpy(out->ids, context->ids, context->id_count * sizeof *out->ids);
    memcpy(out->ids + out->begin, ids, count * sizeof *out->ids);
    return EXIT_OK;
}

/* An answer behind a conversation: its own ids, without <|startoftext|>. */
static int join_answer(const scoring *w, const task_text *context, const char *answer,
                       sequence *out) {
    int32_t *ids = NULL;
    size_t count = 0;
    int code = encode(w, answer, strlen(answer), &ids, &count);
    if (code == EXIT_OK && count < 2)
        code = complain(EXIT_INPUT, "%s: document %zu: an answer is empty", w->name, w->index);
    if (code == EXIT_OK) code = join_ids(context, ids + 1, count - 1, out);
    free(ids);
    return code;
}

/* White space at the end of the context belongs to the answer: merges across the border decide. */
static int encode_pair(const scoring *w, const char *context, const char *answer, sequence *out) {
    size_t head = strlen(context);
    const size_t whole = head + 1 + strlen(answer);
    while (head > 0 && is_white(context[head - 1])) head--;
    char *text = malloc(whole + 1);
    int32_t *before = NULL;
    size_t before_count = 0;
    if (text == NULL) return no_memory();
    (void)snprintf(text, whole + 1, "%s %s", context, answer);
    int code = encode(w, text, whole, &out->ids, &out->count);
    if (code == EXIT_OK && head > 0) {
        code = encode(w, text, head, &before, &before_count);
        out->begin = before_count < out->count ? before_count : out->count - 1;
    } else {
        out->begin = 1;
    }
    free(before);
    free(text);
    return code;
}

/* Of what is too long the end, as far as row_cap reaches; the last id is only scored. */
static int shorten(const scoring *w, sequence *q) {
    const size_t most = (size_t)w->scorer->row_cap + 1;
    const size_t cut = q->count > most ? q->count - most : 0;
    if (cut >= q->begin)
        return complain(EXIT_INPUT, "%s: document %zu: an answer is longer than the context of %d",
                        w->name, w->index, w->scorer->row_cap);
    memmove(q->ids, q->ids + cut, (q->count - cut) * sizeof *q->ids);
    q->count -= cut;
    q->begin -= cut;
    return scoring_check(w->scorer, w->name, q->ids, q->count);
}

/* ---- Likelihoods ---- */

/* Of the answer, from the rows of the last run. */
static int sum_up(const scoring *w, const sequence *q, double *ll, bool *greedy) {
    const int vocab = w->scorer->vocab_count;
    *ll = 0;
    *greedy = true;
    for (size_t t = q->begin; t < q->count; t++) {
        const float *logits = scorer_logits(w->scorer, (int)t - 1);
        const double normaliser = scoring_normaliser(logits, vocab);
        if (!isfinite(normaliser))
            return complain(EXIT_MODEL, "%s: the logits are no numbers: the file is damaged",
                            w->scorer->model->path);
        *ll += logits[q->ids[t]] - normaliser;
        if (scoring_best(logits, vocab) != q->ids[t]) *greedy = false;
    }
    return EXIT_OK;
}

/* Ids that all begin with, and that each still has one behind to be scored. */
static size_t common_count(const sequence *all, int count) {
    size_t common = all[0].count - 1;
    for (int i = 1; i < count; i++) {
        size_t same = 0;
        while (same < common && same < all[i].count - 1 && all[i].ids[same] == all[0].ids[same])
            same++;
        common = same;
    }
    return common;
}

/* What the sequences share is run once. */
static int run_all(const scoring *w, const sequence *all, int count, double *lls, bool *greedy) {
    const size_t common = common_count(all, count);
    int code = EXIT_OK;
    if (common > 0) code = scorer_run(w->scorer, all[0].ids, (int)common);
    if (code == EXIT_OK && common > 0) scorer_mark(w->scorer);
    for (int i = 0; i < count && code == EXIT_OK; i++) {
        const int rest = (int)(all[i].count - 1 - common);
        if (common > 0) scorer_rewind(w->scorer);
        if (rest > 0 && common > 0) code = scorer_go_on(w->scorer, all[i].ids + common, rest);
        if (rest > 0 && common == 0) code = scorer_run(w->scorer, all[i].ids, rest);
        if (code == EXIT_OK) code = sum_up(w, &all[i], &lls[i], &greedy[i]);
    }
    return code;
}

/* Likelihoods of the answers behind a context; alone: behind <|startoftext|>, or the first id. */
static int score_behind(const scoring *w, const task_item *item, const task_text *context,
                        bool alone, double *lls, bool *greedy) {
    sequence all[TASK_CHOICE_CAP] = {0};
    int code = EXIT_OK;
    task_text first = *context;
    if (alone && first.ids != NULL) first.id_count = 1;
    for (int i = 0; i < item->choice_count && code == EXIT_OK; i++) {
        const task_text *said = &item->choices[i].said;
        if (said->ids != NULL)
            code = join_ids(&first, said->ids, said->id_count, &all[i]);
        else if (first.ids != NULL)
            code = join_answer(w, &first, said->text, &all[i]);
        else
            code = encode_pair(w, alone ? "" : first.text, said->text, &all[i]);
        if (code == EXIT_OK) code = shorten(w, &all[i]);
    }
    if (code == EXIT_OK) code = run_all(w, all, item->choice_count, lls, greedy);
    free_all(all, item->choice_count);
    return code;
}

static void predict(const task_item *item, choice_result *r) {
    double best[CHOICE_METRIC_COUNT] = {0};
    for (int i = 0; i < item->choice_count; i++) {
        const task_choice *c = &item->choices[i];
        const double values[CHOICE_METRIC_COUNT] = {r->lls[i], r->lls[i] / c->characters,
                                                    r->lls[i] / c->bytes, r->lls[i] - r->alone[i]};
        for (int k = 0; k < CHOICE_METRIC_COUNT; k++) {
            if (i > 0 && values[k] <= best[k]) continue;
            best[k] = values[k];
            r->predictions[k] = i;
        }
    }
}

int choice_score(scorer *s, const options *o, size_t index, const task_item *item,
                 const task_item *const *shots, int shot_count, choice_result *out) {
    const scoring w = {s, o->data.at[0], index};
    bool unused[TASK_CHOICE_CAP];
    task_text context = item->question;
    const bool has_ids = item->question.ids != NULL;
    int code = EXIT_OK;
    if (!has_ids && o->as_chat) {
        context.text = NULL;
        code = encode_chat(&w, o, item, shots, shot_count, &context);
    } else if (!has_ids) {
        context.text = task_context(item, shots, shot_count);
        if (context.text == NULL) return no_memory();
    }
    if (code == EXIT_OK) code = score_behind(&w, item, &context, false, out->lls, out->greedy);
    if (code == EXIT_OK) code = score_behind(&w, item, &context, true, out->alone, unused);
    if (code == EXIT_OK) predict(item, out);
    if (!has_ids) free(context.text);
    if (!has_ids) free(context.ids);
    return code;
}
