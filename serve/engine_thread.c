/* The engine thread: it owns the batch and every session, and decides between passes who works.
 *
 *     commands of all ─► attend ─► want ─► one pass of the batch ─► text and sound to the rings
 *                                          └ looks at ends of turns, a piece or all of one
 *                                          └ none to do, or time to spare: recordings
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/clock.h"
#include "core/status.h"
#include "engine/batch.h"
#include "serve/memory_budget.h"
#include "serve/pass_times.h"
#include "serve/work_inner.h"

enum {
    SESSION_CAP = 256,   /* conversations, when nobody says how many */
    SPARE_US = 500000,   /* sound in reserve of all who are playing, for other work between */
    ALIVE_US = 10000000, /* a step that takes longer than this never ends */
    NAP_US = 5000        /* until somebody who is far ahead is looked at again */
};
static const double measure_seconds = 2.0;

work_config work_config_default(void) {
    return (work_config){.thread_count = rnl_thread_count_default(),
                         .context_cap = 4096,
                         .kv_cache = RNL_KV_DEFAULT,
                         .clip_seconds_max = 60.0,
                         .oversubscribe = 2,
                         .memory_size_max = SIZE_MAX,
                         .memory_free = memory_available(""),
                         .jobs = 1};
}

/* ---- Facts ---- */

void work_get_facts(const work *w, work_facts *facts) {
    work *shared = (work *)w; /* the lock is no part of what is asked */
    (void)pthread_mutex_lock(&shared->lock);
    *facts = w->facts;
    (void)pthread_mutex_unlock(&shared->lock);
    facts->starting = atomic_load(&shared->starting);
    facts->draining = atomic_load(&shared->draining);
    facts->alive =
        atomic_load(&shared->idle) || clock_us() - atomic_load(&shared->step_us) < ALIVE_US;
    facts->conversations = w->open_count;
    facts->beside = w->beside_count;
    facts->transcripts = w->recording_count;
    facts->admits = !facts->starting && !facts->draining && w->open_count < facts->session_max &&
                    facts->load < 0.9;
}

static int fewer(int a, size_t b) {
    return b < (size_t)a ? (int)b : a;
}

int work_session_room(const work *w) {
    const size_t all = w->config.memory_size_max, batch = w->facts.batch_size;
    int most = w->config.session_cap > 0 ? w->config.session_cap : SESSION_CAP;
    if (all != SIZE_MAX && w->facts.session_size > 0)
        most = fewer(most, (all > batch ? all - batch : 0) / w->facts.session_size);
    return most > 1 ? most : 1;
}

/* Conversations that serve others: one for four of them. */
static int beside_of(int conversations) {
    return (conversations + 3) / 4;
}

/* How many conversations there may be: as many as can speak, times those who listen meanwhile, and
 * as memory has room for them and those beside them. */
static void find_room(const work *w, const rnl_batch_facts *f, work_facts *to) {
    const size_t all = w->config.memory_size_max, batch = to->batch_size;
    int most = f->speaking_max > 0 ? (int)(f->speaking_max * w->config.oversubscribe) : 1;
    if (!rnl_model_can(w->model, RNL_MODE_INTERLEAVED)) most = SESSION_CAP;
    if (w->config.session_cap > 0 && w->config.session_cap < most) most = w->config.session_cap;
    int room = most + beside_of(most);
    if (all != SIZE_MAX && to->session_size > 0)
        room = fewer(room, (all > batch ? all - batch : 0) / to->session_size);
    to->memory_binds = room < most + beside_of(most);
    while (most > 1 && most + beside_of(most) > room) most--;
    to->session_max = most < room ? most : room;
    to->beside_max = room - to->session_max;
}

static void publish(work *w) {
    rnl_batch_facts f;
    rnl_batch_get_facts(w->batch, &f);
    (void)pthread_mutex_lock(&w->lock);
    work_facts *to = &w->facts;
    to->speaking_max = f.speaking_max;
    to->speaking = f.speaking_count;
    to->load = f.load;
    to->pass_count = f.pass_count;
    to->rows = f.rows;
    to->decisions = f.decision_count;
    to->kept = w->kept_count;
    find_room(w, &f, to);
    (void)pthread_mutex_unlock(&w->lock);
}

/* ---- Who is here ---- */

static void drop(conversation **at) {
    conversation *c = *at;
    *at = c->next;
    if (c->is_recording) {
        recording_close(c);
    } else {
        c->work->session_count -= c->talker.session != NULL;
        talker_close(c);
    }
    conversation_free(c);
}

/* A caller is told to have left after his conversations were closed, so none of them is kept behind
 * this. */
static void drop_closed(work *w) {
    uint64_t left[64];
    const size_t left_count = ring_read(w->left, left, 64);
    for (conversation **at = &w->first; *at != NULL;) {
        if (atomic_load(&(*at)->closed))
            drop(at);
        else
            at = &(*at)->next;
    }
    for (size_t i = 0; i < left_count; i++) kept_forget_caller(w, left[i]);
}

static void take_opened(work *w) {
    conversation *c;
    while (ring_read(w->opened, &c, 1) == 1) {
        drop_closed(w); /* who left before it came leaves his room, and what he had */
        c->next = w->first;
        w->first = c;
        c->made = true;
        api_error error;
        if (c->is_recording || talker_open(c, &error)) {
            w->session_count += !c->is_recording;
            continue;
        }
        c->made = false;
        c->lost = true;
        conversation_tell_error(c, EVENT_LOST, 0, &error);
    }
}

/* Least reserve of sound of those who are playing; of who waits for his first sound it is 0, or,
 * only_playing, it does not count. */
static int64_t slack_us(const work *w, int64_t now_us, bool only_playing) {
    int64_t least = INT64_MAX;
    for (const conversation *c = w->first; c != NULL; c = c->next) {
        const talk_reply *r = &c->talker.reply;
        if (c->is_recording || !r->going || !r->spoken || r->guess) continue;
        if (only_playing && r->first_sound_us == 0) continue;
        const int64_t end_us = r->first_sound_us + r->sample_count * 1000000 / RNL_RATE_OUT;
        const int64_t slack = r->first_sound_us == 0 ? 0 : end_us - now_us;
        if (slack < least) least = slack;
    }
    return least;
}

static void attend(conversation *c, int64_t now_us, bool spare) {
    if (c->lost || atomic_load(&c->closed)) return;
    if (c->is_recording) {
        recording_attend(c);
        return;
    }
    talker_attend(c, now_us);
    if (!c->lost) talker_want(c, now_us, c->work->facts.load, spare);
}

/* Who has time comes last: what others were asked before him has begun then. */
static void attend_all(work *w, int64_t now_us, bool spare) {
    for (int last = 0; last < 2; last++)
        for (conversation *c = w->first; c != NULL; c = c->next)
            if ((c->config.class == WORK_IDLE) == (last == 1)) attend(c, now_us, spare);
}

/* The pass that took so long was for these. */
static void note_worked(work *w, int64_t us) {
    for (conversation *c = w->first; c != NULL; c = c->next)
        if (!c->is_recording && c->talker.session != NULL && c->talker.works)
            atomic_fetch_add(&c->worked_us, us);
}

/* Somebody waits for time to pass: for his sound to be played, or for that of others. */
static bool anyone_held(const work *w) {
    for (const conversation *c = w->first; c != NULL; c = c->next) {
        const talker *t = &c->talker;
        if (c->is_recording || c->lost) continue;
        if (t->held || (c->config.class == WORK_IDLE && t->reply.going)) return true;
    }
    return false;
}

/* Recordings take their turns, the first `jobs` of those that are there (the list has the newest
 * first). */
static bool step_recordings(work *w) {
    conversation *those[64];
    int count = 0;
    for (conversation *c = w->first; c != NULL; c = c->next)
        if (c->is_recording && !c->recording.ended && !c->lost) {
            if (count == 64) memmove(those, those + 1, 63 * sizeof *those), count--;
            those[count++] = c;
        }
    bool moved = false;
    for (int i = count - 1, begun = 0; i >= 0 && begun < w->config.jobs; i--, begun++) {
        const int64_t begin_us = clock_us();
        moved = recording_step(those[i]) || moved;
        atomic_fetch_add(&those[i]->worked_us, clock_us() - begin_us);
    }
    return moved;
}

/* ---- The thread ---- */

static void tell_loop(work *w) {
    if (w->spoke && w->config.wake != NULL) w->config.wake(w->config.owner);
    w->spoke = false;
}

/* Nothing is to do until somebody asks, or until then. */
static void rest(work *w, int64_t us) {
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (time_t)(us / 1000000);
    until.tv_nsec += (long)(us % 1000000) * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (sem_timedwait(&w->asked, &until) != 0 && errno == EINTR) continue;
    while (sem_trywait(&w->asked) == 0) continue; /* one look is enough for all who asked */
}

/* One turn of the loop. True: there may be more to do right away. */
static bool turn(work *w) {
    const int64_t now_us = clock_us();
    atomic_store(&w->step_us, now_us);
    take_opened(w);
    drop_closed(w);
    kept_look(w, now_us);
    attend_all(w, now_us, slack_us(w, now_us, false) > SPARE_US);
    tell_loop(w);
    const int64_t begun_us = clock_us();
    bool moved = rnl_batch_step(w->batch, begun_us) == RNL_OK;
    const int64_t passed_us = clock_us();
    if (moved) work_count_pass(w, passed_us - begun_us);
    if (moved) note_worked(w, passed_us - begun_us);
    const bool spare = slack_us(w, passed_us, false) > SPARE_US;
    const bool looked = looks_step(w, moved, spare, slack_us(w, passed_us, true));
    if (!moved || spare) {
        batch_stamp(w->batch, clock_us()); /* this is not the time of that pass */
        moved = step_recordings(w) || moved;
    }
    publish(w);
    return moved || looked;
}

static void *run(void *argument) {
    work *w = argument;
    const double begin = clock_seconds();
    atomic_store(&w->step_us, clock_us());
    if (!w->times_known)
        pass_times_measure(w->batch, w->model, w->batch->config.decision_cap, measure_seconds);
    const double took = w->times_known ? 0 : clock_seconds() - begin;
    (void)pthread_mutex_lock(&w->lock);
    w->facts.measured_seconds = took;
    (void)pthread_mutex_unlock(&w->lock);
    publish(w);
    atomic_store(&w->starting, false);
    if (w->config.wake != NULL) w->config.wake(w->config.owner);
    while (!atomic_load(&w->stopping)) {
        if (turn(w)) continue;
        tell_loop(w);
        const bool held = anyone_held(w);
        atomic_store(&w->idle, !held);
        rest(w, held ? NAP_US : 500000);
        atomic_store(&w->step_us, clock_us());
        atomic_store(&w->idle, false);
    }
    return NULL;
}

/* ---- Making and ending ---- */

static int more(int a, int b) {
    return a > b ? a : b;
}

static rnl_status make_batch(work *w, rnl_error *error) {
    const work_config *c = &w->config;
    const bool writes = rnl_model_can(w->model, RNL_MODE_TRANSCRIBE);
    rnl_batch_config b = rnl_batch_config_default();
    b.thread_count = c->thread_count;
    b.context_cap = c->context_cap;
    b.clip_seconds_max = c->clip_seconds_max;
    b.oversubscribe = c->oversubscribe;
    b.image_views_max = rnl_image_views_max(w->model);
    b.session_cap = c->session_cap > 0 ? c->session_cap : SESSION_CAP;
    b.session_cap += beside_of(b.session_cap);
    if (writes) { /* recordings share it */
        const rnl_transcript_config t = rnl_transcript_config_default(w->model);
        const rnl_batch_config r = rnl_transcript_batch_config(w->model, &t, c->jobs);
        b.row_cap = more(b.row_cap, r.row_cap);
        b.decision_cap = more(b.decision_cap, r.decision_cap);
        b.context_cap = more(b.context_cap, r.context_cap);
        if (r.clip_seconds_max > b.clip_seconds_max) b.clip_seconds_max = r.clip_seconds_max;
        b.session_cap += r.session_cap;
    }
    if (b.session_cap > 1024) b.session_cap = 1024;
    rnl_memory_plan plan;
    rnl_status status = rnl_batch_plan(w->model, &b, &plan, error);
    if (status == RNL_OK) status = rnl_batch_create(w->model, &b, &w->batch, error);
    w->facts.batch_size = status == RNL_OK ? plan.total : 0;
    return status;
}

static rnl_status measure_session(work *w, rnl_error *error) {
    const rnl_session_config s = talker_session_config(w);
    rnl_memory_plan plan;
    const rnl_status status = rnl_session_plan_in(w->batch, &s, &plan, error);
    if (status != RNL_OK) return status;
    w->facts.session_size = plan.total;
    const size_t needed = w->facts.batch_size + plan.total;
    if (needed <= w->config.memory_size_max) return RNL_OK;
    return status_fail(error, RNL_ERR_BUDGET,
                       "one conversation needs %zu MiB with the batch, more than the %zu MiB "
                       "allowed; choose a shorter --context or more --memory",
                       (needed >> 20) + 1, w->config.memory_size_max >> 20);
}

static rnl_status make(work *w, rnl_error *error) {
    rnl_status status = make_batch(w, error);
    if (status == RNL_OK) status = measure_session(w, error);
    if (status != RNL_OK) return status;
    w->lock_made = pthread_mutex_init(&w->lock, NULL) == 0;
    w->sem_made = sem_init(&w->asked, 0, 0) == 0;
    if (!w->lock_made || !w->sem_made || !looks_create(w) ||
        ring_create(OPEN_CAP, sizeof(conversation *), &w->opened) != RNL_OK ||
        ring_create(LEFT_CAP, sizeof(uint64_t), &w->left) != RNL_OK)
        return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    const work_config *c = &w->config;
    w->times_known = c->give_times != NULL && c->give_times(c->times_context, w->batch) > 0;
    w->thread_made = pthread_create(&w->thread, NULL, run, w) == 0;
    if (w->thread_made) return RNL_OK;
    return status_fail(error, RNL_ERR_MEMORY, "the engine's thread cannot be started");
}

rnl_status work_create(rnl_model *model, const work_config *config, work **out, rnl_error *error) {
    work *w = *out = calloc(1, sizeof *w);
    if (w == NULL) return status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    w->model = model;
    w->config = *config;
    rnl_model_info info;
    rnl_model_get_info(model, &info);
    if (w->config.memory_size_max == SIZE_MAX)
        w->config.memory_size_max = memory_budget(config->memory_free, info.weight_size);
    atomic_init(&w->starting, true);
    atomic_init(&w->generation, 0);
    const rnl_status status = make(w, error);
    if (status != RNL_OK) work_destroy(out);
    return status;
}

void work_stop(work *w) {
    if (!w->thread_made) return;
    atomic_store(&w->stopping, true);
    work_note_asked(w);
    (void)pthread_join(w->thread, NULL);
    w->thread_made = false;
}

void work_destroy(work **out) {
    work *w = out != NULL ? *out : NULL;
    if (w == NULL) return;
    *out = NULL;
    assert(w->open == NULL && w->looks_open == NULL);
    work_stop(w);
    if (w->opened != NULL) take_opened(w);
    while (w->first != NULL) drop(&w->first);
    looks_destroy(w);
    kept_end(w);
    rnl_batch_destroy(&w->batch);
    ring_destroy(&w->opened);
    ring_destroy(&w->left);
    if (w->sem_made) (void)sem_destroy(&w->asked);
    if (w->lock_made) (void)pthread_mutex_destroy(&w->lock);
    free(w);
}

const rnl_model *work_model(const work *w) {
    return w->model;
}

void work_drain(work *w) {
    atomic_store(&w->draining, true);
}

void work_forget(work *w, uint64_t caller) {
    if (ring_write(w->left, &caller, 1) != 1) work_forget_all(w); /* too many to tell one by one */
    work_note_asked(w);
}

void work_forget_all(work *w) {
    atomic_fetch_add(&w->generation, 1);
    work_note_asked(w);
}

void work_note_asked(work *w) {
    (void)sem_post(&w->asked);
}
