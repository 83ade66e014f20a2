/* See realtime_hearing.h. */
#include "serve/realtime_hearing.h"

#include <stdlib.h>
#include <string.h>

#include "serve/realtime_commands.h"

enum {
    CLIP_CAP = 16,   /* that wait */
    SAID_MAX = 65536 /* bytes of one transcript */
};

typedef struct clip {
    uint32_t key;
    float *samples; /* [count]; NULL: the engine has them */
    size_t count;
    bool logprobs; /* its tokens are told */
} clip;

/* Tokens of a transcript, and how many of them were told with its text. */
typedef struct token_list {
    realtime_token *list; /* [count]; NULL: none are wanted */
    size_t count, cap, told;
} token_list;

struct realtime_hearing {
    work *work;
    conversation_config beside;
    clip clips[CLIP_CAP]; /* the first one is heard, */
    int clip_count;
    conversation *talk; /* with this; NULL: none is had yet */
    bool over;          /* its end was told */
    api_error why;      /* it failed */
    char *said;         /* [said_size] of the transcript */
    size_t said_size;
    token_list tokens;
    uint32_t refused[CLIP_CAP]; /* keys of clips for which there was no room, to be told */
    int refused_count;
    int64_t worked_us; /* for those that are over */
};

int64_t realtime_hearing_worked_us(const realtime_hearing *h) {
    return h->worked_us + (h->talk != NULL ? conversation_worked_us(h->talk) : 0);
}

bool realtime_hearing_is_busy(const realtime_hearing *h) {
    return h->clip_count > (h->over ? 1 : 0) || h->refused_count > 0;
}

/* ---- Beginning and ending one ---- */

static void end(realtime_hearing *h) {
    h->worked_us = realtime_hearing_worked_us(h);
    conversation_close(&h->talk);
    free(h->clips[0].samples);
    free(h->tokens.list);
    h->tokens = (token_list){0};
    h->over = false;
    h->clip_count--;
    memmove(h->clips, h->clips + 1, (size_t)h->clip_count * sizeof *h->clips);
}

static void refuse(realtime_hearing *h, uint32_t key) {
    if (h->refused_count < CLIP_CAP) h->refused[h->refused_count++] = key;
}

static bool take(void *context, const command *what) {
    return conversation_ask(context, what);
}

/* False: memory is exhausted. */
static bool grow(token_list *l) {
    if (l->count < l->cap) return true;
    const size_t cap = 2 * l->cap + 64;
    realtime_token *grown = realloc(l->list, cap * sizeof *grown);
    if (grown == NULL) return false;
    l->list = grown;
    l->cap = cap;
    return true;
}

/* All that makes a transcript of the first clip. */
static bool ask(realtime_hearing *h) {
    clip *c = &h->clips[0];
    const rnl_model *model = work_model(h->work);
    realtime_sink s = {.model = model, .take = take, .context = h->talk};
    const realtime_prompt prompt = {.mode = RNL_MODE_TRANSCRIBE, .retention = {.keeps_all = true}};
    const realtime_wish wish = {.mode = RNL_MODE_TRANSCRIBE, .temperature = -1};
    const command sound = {
        .kind = COMMAND_CLIP, .samples = c->samples, .count = c->count, .rate = RNL_RATE_IN};
    command begin;
    s.refused = !realtime_begin_command(model, c->key, &wish, NULL, &begin) ||
                (c->logprobs && !grow(&h->tokens));
    begin.tokens = c->logprobs;
    realtime_put_prompt(&s, &prompt);
    realtime_put(&s, &sound);
    realtime_put(&s, &begin);
    c->samples = NULL; /* the command's own now */
    return !s.refused;
}

/* The first clip that waits, when a conversation can be had. */
static void begin(realtime_hearing *h) {
    api_error error;
    while (h->talk == NULL && h->clip_count > 0) {
        h->talk = conversation_open(h->work, &h->beside, &error);
        if (h->talk == NULL) return; /* it waits */
        h->said_size = 0;
        if (ask(h)) return;
        refuse(h, h->clips[0].key);
        end(h);
    }
}

void realtime_hearing_add(realtime_hearing *h, uint32_t key, float *samples, size_t count,
                          bool logprobs) {
    if (h->clip_count == CLIP_CAP || !rnl_model_can(work_model(h->work), RNL_MODE_TRANSCRIBE)) {
        free(samples);
        refuse(h, key);
        return;
    }
    h->clips[h->clip_count++] = (clip){key, samples, count, logprobs};
    begin(h);
}

void realtime_hearing_tick(realtime_hearing *h) {
    begin(h);
}

/* ---- News ---- */

static bool keep_text(realtime_hearing *h, const event *e) {
    if (h->said == NULL) h->said = malloc(SAID_MAX);
    if (h->said == NULL || e->size > SAID_MAX - h->said_size) return false;
    memcpy(h->said + h->said_size, e->text, e->size);
    h->said_size += e->size;
    return true;
}

static void keep_tokens(token_list *l, const event *e) {
    for (size_t i = 0; i < e->count && grow(l); i++) {
        const work_token *t = &e->tokens[i * (1 + (size_t)e->alternatives)];
        l->list[l->count++] = (realtime_token){t->bytes, t->size, t->logprob};
    }
}

/* Those that came since the last text, or all. */
static void tell_tokens(token_list *l, bool all, realtime_news_item *news) {
    if (l->list == NULL) return;
    const size_t from = all ? 0 : l->told;
    news->tokens = l->list + from;
    news->token_count = l->count - from;
    l->told = l->count;
}

static void tell_end(realtime_hearing *h, const event *e, realtime_news_item *news) {
    const clip *c = &h->clips[0];
    h->over = true;
    h->why = e->error;
    if (e->error.code != API_OK) {
        news->kind = REALTIME_UNHEARD;
        news->code = e->error.code;
        news->text = h->why.message;
        news->size = strlen(h->why.message);
        return;
    }
    news->kind = REALTIME_HEARD_ALL;
    news->text = h->said;
    news->size = h->said_size;
    news->seconds = (double)c->count / RNL_RATE_IN;
    tell_tokens(&h->tokens, true, news);
}

static bool next_refused(realtime_hearing *h, realtime_news_item *news) {
    static const char text[] = "this machine has no room for it now";
    if (h->refused_count == 0) return false;
    *news = (realtime_news_item){.kind = REALTIME_UNHEARD,
                                 .key = h->refused[--h->refused_count],
                                 .code = API_SERVER_OVERLOADED,
                                 .text = text,
                                 .size = sizeof text - 1};
    return true;
}

bool realtime_hearing_next(realtime_hearing *h, realtime_news_item *news) {
    event e;
    if (h->over) { /* what was told of it lasted until now */
        end(h);
        begin(h);
    }
    if (next_refused(h, news)) return true;
    while (h->talk != NULL && conversation_next(h->talk, &e)) {
        *news = (realtime_news_item){
            .kind = REALTIME_HEARD, .key = h->clips[0].key, .text = e.text, .size = e.size};
        if (e.kind == EVENT_TOKENS) {
            keep_tokens(&h->tokens, &e);
        } else if (e.kind == EVENT_TEXT && keep_text(h, &e)) {
            tell_tokens(&h->tokens, false, news);
            return true;
        } else if (e.kind == EVENT_ENDED || e.kind == EVENT_LOST) {
            tell_end(h, &e, news);
            return true;
        }
    }
    return false;
}

/* ---- Life ---- */

realtime_hearing *realtime_hearing_open(work *w, const conversation_config *beside) {
    realtime_hearing *h = calloc(1, sizeof *h);
    if (h == NULL) return NULL;
    h->work = w;
    h->beside = *beside;
    h->beside.class = WORK_IDLE;
    return h;
}

void realtime_hearing_close(realtime_hearing **out) {
    realtime_hearing *h = *out;
    *out = NULL;
    if (h == NULL) return;
    while (h->clip_count > 0) end(h);
    free(h->said);
    free(h);
}
