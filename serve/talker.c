/* A session of the batch as a conversation: commands in, what is said out. Engine thread. */
#include <stdlib.h>
#include <string.h>

#include <runnel/runnel_chat.h>

#include "core/clock.h"
#include "engine/session.h"
#include "serve/work_inner.h"

enum {
    PLACES = 16,           /* of a conversation, where another can go on from it */
    PATIENCE_US = 1000000, /* no reply is told sooner that there is no place for it: what the batch
                            * says may be of the one before */
    TALK_US = 300000,      /* until the first work on a spoken turn, */
    REQUEST_US = 5000000,  /* on a request, */
    IDLE_US = 60000000,    /* on what nobody waits for */
    AHEAD_MOST_US = 10000000, /* of being played, on an idle machine */
    AHEAD_LEAST_US = 1500000  /* and on one that is loaded */
};

rnl_session_config talker_session_config(const work *w) {
    rnl_session_config s = rnl_session_config_for(w->model);
    s.context_cap = w->config.context_cap;
    s.clip_seconds_max = w->config.clip_seconds_max;
    s.kv_cache = w->config.kv_cache;
    s.snapshot_cap = CONVERSATION_SLOTS;
    s.kept_places = PLACES;
    s.alternatives_max = RNL_ALTERNATIVES_CAP;
    s.image_views_max = rnl_image_views_max(w->model);
    return s;
}

bool talker_open(conversation *c, api_error *error) {
    work *w = c->work;
    talker *t = &c->talker;
    rnl_session_config config = talker_session_config(w);
    rnl_status status;
    rnl_error e = {0};
    config.seed = c->config.seed;
    config.drop_oldest_turns = c->config.drop_oldest_turns;
    config.adapter = c->config.adapter;
    t->session = kept_take(w, c);
    if (t->session != NULL) {
        rnl_session_renew(t->session, c->config.seed);
        return true;
    }
    kept_make_room(w, 1);
    do status = rnl_session_create_in(w->batch, &config, &t->session, &e);
    while (status != RNL_OK && kept_drop_oldest(w));
    return status == RNL_OK || api_fail_library(error, &e, NULL, false);
}

static void discard(rnl_session *s) {
    char text[256];
    float samples[1024];
    size_t got;
    while (rnl_session_pull_text(s, text, sizeof text, &got) == RNL_OK) continue;
    while (rnl_session_pull_samples(s, samples, 1024, &got) == RNL_OK) continue;
}

/* What one reply alone was held to. */
static void let_go(talker *t) {
    rnl_constraint_destroy(&t->some);
    rnl_constraint_destroy(&t->answer);
}

void talker_close(conversation *c) {
    talker *t = &c->talker;
    if (t->session != NULL && t->reply.going) {
        rnl_session_stop(t->session);
        discard(t->session);
    }
    if (t->session == NULL || !kept_put(c->work, c, clock_us())) rnl_session_destroy(&t->session);
    rnl_constraint_destroy(&t->tools);
    let_go(t);
}

/* ---- A reply's end ---- */

/* Nothing more comes of the reply, however it went. */
static void end_reply(conversation *c, rnl_finish finish, const api_error *error) {
    talker *t = &c->talker;
    rnl_reply reply;
    rnl_session_get_reply(t->session, &reply);
    t->reply.going = t->held = false;
    t->reply.usage.output_text = (int)reply.text_count;
    t->reply.usage.output_audio = (int)reply.frame_count;
    work_count_reply(c->work, &t->reply);
    t->done = rnl_session_position_count(t->session);
    queued_event e = {
        .kind = EVENT_ENDED, .tag = t->reply.tag, .finish = finish, .usage = t->reply.usage};
    if (error != NULL && (e.owned = malloc(sizeof *error)) != NULL) {
        e.error = e.owned;
        *e.error = *error;
    }
    conversation_tell(c, &e);
    let_go(t);
}

static void stop_reply(conversation *c, const api_error *error) {
    rnl_session_stop(c->talker.session);
    discard(c->talker.session);
    end_reply(c, RNL_FINISH_STOPPED, error);
}

/* A pass lost the session, or found no place for it. */
static bool look_for_trouble(conversation *c, int64_t now_us) {
    talker *t = &c->talker;
    rnl_error e = {0};
    const rnl_status status = rnl_batch_status(t->session, &e);
    api_error error;
    if (status == RNL_AGAIN && t->reply.going && now_us - t->reply.begun_us > PATIENCE_US) {
        (void)api_fail(&error, API_SERVER_OVERLOADED, NULL,
                       "as many replies as this machine can speak are being spoken; ask again");
        stop_reply(c, &error);
    }
    if (status >= 0) return false;
    (void)api_fail(&error, API_ENGINE_FAILURE, NULL, "%s", e.text);
    if (t->reply.going) end_reply(c, RNL_FINISH_STOPPED, &error);
    conversation_tell_error(c, EVENT_LOST, 0, &error);
    c->lost = true;
    return true;
}

/* ---- What was said ---- */

/* RNL_DONE: the reply is made and this of it taken; RNL_AGAIN: not so, or no room. */
static rnl_status pull_text(conversation *c) {
    char text[PIECE_TEXT];
    size_t size;
    for (;;) {
        size_t cap = ring_room(c->text);
        if (cap > sizeof text) cap = sizeof text;
        if (cap < 4 || !conversation_takes(c, EVENTS_KEPT + 1)) return RNL_AGAIN;
        const rnl_status status = rnl_session_pull_text(c->talker.session, text, cap, &size);
        if (status != RNL_OK) return status;
        (void)ring_write(c->text, text, size);
        conversation_tell(
            c, &(queued_event){.kind = EVENT_TEXT, .tag = c->talker.reply.tag, .size = size});
    }
}

static rnl_status pull_sound(conversation *c, int64_t now_us) {
    float samples[PIECE_SOUND];
    talk_reply *r = &c->talker.reply;
    size_t count;
    for (;;) {
        size_t cap = ring_room(c->sound);
        if (cap > PIECE_SOUND) cap = PIECE_SOUND;
        if (cap == 0 || !conversation_takes(c, EVENTS_KEPT + 1)) return RNL_AGAIN;
        const rnl_status status = rnl_session_pull_samples(c->talker.session, samples, cap, &count);
        if (status != RNL_OK) return status;
        work_count_sound(c->work, r, now_us);
        (void)ring_write(c->sound, samples, count);
        conversation_tell(c, &(queued_event){.kind = EVENT_SOUND, .tag = r->tag, .count = count});
        if (r->first_sound_us == 0) r->first_sound_us = now_us;
        r->sample_count += (int64_t)count;
    }
}

static rnl_status pull_calls(conversation *c) {
    if (c->talker.tools == NULL) return RNL_DONE;
    while (conversation_takes(c, EVENTS_KEPT + 1)) {
        char *call = malloc(RNL_CALL_SIZE_MAX);
        if (call == NULL) return RNL_AGAIN;
        size_t size = 0;
        const rnl_status status =
            rnl_session_pull_call(c->talker.session, call, RNL_CALL_SIZE_MAX, &size);
        if (status != RNL_OK) {
            free(call);
            return status < 0 ? RNL_DONE : status; /* this turn had no tools */
        }
        char *fitting = realloc(call, size + 1);
        conversation_tell(c, &(queued_event){.kind = EVENT_CALL,
                                             .tag = c->talker.reply.tag,
                                             .size = size,
                                             .owned = fitting != NULL ? fitting : call});
    }
    return RNL_AGAIN;
}

static void hand_over(conversation *c, int64_t now_us) {
    talker *t = &c->talker;
    if (!t->reply.going) return;
    const rnl_status said = talker_tell_tokens(c) ? pull_text(c) : RNL_AGAIN,
                     spoken = pull_sound(c, now_us), called = pull_calls(c);
    if (said != RNL_DONE || spoken != RNL_DONE || called != RNL_DONE) return;
    rnl_reply reply;
    rnl_session_get_reply(t->session, &reply);
    end_reply(c, reply.finish, NULL);
}

/* ---- Commands ---- */

/* What it had may come again: a history that was changed is told anew. */
static rnl_status reset(conversation *c) {
    talker *t = &c->talker;
    rnl_session_renew(t->session, c->config.seed);
    rnl_constraint_destroy(&t->tools);
    t->done = 0;
    t->clip_us = 0;
    t->lacks = false;
    t->again_tag = 0;
    t->is_again = false;
    return RNL_OK;
}

/* Several items of one reply are told one by one; all of it comes with the first. */
static rnl_status add_again(conversation *c, const command *what, rnl_error *error) {
    talker *t = &c->talker;
    int audio_count;
    if (t->again_tag == what->tag) return RNL_OK;
    t->is_again = false;
    const rnl_status status =
        session_add_again(t->session, what->tag, &t->is_again, &audio_count, error);
    if (status == RNL_OK) t->again_tag = what->tag;
    return status;
}

static rnl_status retain(conversation *c, const command *what) {
    const work_retention *r = &what->retention;
    const session_dropping dropping = {
        .drops = !r->keeps_all, .retention = r->ratio, .position_max = r->position_max};
    session_set_dropping(c->talker.session, &dropping);
    return RNL_OK;
}

static rnl_status set_tools(conversation *c, const command *what, rnl_error *error) {
    rnl_constraint_destroy(&c->talker.tools);
    const rnl_status status = rnl_tools_create(c->work->model, what->json, what->json_size, NULL,
                                               &c->talker.tools, error);
    if (status != RNL_OK) return status;
    return rnl_session_add_tools(c->talker.session, what->text, what->text_size, c->talker.tools,
                                 error);
}

/* Makes what the reply is held to, unless it was made when the command was tried before. */
static rnl_status take_hold(conversation *c, const command *what, rnl_turn_config *turn,
                            rnl_error *error) {
    talker *t = &c->talker;
    rnl_model *model = c->work->model;
    rnl_status status = RNL_OK;
    if (what->use_tools && what->text != NULL && t->some == NULL)
        status = rnl_tools_create(model, what->text, what->text_size, NULL, &t->some, error);
    if (status == RNL_OK && what->json != NULL && t->answer == NULL)
        status = rnl_schema_create(model, what->json, what->json_size, NULL, &t->answer, error);
    turn->tools = !what->use_tools ? NULL : t->some != NULL ? t->some : t->tools;
    turn->answer = t->answer;
    return status;
}

/* Of the first `count` positions. */
static void count_kinds(const rnl_session *s, int count, int *text, int *audio, int *image) {
    session_count_kinds(s, count, audio, image);
    *text = count - *audio - *image;
}

/* What the reply that was just begun is asked on. */
static void count_input(talker *t) {
    work_usage *u = &t->reply.usage;
    const int all = rnl_session_position_count(t->session);
    const int reused = rnl_session_reused_count(t->session, NULL);
    /* What stood before the last reply, with its frames; or what was there before all of it. */
    const int before = t->done > reused ? t->done : reused;
    count_kinds(t->session, all, &u->input_text, &u->input_audio, &u->input_image);
    count_kinds(t->session, before < all ? before : all, &u->cached_text, &u->cached_audio,
                &u->cached_image);
}

static rnl_status begin(conversation *c, const command *what, int64_t now_us, rnl_error *error) {
    talker *t = &c->talker;
    rnl_turn_config turn = what->turn;
    rnl_status status = take_hold(c, what, &turn, error);
    if (status == RNL_OK) status = rnl_session_begin(t->session, &turn, error);
    if (status == RNL_AGAIN) return status;
    if (status < 0) {
        let_go(t);
        return status;
    }
    if (c->config.class == WORK_TALK && turn.mode == RNL_MODE_INTERLEAVED)
        session_name_reply(t->session, what->tag); /* it can be told again */
    t->reply = (talk_reply){.tag = what->tag,
                            .slack_us = INT64_MAX,
                            .going = true,
                            .spoken = what->spoken,
                            .guess = what->guess,
                            .tokens = what->tokens,
                            .due_us = what->due_us,
                            .begun_us = now_us};
    count_input(t);
    conversation_tell(
        c, &(queued_event){.kind = EVENT_BEGUN, .tag = what->tag, .usage = t->reply.usage});
    return RNL_OK;
}

static rnl_status cut(conversation *c, const command *what, rnl_error *error) {
    enum { HEARD_CAP = 65536 };
    talker *t = &c->talker;
    if (what->tag != t->reply.tag) {
        error->status = RNL_ERR_STATE;
        (void)strcpy(error->text, "another reply came behind this one");
        return RNL_ERR_STATE;
    }
    char *heard = malloc(HEARD_CAP);
    size_t size = 0;
    if (heard == NULL ||
        rnl_session_heard_text(t->session, what->sample_count, heard, HEARD_CAP, &size) != RNL_OK)
        size = 0;
    const rnl_status status = rnl_session_rewind(t->session, what->sample_count, error);
    if (status != RNL_OK) {
        free(heard);
        return status;
    }
    if (t->reply.going) end_reply(c, RNL_FINISH_STOPPED, NULL);
    t->done = rnl_session_position_count(t->session); /* no more of it is in the cache */
    conversation_tell(
        c, &(queued_event){.kind = EVENT_CUT, .tag = what->tag, .size = size, .owned = heard});
    return RNL_OK;
}

static rnl_status end_clip(conversation *c, rnl_error *error) {
    talker *t = &c->talker;
    const rnl_status status = rnl_session_end_audio(t->session, error);
    if (status == RNL_AGAIN) return status;
    if (status == RNL_OK) work_count_heard(c->work, t->clip_us);
    t->clip_us = 0;
    return status;
}

/* The session of the spoken conversation of its kin; NULL: there is none. */
static const rnl_session *lender_of(const conversation *c) {
    for (const conversation *k = c->work->first; k != NULL && c->config.kin != 0; k = k->next)
        if (k != c && k->config.kin == c->config.kin && k->config.class == WORK_TALK && !k->lost)
            return k->talker.session;
    return NULL;
}

/* Who has time waits for what is being encoded there: it may be this clip. */
static rnl_status add_clip(conversation *c, const command *what, rnl_error *error) {
    const rnl_session *lender = lender_of(c);
    bool lent = false;
    if (c->config.class == WORK_IDLE && lender != NULL &&
        rnl_session_stage(lender) == RNL_STAGE_ENCODE)
        return RNL_AGAIN;
    const rnl_status status = session_add_audio_of(c->talker.session, lender, what->samples,
                                                   what->count, what->rate, &lent, error);
    if (status == RNL_OK && !lent)
        work_count_heard(c->work, (int64_t)((double)what->count / what->rate * 1e6));
    return status;
}

static rnl_status add_image(conversation *c, const command *what, rnl_error *error) {
    rnl_image_config config = rnl_image_config_default(c->work->model);
    config.splits = false;
    return rnl_session_add_image(c->talker.session, what->bytes, what->width, what->height,
                                 (size_t)what->width * 3, what->one_view ? &config : NULL, error);
}

static rnl_status keep_mark(conversation *c, const command *what, rnl_error *error) {
    talker *t = &c->talker;
    const rnl_status status = rnl_session_snapshot(t->session, what->slot, error);
    if (status == RNL_OK) t->marks[what->slot] = (talk_mark){t->done, t->clip_us, t->lacks};
    return status;
}

static rnl_status back_to_mark(conversation *c, const command *what, rnl_error *error) {
    talker *t = &c->talker;
    const rnl_status status = rnl_session_restore(t->session, what->slot, error);
    if (status != RNL_OK) return status;
    const talk_mark *m = &t->marks[what->slot];
    t->done = m->done;
    t->clip_us = m->clip_us;
    t->lacks = m->lacks;
    return RNL_OK;
}

static rnl_status confirm(conversation *c, const command *what) {
    talk_reply *r = &c->talker.reply;
    if (r->tag != what->tag) return RNL_OK; /* it was cancelled meanwhile */
    r->guess = false;
    r->due_us = what->due_us;
    return RNL_OK;
}

static rnl_status wrong(rnl_error *error) {
    error->status = RNL_ERR_ARGUMENT;
    (void)strcpy(error->text, "this command belongs to a recording");
    return RNL_ERR_ARGUMENT;
}

static rnl_status obey(conversation *c, const command *what, int64_t now_us, rnl_error *error) {
    rnl_session *s = c->talker.session;
    if (what->spare && c->talker.is_again) return RNL_OK;
    switch (what->kind) {
    case COMMAND_RESET:
        return reset(c);
    case COMMAND_AGAIN:
        return add_again(c, what, error);
    case COMMAND_RETAIN:
        return retain(c, what);
    case COMMAND_TEXT:
        return rnl_session_add_text(s, what->role, what->text, what->text_size, error);
    case COMMAND_MESSAGE:
        return rnl_session_add_message(s, what->text, what->text_size, what->past, error);
    case COMMAND_TOOLS:
        return set_tools(c, what, error);
    case COMMAND_CLIP:
        return add_clip(c, what, error);
    case COMMAND_IMAGE:
        return add_image(c, what, error);
    case COMMAND_END_CLIP:
        return end_clip(c, error);
    case COMMAND_CANCEL_CLIP:
        rnl_session_cancel_audio(s);
        c->talker.clip_us = 0;
        return RNL_OK;
    case COMMAND_MARK:
        return keep_mark(c, what, error);
    case COMMAND_RETURN:
        return back_to_mark(c, what, error);
    case COMMAND_BEGIN:
        return begin(c, what, now_us, error);
    case COMMAND_CONFIRM:
        return confirm(c, what);
    case COMMAND_CUT:
        return cut(c, what, error);
    case COMMAND_FILE:
        return wrong(error);
    }
    return wrong(error);
}

/* A reply that never began has an end all the same. */
static void refuse_begin(conversation *c, int64_t tag, const api_error *error) {
    queued_event e = {.kind = EVENT_ENDED, .tag = tag, .finish = RNL_FINISH_STOPPED};
    if (error != NULL && (e.owned = malloc(sizeof *error)) != NULL) {
        e.error = e.owned;
        *e.error = *error;
    }
    conversation_tell(c, &e);
}

static void say_why_not(conversation *c, const command *what, const rnl_error *error) {
    api_error e;
    const bool heard = what->kind == COMMAND_CLIP || what->kind == COMMAND_END_CLIP;
    (void)api_fail_library(&e, error, NULL, heard);
    if (what->kind != COMMAND_BEGIN && error->status == RNL_ERR_CONTEXT_FULL) {
        c->talker.lacks = true;
        c->talker.lacking = e;
    }
    if (what->kind == COMMAND_BEGIN)
        refuse_begin(c, what->tag, &e);
    else
        conversation_tell_error(c, EVENT_REFUSED, what->tag, &e);
}

/* Samples that were pushed before the command at hand, or all. False: the session takes none. */
static bool push_samples(conversation *c) {
    float samples[1600];
    for (;;) {
        int64_t left = INT64_MAX;
        if (c->has_head) left = c->head.audio_at - ring_taken(c->audio);
        if (left <= 0) return true;
        size_t count = left < 1600 ? (size_t)left : 1600;
        count = ring_peek(c->audio, samples, count);
        if (count == 0) return true;
        if (c->talker.reply.going) return false;
        rnl_error e = {0};
        const int rate = atomic_load(&c->audio_rate);
        const rnl_status status =
            rnl_session_push_audio(c->talker.session, samples, count, rate, &e);
        if (status == RNL_AGAIN) return false;
        (void)ring_drop(c->audio, count);
        if (status == RNL_OK) c->talker.clip_us += (int64_t)count * 1000000 / rate;
        if (status < 0) { /* the clip keeps what it had; its end will tell */
            api_error error;
            (void)api_fail_library(&error, &e, NULL, true);
            conversation_tell_error(c, EVENT_REFUSED, 0, &error);
        }
    }
}

static bool may_run(const conversation *c, const command *what) {
    if (!c->talker.reply.going) return true;
    return what->kind == COMMAND_CONFIRM || what->kind == COMMAND_CUT;
}

static void run_commands(conversation *c, int64_t now_us) {
    for (;;) {
        if (!conversation_takes(c, EVENTS_KEPT)) return;
        const bool any = conversation_look(c);
        if (!push_samples(c) || !any) return;
        const command *what = &c->head.what;
        if (!may_run(c, what)) return;
        rnl_error error = {0};
        if (what->kind == COMMAND_BEGIN && what->tag <= atomic_load(&c->cancelled)) {
            refuse_begin(c, what->tag, NULL);
        } else if (what->kind == COMMAND_BEGIN && c->talker.lacks) {
            refuse_begin(c, what->tag, &c->talker.lacking);
        } else {
            const rnl_status status = obey(c, what, now_us, &error);
            if (c->talker.asked_us == 0) c->talker.asked_us = now_us;
            if (status == RNL_AGAIN) return;
            if (status < 0) say_why_not(c, what, &error);
        }
        command_free(&c->head.what);
        c->has_head = false;
    }
}

void talker_attend(conversation *c, int64_t now_us) {
    if (c->lost || look_for_trouble(c, now_us)) return;
    talk_reply *r = &c->talker.reply;
    if (r->going && r->tag <= atomic_load(&c->cancelled) && conversation_takes(c, 1))
        stop_reply(c, NULL);
    hand_over(c, now_us);
    run_commands(c, now_us);
}

/* ---- What the batch is to do for it ---- */

static int64_t ahead_us(double load) {
    const double share = (load - 0.5) / (0.9 - 0.5);
    if (share <= 0) return AHEAD_MOST_US;
    if (share >= 1) return AHEAD_LEAST_US;
    return AHEAD_MOST_US - (int64_t)(share * (AHEAD_MOST_US - AHEAD_LEAST_US));
}

static int64_t patience_us(work_class class) {
    return class == WORK_TALK ? TALK_US : class == WORK_REQUEST ? REQUEST_US : IDLE_US;
}

/* Content goes through the model as it comes. */
static void want_content(conversation *c, int64_t now_us) {
    talker *t = &c->talker;
    if (rnl_session_stage(t->session) == RNL_STAGE_IDLE && !c->has_head) t->asked_us = 0;
    const int64_t since_us = t->asked_us > 0 ? t->asked_us : now_us;
    rnl_batch_want(t->session, RNL_WANT_RESULT, since_us + patience_us(c->config.class));
}

void talker_want(conversation *c, int64_t now_us, double load, bool spare) {
    talker *t = &c->talker;
    const talk_reply *r = &t->reply;
    const int64_t due_us = r->due_us > 0 ? r->due_us : r->begun_us + patience_us(c->config.class);
    t->held = false;
    t->works = r->going || rnl_session_stage(t->session) != RNL_STAGE_IDLE;
    if (c->config.class == WORK_IDLE && !spare) {
        t->works = false;
        rnl_batch_want(t->session, RNL_WANT_NOTHING, due_us);
    } else if (!r->going) {
        want_content(c, now_us);
    } else if (!r->spoken || r->guess) {
        rnl_batch_want(t->session, RNL_WANT_RESULT, due_us);
    } else if (r->first_sound_us == 0) {
        rnl_batch_want(t->session, RNL_WANT_SPEECH, due_us);
    } else {
        const int64_t end_us = r->first_sound_us + r->sample_count * 1000000 / RNL_RATE_OUT;
        t->held = end_us - now_us > ahead_us(load);
        t->works = !t->held;
        rnl_batch_want(t->session, t->held ? RNL_WANT_NOTHING : RNL_WANT_PLAYING, end_us);
    }
}
