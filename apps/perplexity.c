#include "apps/perplexity.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "apps/messages.h"
#include "engine/model.h"

double perplexity_of(const moments *nll) {
    return exp(moments_mean(nll));
}

double perplexity_error(const moments *nll) {
    return perplexity_of(nll) * moments_error(nll);
}

static void count_bytes(perplexity *p, int32_t id) {
    const char *bytes;
    size_t size;
    bool special;
    const bpe *text = p->model->model->source.text;
    if (text != NULL && bpe_token_bytes(text, id, &bytes, &size, &special))
        p->byte_count += (int64_t)size;
}

static void ran(perplexity *p, int64_t total) {
    p->run_count++;
    if (p->tell != NULL) p->tell(p->tell_context, p, total);
}

/* Scores id by row `row` of the last run. *row_of: its log-probabilities. */
static int score(perplexity *p, int row, int32_t id, logp_row *row_of) {
    const float *logits = scorer_logits(p->model, row);
    const double normaliser = scoring_normaliser(logits, p->model->vocab_count);
    if (!isfinite(normaliser) || !isfinite(logits[id]))
        return complain(EXIT_MODEL,
                        "%s: the logits behind position %d of run %lld are no numbers: the file is "
                        "damaged or the quantisation is",
                        p->model->model->path, row, (long long)p->run_count + 1);
    moments_add(&p->nll, normaliser - logits[id]);
    count_bytes(p, id);
    *row_of = (logp_row){logits, normaliser};
    return EXIT_OK;
}

/* ---- Chunks ---- */

static int compare(perplexity *p, int row, int32_t label, logp_row own) {
    logp_row base;
    rnl_error error = {0};
    if (p->base_model != NULL) {
        base.values = scorer_logits(p->base_model, row);
        base.shift = scoring_normaliser(base.values, p->model->vocab_count);
        if (!isfinite(base.shift))
            return complain(EXIT_MODEL, "%s: the logits are no numbers: the file is damaged",
                            p->base_model->model->path);
    } else {
        if (logits_file_next(p->base, p->base_row, &error) != RNL_OK)
            return complain(EXIT_INPUT, "%s", error.text);
        base = (logp_row){p->base_row, 0};
    }
    return divergence_add(p->kl, own, base, p->model->vocab_count, label)
               ? EXIT_OK
               : complain(EXIT_FAILED, "memory is exhausted");
}

static int run_chunk(perplexity *p, const int32_t *x, const int32_t *ids) {
    int code = scorer_run(p->model, x, p->window);
    if (code == EXIT_OK && p->base_model != NULL) code = scorer_run(p->base_model, x, p->window);
    for (int t = p->window / 2; t < p->window - 1 && code == EXIT_OK; t++) {
        logp_row own;
        code = score(p, t, ids[t + 1], &own);
        if (code == EXIT_OK && p->kl != NULL) code = compare(p, t, ids[t + 1], own);
        if (code == EXIT_OK && p->save != NULL &&
            !logits_put_row(p->save, own.values, p->model->vocab_count, own.shift, p->packed))
            code = complain(EXIT_FAILED, "%s: cannot be written: %s", p->save_path,
                            strerror(errno != 0 ? errno : EIO));
    }
    return code;
}

int perplexity_chunks(perplexity *p, const int32_t *ids, int count, int32_t first) {
    const size_t window = (size_t)p->window;
    int32_t *x = malloc(window * sizeof *x);
    int code = x != NULL ? EXIT_OK : complain(EXIT_FAILED, "memory is exhausted");
    for (int c = 0; c < count && code == EXIT_OK; c++) {
        memcpy(x, ids + (size_t)c * window, window * sizeof *x);
        x[0] = first;
        code = run_chunk(p, x, ids + (size_t)c * window);
        if (code == EXIT_OK) ran(p, count);
    }
    free(x);
    return code;
}

/* ---- Windows ---- */

/* Scores ids [begin, end) by the rows before them, of a run that began at `run_begin`. */
static int score_range(perplexity *p, const int32_t *ids, size_t run_begin, size_t begin,
                       size_t end) {
    int code = EXIT_OK;
    for (size_t t = begin; t < end && code == EXIT_OK; t++) {
        logp_row own;
        code = score(p, (int)(t - 1 - run_begin), ids[t], &own);
    }
    return code;
}

int perplexity_strided(perplexity *p, const document *d, int stride) {
    const size_t count = d->count, step = (size_t)stride, window = (size_t)p->window;
    const int64_t total = count > window ? (int64_t)((count - window + step - 1) / step) + 1 : 1;
    int code = EXIT_OK;
    for (size_t begin = 0, done = 0; done < count && code == EXIT_OK; begin += step) {
        const size_t end = count - begin < window ? count : begin + window;
        const size_t first = done > begin ? done : begin + 1; /* nothing predicts the first */
        const moments before = p->nll;
        code = scorer_run(p->model, d->ids + begin, (int)(end - begin));
        if (code == EXIT_OK) code = score_range(p, d->ids, begin, first, end);
        const int64_t weight = (int64_t)(end - done) - 1, scored = p->nll.count - before.count;
        if (weight > 0 && scored > 0)
            p->window_sum += (p->nll.sum - before.sum) / (double)scored * (double)weight;
        p->window_count += weight;
        done = end;
        if (code == EXIT_OK) ran(p, total);
    }
    return code;
}

int perplexity_rolling(perplexity *p, const document *d, bool score_begin) {
    const size_t window = (size_t)p->window, count = d->count;
    /* With score_begin the prefix stands before ids[0] too: the first run has it twice. */
    const int32_t *ids = d->ids;
    int32_t *twice = NULL;
    size_t total = count;
    if (score_begin) {
        twice = malloc((count + 1) * sizeof *twice);
        if (twice == NULL) return complain(EXIT_FAILED, "memory is exhausted");
        twice[0] = ids[0];
        memcpy(twice + 1, ids, count * sizeof *ids);
        ids = twice;
        total++;
    }
    const int64_t runs = (int64_t)((total - 1 + window - 1) / window);
    int code = EXIT_OK;
    for (size_t done = 1; done < total && code == EXIT_OK;) {
        const size_t end = total - done < window ? total : done + window;
        const size_t begin = end > window ? end - window - 1 : 0;
        code = scorer_run(p->model, ids + begin, (int)(end - 1 - begin));
        if (code == EXIT_OK) code = score_range(p, ids, begin, done, end);
        done = end;
        if (code == EXIT_OK) ran(p, runs);
    }
    free(twice);
    return code;
}
