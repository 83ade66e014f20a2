#include "search/quality.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/status.h"
#include "learn/optimiser.h"

const int search_recall_pairs[SEARCH_RECALLS] = {4, 8, 16};

enum { PATH_CAP = 4096, HEADS = 4, DIVERGED_RUN = 5, HELD_ROWS = 64 /* are asked at least */ };
/* What is asked never was learnt from: other generators than those of lessons. */
static const uint64_t held_seed = 0x5ea2c4;

search_school search_school_default(void) {
    return (search_school){
        .thread_count = 1,
        .recall = {.d = 64, .length = 64, .rows = 64, .steps = 300, .rate = 1e-2},
        .text = {.d = 96, .length = 256, .rows = 16, .steps = 171, .rate = 4e-3},
        .hopeless_step = 200,
        .hopeless_below = 0.15,
    };
}

/* A training under way. */
typedef struct taught {
    const search_school *s;
    const search_lesson *lesson;
    const search_corpus *corpus; /* NULL: recall */
    search_proxy proxy;
    search_page page;
    random_state random;
    learn_hyper hyper;
    int64_t taken;
    int skipped_run;
    search_marks *marks;
    rnl_error *error;
} taught;

static search_space narrow_of(const search_lesson *l) {
    return (search_space){.d = l->d,
                          .heads = HEADS,
                          .blocks = SEARCH_BLOCK_CAP,
                          .vocab = PAGE_VOCAB,
                          .ff_multiple = 16,
                          .length = l->length};
}

/* In a folder of its own: others may be taught meanwhile. */
static rnl_status make_proxy(taught *t, const search_candidate *c, uint64_t seed) {
    const search_space narrow = narrow_of(t->lesson);
    char folder[PATH_CAP];
    if ((size_t)snprintf(folder, sizeof folder, "%s/%s-%" PRIu64, t->s->folder,
                         t->corpus != NULL ? "text" : "recall", seed) >= sizeof folder)
        return status_fail(t->error, RNL_ERR_ARGUMENT, "%.60s...: the name is too long", folder);
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return status_fail(t->error, RNL_ERR_IO, "%s: cannot be made: %s", folder, strerror(errno));
    const rnl_status status = search_proxy_make(&narrow, c, folder, seed, t->s->thread_count,
                                                t->lesson->rows, &t->proxy, t->error);
    (void)rmdir(folder); /* empty again */
    return status;
}

static rnl_status begin(taught *t, const search_candidate *c, uint64_t seed) {
    random_seed(&t->random, seed);
    t->hyper = (learn_hyper){.rate = t->lesson->rate,
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .eps = 1e-8,
                             .decay = 0.1,
                             .clip = 1,
                             .warmup = 20,
                             .steps = t->lesson->steps,
                             .floor = 0.1};
    *t->marks = (search_marks){.bits = 0};
    if (!search_page_make(&t->page, t->lesson->rows, t->lesson->length))
        return status_fail(t->error, RNL_ERR_MEMORY, "memory is exhausted");
    return make_proxy(t, c, seed);
}

static void end(taught *t) {
    search_proxy_free(&t->proxy);
    search_page_free(&t->page);
}

/* ---- Steps ---- */

static void note(taught *t, int step, double loss) {
    search_marks *m = t->marks;
    if (step % SEARCH_CURVE_STEP == 0 && m->curve_count < SEARCH_CURVE_CAP)
        m->curve[m->curve_count++] = (float)loss;
}

static void step_once(taught *t, int step) {
    learn_network *n = t->proxy.network;
    if (t->corpus != NULL)
        search_page_text(&t->page, &t->random, t->corpus);
    else
        search_page_recall(&t->page, &t->random, 0);
    learn_tensors_clear(&n->tensors);
    const learn_result r = learn_network_run(n, &t->page.b, true);
    const double loss = r.text_nll * t->page.b.text_weight;
    const double norm = learn_gradient_norm(&n->tensors);
    note(t, step, loss);
    t->marks->steps = step + 1;
    const bool good = isfinite(loss) && isfinite(norm);
    t->skipped_run = good ? 0 : t->skipped_run + 1;
    t->marks->diverged = t->skipped_run == DIVERGED_RUN;
    if (good)
        learn_step(&n->tensors, &n->compute, &t->hyper, t->taken++, learn_schedule(&t->hyper, step),
                   norm);
}

static rnl_status run_to(taught *t, int step) {
    for (int i = t->marks->steps; i < step && !t->marks->diverged; i++) {
        if (t->s->goes_on != NULL && !t->s->goes_on(t->s->context))
            return status_fail(t->error, RNL_ERR_STATE, "stopped");
        step_once(t, i);
    }
    return RNL_OK;
}

/* ---- Marks ---- */

/* So many pages are asked. */
static int exam_pages(const taught *t) {
    return (HELD_ROWS + t->lesson->rows - 1) / t->lesson->rows;
}

/* How many labels of the page have the largest logit; of several the lowest id counts. */
static int count_right(taught *t) {
    learn_network *n = t->proxy.network;
    const learn_batch *b = &t->page.b;
    const size_t width = (size_t)t->lesson->d;
    float logits[PAGE_VOCAB];
    int right = 0;
    (void)learn_network_run(n, b, false);
    for (int i = 0; i < b->text_count; i++) {
        const learn_x x = {n->hidden + (size_t)b->text_at[i] * width, width};
        int best = 0;
        learn_forward(&n->compute, &n->head, x, logits, PAGE_VOCAB, NULL, 1);
        for (int id = 1; id < PAGE_VOCAB; id++)
            if (logits[id] > logits[best]) best = id;
        right += best == b->text_ids[i];
    }
    return right;
}

static void examine_recall(taught *t) {
    search_marks *m = t->marks;
    random_state r;
    for (int i = 0; i < SEARCH_RECALLS; i++) {
        int right = 0, asked = 0;
        random_seed(&r, held_seed + (uint64_t)i);
        for (int page = 0; page < exam_pages(t) && !m->diverged; page++) {
            search_page_recall(&t->page, &r, search_recall_pairs[i]);
            right += count_right(t);
            asked += t->page.b.text_count;
        }
        m->recall_at[i] = asked > 0 ? (double)right / asked : 0;
    }
    m->recall = (m->recall_at[1] + m->recall_at[2]) / 2;
}

rnl_status search_teach_recall(const search_school *s, const search_candidate *c, uint64_t seed,
                               search_marks *out, rnl_error *error) {
    taught t = {.s = s, .lesson = &s->recall, .marks = out, .error = error};
    rnl_status status = begin(&t, c, seed);
    const int first = s->hopeless_step < s->recall.steps ? s->hopeless_step : s->recall.steps;
    if (status == RNL_OK) status = run_to(&t, first);
    if (status == RNL_OK) examine_recall(&t);
    if (status == RNL_OK && first < s->recall.steps && out->recall >= s->hopeless_below) {
        status = run_to(&t, s->recall.steps);
        if (status == RNL_OK) examine_recall(&t);
    }
    end(&t);
    return status;
}

static void examine_text(taught *t) {
    search_marks *m = t->marks;
    const int pages = exam_pages(t), rows = t->lesson->rows;
    double nll = 0;
    int64_t asked = 0;
    for (int page = 0; page < pages; page++) {
        search_page_held(&t->page, t->corpus, page * rows, pages * rows);
        nll += learn_network_run(t->proxy.network, &t->page.b, false).text_nll;
        asked += t->page.b.text_count;
    }
    m->bits = nll / (double)asked / log(2);
    m->diverged = m->diverged || !isfinite(m->bits);
    if (m->diverged) m->bits = log2(PAGE_VOCAB);
}

rnl_status search_teach_text(const search_school *s, const search_corpus *corpus,
                             const search_candidate *c, uint64_t seed, search_marks *out,
                             rnl_error *error) {
    taught t = {.s = s, .lesson = &s->text, .corpus = corpus, .marks = out, .error = error};
    rnl_status status = begin(&t, c, seed);
    if (status == RNL_OK) status = run_to(&t, s->text.steps);
    if (status == RNL_OK) examine_text(&t);
    end(&t);
    return status;
}
