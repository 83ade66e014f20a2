#include "apps/eval_frames.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/moments.h"
#include "apps/npy.h"
#include "apps/open.h"
#include "apps/progress.h"
#include "apps/refs.h"
#include "apps/scoring.h"
#include "apps/sources.h"
#include "engine/session.h"

/* What a codebook weighs in training where the file does not say it (learn.md 1.6). */
static const double first_weight = 100;

typedef struct frames {
    const options *o;
    refs refs;
    rnl_model *model;
    rnl_session *session;
    double weights[RNL_CODEBOOK_CAP]; /* they sum up to 1 */
    progress shown;
    moments mean, weighted; /* of each frame */
    int64_t best_count, code_count;
} frames;

/* A text and its frames at work. */
typedef struct spoken {
    size_t index;
    const char *path, *text;
    int32_t *codes; /* [count, codebook_count] the end frame is the last one */
    int count;
    moments mean, weighted;
    int64_t best_count, code_count;
} spoken;

static int failed(const spoken *s, const rnl_error *error) {
    return complain(exit_code(error), "%s: %s", s->path, error->text);
}

/* Of the file, or 100, 51.8, ... 1 for eight of them. */
static void find_weights(frames *x) {
    const int books = x->model->backbone.codebook_count;
    const tensor *stored = weights_find(x->model->source.w, "raw.audio_loss_weights");
    float values[RNL_CODEBOOK_CAP];
    const bool there = stored != NULL && stored->foreign == NULL && stored->rank == 1 &&
                       stored->shape[0] == books && stored->data != NULL &&
                       quant_describe((uint32_t)stored->type)->block_len == 1 &&
                       quant_describe((uint32_t)stored->type)->is_weight;
    double sum = 0;
    if (there) quant_dequantise(stored->type, stored->data, values, books);
    for (int k = 0; k < books; k++) {
        const double share = books > 1 ? (double)k / (books - 1) : 0;
        x->weights[k] = there ? (double)values[k] : pow(first_weight, 1 - share);
        sum += x->weights[k];
    }
    for (int k = 0; k < books; k++) x->weights[k] /= sum;
}

/* The frames of the file, turned, with the end frame behind them. */
static int read_codes(const frames *x, spoken *s) {
    const size_t books = (size_t)x->model->backbone.codebook_count;
    const int end = x->model->backbone.code_count - 1;
    rnl_error error = {0};
    int32_t *table = NULL;
    size_t rows, cols;
    source_note(s->path);
    if (!npy_read_table(s->path, &table, &rows, &cols, &error))
        return complain(error.status == RNL_ERR_MEMORY ? EXIT_FAILED : EXIT_INPUT, "%s",
                        error.text);
    int code = EXIT_OK;
    for (size_t i = 0; i < rows * cols && code == EXIT_OK; i++)
        if (table[i] < 0 || table[i] >= end)
            code =
                complain(EXIT_INPUT, "%s: code %d is none of 0 to %d", s->path, table[i], end - 1);
    if (code == EXIT_OK && rows != books)
        code = complain(EXIT_INPUT, "%s: has %zu rows, but the model has %zu codebooks", s->path,
                        rows, books);
    if (code == EXIT_OK) {
        s->count = (int)cols + 1;
        s->codes = malloc((cols + 1) * books * sizeof *s->codes);
        if (s->codes == NULL) code = complain(EXIT_FAILED, "memory is exhausted");
    }
    for (size_t k = 0; k < books && code == EXIT_OK; k++) {
        for (size_t f = 0; f < cols; f++) s->codes[f * books + k] = table[k * cols + f];
        s->codes[cols * books + k] = end;
    }
    free(table);
    return code;
}

/* The prompt of speaking and the text; behind the beginning of a reply the start of sound and the
 * frames but the last one. */
static int lay_out(const frames *x, const spoken *s) {
    rnl_error error = {0};
    rnl_session *session = x->session;
    const backbone_weights *w = &x->model->backbone;
    const rnl_turn_config turn = rnl_turn_config_default(x->model, RNL_MODE_SPEAK);
    const char *system =
        x->o->system != NULL ? x->o->system : rnl_model_system_prompt(x->model, RNL_MODE_SPEAK);
    rnl_session_reset(session);
    rnl_status status = RNL_OK;
    if (system != NULL)
        status = rnl_session_add_text(session, RNL_ROLE_SYSTEM, system, strlen(system), &error);
    if (status == RNL_OK)
        status = rnl_session_add_text(session, RNL_ROLE_USER, s->text, strlen(s->text), &error);
    if (status == RNL_OK) status = rnl_session_begin(session, &turn, &error);
    if (status != RNL_OK) return failed(s, &error);
    if (session->config.context_cap - session->live->position_count < s->count)
        return complain(EXIT_INPUT, "%s: does not fit into the --context of %d", s->path,
                        session->config.context_cap);
    const int32_t start = x->model->ids.audio_start;
    pass *p = session->pass;
    backbone_embed_text(w, &p->compute, start, session_append(session, start));
    for (int f = 0; f + 1 < s->count; f++)
        backbone_embed_frame(w, &p->compute, s->codes + (size_t)f * (size_t)w->codebook_count,
                             session_append(session, -1), p->row);
    return EXIT_OK;
}

/* A frame by the row before it. */
static int score_frame(const frames *x, spoken *s, const float *hidden, int frame) {
    rnl_session *session = x->session;
    depth_work *k = &session->pass->depth;
    const compute c = session_compute(session);
    const int books = x->model->backbone.codebook_count, code_count = k->w->code_count;
    const int32_t *codes = s->codes + (size_t)frame * (size_t)books;
    int32_t decided[RNL_CODEBOOK_CAP];
    depth_row row = {.codes = decided, .given = codes, .random = &session->live->random};
    double sum = 0, weighted = 0;
    depth_frames(k, &c, hidden, &row, 1);
    for (int b = 0; b < books; b++) {
        const float *logits = k->logits + (size_t)b * (size_t)k->row_cap * (size_t)code_count;
        const double normaliser = scoring_normaliser(logits, code_count);
        if (!isfinite(normaliser))
            return complain(EXIT_MODEL, "%s: the logits are no numbers: the file is damaged",
                            x->model->path);
        const double nll = normaliser - (double)logits[codes[b]];
        sum += nll;
        weighted += x->weights[b] * nll;
        s->best_count += scoring_best(logits, code_count) == codes[b];
    }
    s->code_count += books;
    moments_add(&s->mean, sum / books);
    moments_add(&s->weighted, weighted);
    return EXIT_OK;
}

static int score(const frames *x, spoken *s) {
    rnl_session *session = x->session;
    pass *p = session->pass;
    const compute c = session_compute(session);
    const size_t width = (size_t)backbone_width(&x->model->backbone);
    const int total = session->live->position_count, first = total - s->count;
    int code = EXIT_OK;
    stack_reset(&session->live->backbone);
    for (int at = 0, rows; at < total && code == EXIT_OK; at += rows) {
        if (interrupted()) return EXIT_STOPPED;
        const int step = session->config.step_positions;
        rows = total - at < step ? total - at : step;
        memcpy(p->x, session->embeddings + (size_t)at * width, (size_t)rows * width * sizeof *p->x);
        pass_forward(p, &c, &session->live->backbone, rows, false, p->x);
        for (int t = 0; t < rows && code == EXIT_OK; t++)
            if (at + t >= first) code = score_frame(x, s, p->x + (size_t)t * width, at + t - first);
    }
    return code;
}

static int print_line(const spoken *s) {
    json_draft *o = json_new_object();
    json_set(o, "index", json_new_int((int64_t)s->index));
    json_set(o, "codes", json_new_string(s->path, strlen(s->path)));
    json_set(o, "frames", json_new_int(s->mean.count));
    json_set(o, "nll", json_new_number(moments_mean(&s->mean)));
    json_set(o, "weighted", json_new_number(moments_mean(&s->weighted)));
    json_set(o, "best", json_new_number((double)s->best_count / (double)s->code_count));
    return print_json(o);
}

static void add(moments *to, const moments *from) {
    to->count += from->count;
    to->sum += from->sum;
    to->squares += from->squares;
}

static int take(frames *x, size_t index) {
    spoken s = {.index = index, .path = x->refs.paths[index], .text = x->refs.texts[index]};
    int code = read_codes(x, &s);
    if (code == EXIT_OK) code = lay_out(x, &s);
    if (code == EXIT_OK) code = score(x, &s);
    if (code == EXIT_OK && x->o->json) code = print_line(&s);
    free(s.codes);
    add(&x->mean, &s.mean);
    add(&x->weighted, &s.weighted);
    x->best_count += s.best_count;
    x->code_count += s.code_count;
    return code;
}

static int report(frames *x) {
    const double best = (double)x->best_count / (double)x->code_count;
    progress_clear(&x->shown);
    if (!x->o->json) {
        printf("nats per code        %.4f ± %.4f  of %lld frames, %zu texts\n",
               moments_mean(&x->mean), moments_error(&x->mean), (long long)x->mean.count,
               x->refs.count);
        printf("weighted             %.4f ± %.4f\n", moments_mean(&x->weighted),
               moments_error(&x->weighted));
        printf("best codes           %.2f %%\n", 100 * best);
        return flush_output();
    }
    json_draft *all = json_new_object(), *o = json_new_object();
    json_set(o, "task", json_new_string("frames", 6));
    json_set(o, "documents", json_new_int((int64_t)x->refs.count));
    json_set(o, "frames", json_new_int(x->mean.count));
    json_set(o, "nll", json_new_number(moments_mean(&x->mean)));
    json_set(o, "error", json_new_number(moments_error(&x->mean)));
    json_set(o, "weighted", json_new_number(moments_mean(&x->weighted)));
    json_set(o, "weighted_error", json_new_number(moments_error(&x->weighted)));
    json_set(o, "best", json_new_number(best));
    json_set(all, "total", o);
    return print_json(all);
}

static int work(frames *x) {
    int code = EXIT_OK;
    x->model = open_model(x->o, &code);
    if (x->model == NULL) return code;
    if (!rnl_model_can(x->model, RNL_MODE_SPEAK) || x->model->ids.audio_start < 0)
        return complain(EXIT_MODEL, "%s: the model cannot speak", x->model->path);
    find_weights(x);
    x->session = open_session(x->o, x->model, &code);
    progress_begin(&x->shown, x->o);
    for (size_t i = 0; i < x->refs.count && code == EXIT_OK; i++) {
        code = take(x, i);
        progress_work(&x->shown, "listening", (double)(i + 1) / (double)x->refs.count, "");
    }
    return code == EXIT_OK ? report(x) : code;
}

int eval_frames(const options *o) {
    frames x = {.o = o};
    rnl_error error = {0};
    if (o->data.count != 1)
        return complain(EXIT_USAGE, "eval: give the documents of the task with --data FILE");
    if (o->shots > 0 || o->as_chat || o->output != NULL || o->resume || o->against != NULL)
        return complain(EXIT_USAGE,
                        "eval: frames have no --shots, --chat, -o, --resume or --against");
    source_note(o->data.at[0]);
    if (refs_read(o->data.at[0], "codes", &x.refs, &error) != RNL_OK)
        return complain(error.status == RNL_ERR_MEMORY ? EXIT_FAILED : EXIT_INPUT, "%s",
                        error.text);
    const int code = x.refs.count > 0
                         ? work(&x)
                         : complain(EXIT_INPUT, "%s: there is no text in it", o->data.at[0]);
    rnl_session_destroy(&x.session);
    rnl_model_close(&x.model);
    refs_free(&x.refs);
    return code;
}
