/* Conversations as the loop thread has them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash_table.h"
#include "serve/work_inner.h"

/* ---- Opening ---- */

static bool make_rings(conversation *c) {
    return ring_create(COMMAND_CAP, sizeof(queued_command), &c->commands) == RNL_OK &&
           ring_create(AUDIO_CAP, sizeof(float), &c->audio) == RNL_OK &&
           ring_create(EVENT_CAP, sizeof(queued_event), &c->events) == RNL_OK &&
           ring_create(TEXT_CAP, 1, &c->text) == RNL_OK &&
           ring_create(SOUND_CAP, sizeof(float), &c->sound) == RNL_OK;
}

/* NULL: there are none, or no memory; then nothing is kept of it. */
static uint64_t *copy_steps(const conversation_config *config) {
    const size_t size = (size_t)config->step_count * sizeof *config->steps;
    uint64_t *copy = size > 0 && config->caller != 0 ? malloc(size) : NULL;
    if (copy != NULL) memcpy(copy, config->steps, size);
    return copy;
}

static conversation *make(work *w, const conversation_config *config) {
    conversation *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->work = w;
    c->config = *config;
    atomic_init(&c->audio_rate, RNL_RATE_IN);
    atomic_init(&c->cancelled, 0);
    atomic_init(&c->worked_us, 0);
    c->text_piece = malloc(PIECE_TEXT);
    c->sound_piece = malloc(PIECE_SOUND * sizeof *c->sound_piece);
    c->generation = atomic_load(&w->generation);
    c->config.steps = NULL;
    c->steps = copy_steps(config);
    c->step_count = c->steps != NULL ? config->step_count : 0;
    if (c->text_piece != NULL && c->sound_piece != NULL && make_rings(c)) return c;
    conversation_free(c);
    return NULL;
}

/* Where it counts. */
static int *count_of(const conversation *c) {
    work *w = c->work;
    return c->is_recording    ? &w->recording_count
           : c->config.beside ? &w->beside_count
                              : &w->open_count;
}

/* Hands it to the engine thread. */
static conversation *send(conversation *c, api_error *error) {
    work *w = c->work;
    if (ring_write(w->opened, &c, 1) != 1) {
        conversation_free(c);
        (void)api_fail(error, API_SERVER_OVERLOADED, NULL, "too many conversations begin at once");
        return NULL;
    }
    c->loop_next = w->open;
    if (c->loop_next != NULL) c->loop_next->loop_before = c;
    w->open = c;
    ++*count_of(c);
    work_note_asked(w);
    return c;
}

/* One key holds no more than its share. */
static bool owner_may(const work *w, int owner, int session_max, api_error *error) {
    int count = 0, most = w->config.sessions_of_owner;
    if (owner <= 0) return true;
    if (most <= 0) most = session_max > 1 ? session_max / 2 : 1;
    for (const conversation *c = w->open; c != NULL; c = c->loop_next)
        count += !c->is_recording && !c->config.beside && c->config.owner == owner;
    if (count < most) return true;
    return api_fail(error, API_RATE_LIMIT_EXCEEDED, NULL,
                    "this key has %d conversations open, as many as one key may; close one", count);
}

static bool may_open(work *w, bool recorded, int owner, api_error *error) {
    work_facts f;
    work_get_facts(w, &f);
    if (f.draining)
        return api_fail(error, API_DRAINING, NULL,
                        "the server is ending; ask again, another one answers then");
    if (f.starting) return api_fail(error, API_STARTING, NULL, "the server is starting; ask again");
    if (recorded && f.transcripts >= w->config.jobs + LIMIT_JOBS_WAITING)
        return api_fail(error, API_SERVER_OVERLOADED, NULL,
                        "%d transcriptions wait already; ask again later", LIMIT_JOBS_WAITING);
    if (!recorded && !f.admits) {
        (void)api_fail(error, API_SERVER_OVERLOADED, NULL,
                       "%d conversations are open, as many as this machine serves; ask again later",
                       f.conversations);
        error->retry_after = f.load < 0.9 ? 2 : 5;
        return false;
    }
    return recorded || owner_may(w, owner, f.session_max, error);
}

/* One beside a conversation that is open; as long as that is, also while the server ends. */
static bool may_open_beside(const work *w, api_error *error) {
    work_facts f;
    work_get_facts(w, &f);
    if (f.beside < f.beside_max) return true;
    return api_fail(error, API_SERVER_OVERLOADED, NULL, "this machine has no room for it now");
}

static conversation *no_memory(api_error *error) {
    (void)api_fail(error, API_SERVER_OVERLOADED, NULL, "memory is exhausted");
    return NULL;
}

uint64_t work_new_kin(work *w) {
    return ++w->last_kin;
}

conversation *conversation_open(work *w, const conversation_config *config, api_error *error) {
    const bool may =
        config->beside ? may_open_beside(w, error) : may_open(w, false, config->owner, error);
    if (!config->beside) work_count_opened(w, may ? API_OK : error->code);
    if (!may) return NULL;
    conversation *c = make(w, config);
    return c != NULL ? send(c, error) : no_memory(error);
}

conversation *conversation_open_transcript(work *w, const conversation_config *config,
                                           const rnl_transcript_config *transcript,
                                           api_error *error) {
    if (!rnl_model_can(w->model, RNL_MODE_TRANSCRIBE)) {
        (void)api_fail(error, API_MODEL_NOT_FOUND, "model", "this model does not transcribe");
        return NULL;
    }
    if (!may_open(w, true, config->owner, error)) return NULL;
    conversation *c = make(w, config);
    if (c == NULL) return no_memory(error);
    c->is_recording = true;
    c->transcript = *transcript;
    c->transcript.adapter = config->adapter;
    if (transcript->system != NULL) {
        c->transcript.system = strdup(transcript->system);
        if (c->transcript.system == NULL) {
            conversation_free(c);
            return no_memory(error);
        }
    }
    return send(c, error);
}

int64_t conversation_worked_us(const conversation *c) {
    return atomic_load(&c->worked_us);
}

void conversation_close(conversation **out) {
    conversation *c = *out;
    if (c == NULL) return;
    *out = NULL;
    work *w = c->work;
    if (c->loop_before != NULL)
        c->loop_before->loop_next = c->loop_next;
    else
        w->open = c->loop_next;
    if (c->loop_next != NULL) c->loop_next->loop_before = c->loop_before;
    --*count_of(c);
    free(c->owned);
    c->owned = NULL;
    atomic_store(&c->closed, true);
    work_note_asked(w);
}

void conversation_free(conversation *c) {
    queued_command q;
    queued_event e;
    if (c->has_head) command_free(&c->head.what);
    while (c->commands != NULL && ring_read(c->commands, &q, 1) == 1) command_free(&q.what);
    while (c->events != NULL && ring_read(c->events, &e, 1) == 1) free(e.owned);
    ring_destroy(&c->commands);
    ring_destroy(&c->audio);
    ring_destroy(&c->events);
    ring_destroy(&c->text);
    ring_destroy(&c->sound);
    free(c->owned);
    free(c->steps);
    free(c->text_piece);
    free(c->sound_piece);
    if (c->is_recording) free((char *)c->transcript.system);
    free(c);
}

/* ---- Commands ---- */

char *command_text(const char *text, size_t size) {
    char *copy = malloc(size + 1);
    if (copy != NULL && size > 0) memcpy(copy, text, size);
    return copy;
}

uint64_t command_sum(uint64_t before, const command *what) {
    const int64_t fields[] = {(int64_t)what->kind, (int64_t)what->role, what->past,  what->one_view,
                              what->rate,          what->width,         what->height};
    uint64_t sum = hash_bytes(HASH_START ^ before, fields, sizeof fields);
    const struct {
        const void *bytes;
        size_t size;
    } parts[] = {{what->text, what->text_size},
                 {what->json, what->json_size},
                 {what->samples, what->count * sizeof *what->samples},
                 {what->bytes, what->size}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        sum = hash_bytes(sum, &parts[i].size, sizeof parts[i].size);
        if (parts[i].bytes != NULL) sum = hash_bytes(sum, parts[i].bytes, parts[i].size);
    }
    return sum;
}

void command_free(command *what) {
    free(what->text);
    free(what->json);
    free(what->samples);
    free(what->bytes);
    *what = (command){0};
}

size_t conversation_room(const conversation *c) {
    return ring_room(c->commands);
}

bool conversation_ask(conversation *c, const command *what) {
    assert(what->kind != COMMAND_BEGIN || what->tag > 0);
    const queued_command q = {.what = *what, .audio_at = ring_written(c->audio)};
    bool taken = ring_write(c->commands, &q, 1) == 1;
    if (!taken) {
        atomic_store(&c->full, true);
        taken = ring_write(c->commands, &q, 1) == 1; /* one may have been done just before */
    }
    if (taken) work_note_asked(c->work);
    return taken;
}

size_t conversation_push(conversation *c, const float *samples, size_t count, int rate) {
    atomic_store(&c->audio_rate, rate);
    const size_t taken = ring_write(c->audio, samples, count);
    if (taken > 0) work_note_asked(c->work);
    return taken;
}

void conversation_cancel(conversation *c, int64_t tag) {
    if (tag > atomic_load(&c->cancelled)) atomic_store(&c->cancelled, tag);
    work_note_asked(c->work);
}

bool conversation_look(conversation *c) {
    if (c->has_head) return true;
    c->has_head = ring_read(c->commands, &c->head, 1) == 1;
    if (c->has_head && atomic_exchange(&c->full, false)) {
        atomic_store(&c->told, true);
        c->work->spoke = true;
    }
    return c->has_head;
}

/* ---- Events ---- */

bool conversation_takes(const conversation *c, size_t events) {
    return ring_room(c->events) >= events;
}

void conversation_tell(conversation *c, const queued_event *e) {
    const size_t written = ring_write(c->events, e, 1);
    assert(written == 1);
    (void)written;
    atomic_store(&c->told, true);
    c->work->spoke = true;
}

void conversation_tell_error(conversation *c, event_kind kind, int64_t tag,
                             const api_error *error) {
    api_error *copy = malloc(sizeof *copy);
    if (copy != NULL) *copy = *error;
    conversation_tell(c, &(queued_event){.kind = kind, .tag = tag, .owned = copy, .error = copy});
}

bool conversation_next(conversation *c, event *e) {
    queued_event q;
    free(c->owned);
    c->owned = NULL;
    if (ring_read(c->events, &q, 1) != 1) return false;
    *e = (event){.kind = q.kind,
                 .tag = q.tag,
                 .seconds = q.seconds,
                 .faults = q.faults,
                 .finish = q.finish,
                 .usage = q.usage};
    c->owned = q.owned;
    if (q.error != NULL) e->error = *q.error;
    switch (q.kind) {
    case EVENT_TEXT:
        e->size = ring_read(c->text, c->text_piece, q.size);
        e->text = c->text_piece;
        break;
    case EVENT_SOUND:
        e->count = ring_read(c->sound, c->sound_piece, q.count);
        e->samples = c->sound_piece;
        break;
    case EVENT_TOKENS:
        e->tokens = q.owned;
        e->count = q.count;
        e->alternatives = q.alternatives;
        break;
    case EVENT_CALL:
    case EVENT_CUT:
        e->text = q.owned != NULL ? q.owned : "";
        e->size = q.owned != NULL ? q.size : 0;
        break;
    case EVENT_PIECE:
        e->piece = q.owned;
        break;
    case EVENT_LOST:
    case EVENT_REFUSED:
        if (q.error == NULL) /* there was no memory for its sentence */
            (void)api_fail(&e->error, API_ENGINE_FAILURE, NULL, "memory is exhausted");
        break;
    default:
        break;
    }
    /* What was taken makes room for more. */
    if (q.kind == EVENT_TEXT || q.kind == EVENT_SOUND) work_note_asked(c->work);
    return true;
}

void work_dispatch(work *w) {
    /* ready() may close this one and others, and open new ones: begin again behind each. */
    for (conversation *c = w->open; c != NULL;) {
        if (!atomic_exchange(&c->told, false)) {
            c = c->loop_next;
            continue;
        }
        c->config.ready(c->config.context);
        c = w->open;
    }
    looks_dispatch(w);
}
