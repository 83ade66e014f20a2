#include "apps/eval_transcripts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/documents.h"
#include "apps/ending.h"
#include "apps/inputs.h"
#include "apps/messages.h"
#include "apps/moments.h"
#include "apps/open.h"
#include "apps/progress.h"
#include "apps/refs.h"
#include "apps/scoring.h"
#include "apps/sources.h"
#include "audio/file.h"
#include "core/utf8.h"
#include "engine/session.h"

enum { SECONDS_DEFAULT = 60 };

typedef struct transcripts {
    const options *o;
    refs refs;
    sound_config sound;
    double seconds_max;
    rnl_model *model;
    rnl_session *session;
    progress shown;
    moments nll; /* of each token */
    int64_t character_count;
} transcripts;

/* A reference at work. */
typedef struct reference {
    size_t index;
    const char *path, *text;
    int32_t *ids; /* [count] of the text */
    size_t count;
    moments nll;
    int64_t character_count;
} reference;

static int failed(const reference *r, const rnl_error *error) {
    return complain(exit_code(error), "%s: %s", r->path, error->text);
}

static int64_t characters_of(const char *text) {
    const size_t size = strlen(text);
    int64_t count = 0;
    uint32_t c;
    for (size_t at = 0; at < size; count++) at += utf8_next(text + at, size - at, &c);
    return count;
}

/* The prompt of transcription with the clip, encoded; the reply is begun, nothing decided. */
static int hear(const transcripts *x, const reference *r) {
    rnl_error error = {0};
    sound s;
    rnl_turn_config turn = rnl_turn_config_default(x->model, RNL_MODE_TRANSCRIBE);
    const char *system = x->o->system != NULL
                             ? x->o->system
                             : rnl_model_system_prompt(x->model, RNL_MODE_TRANSCRIBE);
    source_note(r->path);
    if (sound_read(r->path, x->seconds_max, &x->sound, &s, &error) != RNL_OK)
        return complain(EXIT_INPUT, "%s", error.text);
    rnl_session_reset(x->session);
    rnl_status status = RNL_OK;
    if (system != NULL)
        status = rnl_session_add_text(x->session, RNL_ROLE_SYSTEM, system, strlen(system), &error);
    if (status == RNL_OK)
        status = rnl_session_add_audio(x->session, s.samples, s.count, s.rate, &error);
    if (status == RNL_OK) status = rnl_session_begin(x->session, &turn, &error);
    sound_free(&s);
    while (status >= 0 && rnl_session_stage(x->session) == RNL_STAGE_ENCODE) {
        if (interrupted()) return EXIT_STOPPED;
        status = rnl_session_step(x->session, &error);
    }
    return status >= 0 ? EXIT_OK : failed(r, &error);
}

/* The reference behind what was heard: rows of the history, as the model would write them. */
static int write_down(const transcripts *x, reference *r) {
    rnl_error error = {0};
    const backbone_weights *w = &x->model->backbone;
    rnl_session *s = x->session;
    if (document_encode(x->model, r->path, r->text, strlen(r->text), 0, &r->ids, &r->count,
                        &error) != RNL_OK)
        return complain(error.status == RNL_ERR_DATA ? EXIT_INPUT : exit_code(&error), "%s",
                        error.text);
    if (r->count == 0)
        return complain(EXIT_INPUT, "%s: the text of its reference is empty", r->path);
    if ((size_t)s->config.context_cap - (size_t)s->live->position_count < r->count)
        return complain(EXIT_INPUT, "%s: does not fit into the --context of %d", r->path,
                        s->config.context_cap);
    for (size_t i = 0; i < r->count; i++)
        backbone_embed_text(w, &s->pass->compute, r->ids[i], session_append(s, r->ids[i]));
    return EXIT_OK;
}

static int score_row(const transcripts *x, reference *r, const float *hidden, int32_t id) {
    const backbone_weights *w = &x->model->backbone;
    pass *p = x->session->pass;
    const int vocab = backbone_vocab_count(w);
    const compute c = session_compute(x->session);
    backbone_logits(w, &c, hidden, p->logits, 1);
    const double normaliser = scoring_normaliser(p->logits, vocab);
    if (!isfinite(normaliser))
        return complain(EXIT_MODEL, "%s: the logits are no numbers: the file is damaged",
                        x->model->path);
    moments_add(&r->nll, normaliser - (double)p->logits[id]);
    return EXIT_OK;
}

/* The whole history through the backbone, from its beginning; each token by the row before it. */
static int score(const transcripts *x, reference *r) {
    rnl_session *s = x->session;
    pass *p = s->pass;
    const compute c = session_compute(s);
    const size_t width = (size_t)backbone_width(&x->model->backbone);
    const int total = s->live->position_count - 1, first = total - (int)r->count;
    int code = EXIT_OK;
    stack_reset(&s->live->backbone);
    for (int at = 0, rows; at < total && code == EXIT_OK; at += rows) {
        if (interrupted()) return EXIT_STOPPED;
        const int step = s->config.step_positions;
        rows = total - at < step ? total - at : step;
        memcpy(p->x, s->embeddings + (size_t)at * width, (size_t)rows * width * sizeof *p->x);
        pass_forward(p, &c, &s->live->backbone, rows, false, p->x);
        for (int t = 0; t < rows && code == EXIT_OK; t++)
            if (at + t >= first)
                code = score_row(x, r, p->x + (size_t)t * width, r->ids[at + t - first]);
    }
    return code;
}

static int print_line(const reference *r) {
    json_draft *o = json_new_object();
    json_set(o, "index", json_new_int((int64_t)r->index));
    json_set(o, "audio_filepath", json_new_string(r->path, strlen(r->path)));
    json_set(o, "nll", json_new_number(r->nll.sum));
    json_set(o, "tokens", json_new_int(r->nll.count));
    json_set(o, "characters", json_new_int(r->character_count));
    return print_json(o);
}

static int take(transcripts *x, size_t index) {
    reference r = {.index = index, .path = x->refs.paths[index], .text = x->refs.texts[index]};
    r.character_count = characters_of(r.text);
    int code = hear(x, &r);
    if (code == EXIT_OK) code = write_down(x, &r);
    if (code == EXIT_OK) code = score(x, &r);
    if (code == EXIT_OK && x->o->json) code = print_line(&r);
    free(r.ids);
    x->nll.count += r.nll.count;
    x->nll.sum += r.nll.sum;
    x->nll.squares += r.nll.squares;
    x->character_count += r.character_count;
    return code;
}

static int report(transcripts *x) {
    const double mean = moments_mean(&x->nll), error = moments_error(&x->nll);
    const double bits = x->nll.sum / log(2) / (double)x->character_count;
    progress_clear(&x->shown);
    if (!x->o->json) {
        printf("nats per token       %.4f ± %.4f  of %lld\n", mean, error, (long long)x->nll.count);
        printf("bits per character   %.4f           of %lld, %zu recordings\n", bits,
               (long long)x->character_count, x->refs.count);
        return flush_output();
    }
    json_draft *all = json_new_object(), *o = json_new_object();
    json_set(o, "task", json_new_string("transcripts", 11));
    json_set(o, "documents", json_new_int((int64_t)x->refs.count));
    json_set(o, "nll_per_token", json_new_number(mean));
    json_set(o, "error", json_new_number(error));
    json_set(o, "bits_per_character", json_new_number(bits));
    json_set(o, "tokens", json_new_int(x->nll.count));
    json_set(o, "characters", json_new_int(x->character_count));
    json_set(all, "total", o);
    return print_json(all);
}

static int work(transcripts *x) {
    int code = EXIT_OK;
    options with_clips = *x->o;
    with_clips.seconds_max = x->seconds_max;
    x->model = open_model(x->o, &code);
    if (x->model == NULL) return code;
    if (!rnl_model_can(x->model, RNL_MODE_TRANSCRIBE))
        return complain(EXIT_MODEL,
                        "%s: the model cannot transcribe: it has no audio encoder or no "
                        "vocabulary",
                        x->model->path);
    x->session = open_session(&with_clips, x->model, &code);
    progress_begin(&x->shown, x->o);
    for (size_t i = 0; i < x->refs.count && code == EXIT_OK; i++) {
        code = take(x, i);
        progress_work(&x->shown, "listening", (double)(i + 1) / (double)x->refs.count, "");
    }
    return code == EXIT_OK ? report(x) : code;
}

int eval_transcripts(const options *o) {
    transcripts x = {.o = o, .seconds_max = o->seconds_max > 0 ? o->seconds_max : SECONDS_DEFAULT};
    rnl_error error = {0};
    if (o->data.count != 1)
        return complain(EXIT_USAGE, "eval: give the documents of the task with --data FILE");
    if (o->shots > 0 || o->as_chat || o->output != NULL || o->resume || o->against != NULL)
        return complain(EXIT_USAGE, "eval: transcripts have no --shots, --chat, -o, --resume or "
                                    "--against");
    int code = inputs_sound_config(o, &x.sound);
    if (code != EXIT_OK) return code;
    source_note(o->data.at[0]);
    if (refs_read(o->data.at[0], "audio_filepath", &x.refs, &error) != RNL_OK)
        return complain(error.status == RNL_ERR_MEMORY ? EXIT_FAILED : EXIT_INPUT, "%s",
                        error.text);
    code = x.refs.count > 0
               ? work(&x)
               : complain(EXIT_INPUT, "%s: there is no reference in it", o->data.at[0]);
    rnl_session_destroy(&x.session);
    rnl_model_close(&x.model);
    refs_free(&x.refs);
    return code;
}
