#include "backbone/sample.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

static bool is_greedy(rnl_sampling how) {
    return how.temperature <= 0.0f || how.top_k == 1;
}

int sample_draw_count(rnl_sampling how) {
    return is_greedy(how) ? 0 : 1;
}

/* Numbers looked at side by side: the compiler makes vectors of loops over so many. */
enum { SIDE = 16 };

/* Where the largest is, the first of equals. Its value is found before its place: a vocabulary is
 * long, and a vector of values needs no branches. */
static int largest(const float *x, int count) {
    float most[SIDE];
    int i = 0;
    for (int j = 0; j < SIDE; j++) most[j] = x[0];
    for (; i + SIDE <= count; i += SIDE)
        for (int j = 0; j < SIDE; j++) most[j] = x[i + j] > most[j] ? x[i + j] : most[j];
    for (; i < count; i++) most[0] = x[i] > most[0] ? x[i] : most[0];
    for (int j = 1; j < SIDE; j++) most[0] = most[j] > most[0] ? most[j] : most[0];
    for (i = 0; i < count; i++)
        if (x[i] == most[0]) return i;
    return 0; /* the first is NaN */
}

static void swap(float *a, float *b) {
    const float kept = *a;
    *a = *b;
    *b = kept;
}

/* Orders x[low..high] around one of its values, larger ones in front, and returns that value:
 * x[low..*j] are at least it, x[*i..high] at most it, and what lies between is it. */
static float partition(float *x, int low, int high, int *i, int *j) {
    const float pivot = x[low + (high - low) / 2];
    *i = low;
    *j = high;
    while (*i <= *j) {
        while (x[*i] > pivot) ++*i;
        while (x[*j] < pivot) --*j;
        if (*i <= *j) swap(&x[(*i)++], &x[(*j)--]);
    }
    return pivot;
}

/* The k-th largest value (k >= 1) by quickselect; reorders x. Expected linear time: the vocabulary
 * has 65,536 entries and a sort would show in the frame time. */
static float kth_largest(float *x, int count, int k) {
    int low = 0, high = count - 1;
    const int want = k - 1;
    while (low < high) {
        int i, j;
        (void)partition(x, low, high, &i, &j);
        if (want <= j)
            high = j;
        else if (want >= i)
            low = i;
        else
            break;
    }
    return x[want];
}

enum { FEW = 64 };

/* Whether one of SIDE values is larger. */
static bool any_above(const float *x, float least) {
    uint32_t above = 0;
    for (int j = 0; j < SIDE; j++) above |= x[j] > least;
    return above != 0;
}

/* The same for k <= FEW and k <= count, with x left in its order: nearly all values are below the k
 * largest so far, which one comparison of a whole vector tells. */
static float kth_largest_of_few(const float *x, int count, int k) {
    float kept[FEW]; /* [k] the largest so far, in falling order */
    for (int i = 0; i < k; i++) kept[i] = -INFINITY;
    for (int begin = 0; begin < count; begin += SIDE) {
        const int end = begin + SIDE < count ? begin + SIDE : count;
        if (end - begin == SIDE && !any_above(x + begin, kept[k - 1])) continue;
        for (int i = begin; i < end; i++) {
            if (!(x[i] > kept[k - 1])) continue;
            int at = k - 1;
            for (; at > 0 && x[i] > kept[at - 1]; at--) kept[at] = kept[at - 1];
            kept[at] = x[i];
        }
    }
    return kept[k - 1];
}

/* Of values that stay in their order; copy [count]: scratch. */
static float least_of_top(const float *x, int count, int k, float *copy) {
    if (k >= count) return -INFINITY;
    if (k <= FEW) return kth_largest_of_few(x, count, k);
    memcpy(copy, x, (size_t)count * sizeof *copy);
    return kth_largest(copy, count, k);
}

void sample_penalise(float *logits, int count, const int32_t *ids, size_t id_count, float penalty,
                     unsigned char *seen) {
    memset(seen, 0, ((size_t)count + 7) / 8);
    for (size_t i = 0; i < id_count; i++) {
        const int32_t id = ids[i];
        if (id < 0 || id >= count || (seen[id / 8] >> (id % 8) & 1) != 0) continue;
        seen[id / 8] |= (unsigned char)(1 << (id % 8));
        logits[id] = logits[id] < 0.0f ? logits[id] * penalty : logits[id] / penalty;
    }
}

/* The least weight that is kept when the heaviest are taken until they weigh `wanted` together.
 * Reorders x. Quickselect by weight: linear time, as above. */
static float weight_reaching(float *x, int count, double wanted) {
    int low = 0, high = count - 1;
    double above = 0.0;
    while (low < high) {
        int i, j;
        const float pivot = partition(x, low, high, &i, &j);
        double left = above;
        for (int k = low; k <= j; k++) left += (double)x[k];
        if (left >= wanted) {
            high = j;
            continue;
        }
        above = left;
        for (int k = j + 1; k < i; k++) {
            if (above + (double)x[k] >= wanted) return x[k];
            above += (double)x[k];
        }
        low = i;
        if (low > high) return pivot; /* rounding: all are needed */
    }
    return x[low];
}

/* Nucleus: weights [count] of sum `sum`; those outside it become 0. */
static void keep_top_p(float *weights, int count, double sum, float top_p, float *scratch) {
    const double wanted = (double)top_p * sum;
    double kept = 0.0;
    memcpy(scratch, weights, (size_t)count * sizeof *scratch);
    const float least = weight_reaching(scratch, count, wanted);
    for (int i = 0; i < count; i++)
        if (weights[i] > least) kept += (double)weights[i];
    /* The reference drops from the lowest index on among equals: the highest stay. */
    for (int i = count - 1; i >= 0; i--) {
        if (weights[i] > least) continue;
        if (weights[i] < least || kept >= wanted)
            weights[i] = 0.0f;
        else
            kept += (double)weights[i];
    }
}

void sample_probabilities(const float *logits, int count, rnl_sampling how, float *probabilities,
                          float *scratch) {
    assert(count > 0);
    const int best = largest(logits, count);
    if (is_greedy(how)) {
        memset(probabilities, 0, (size_t)count * sizeof *probabilities);
        probabilities[best] = 1.0f;
        return;
    }
    /* The largest subtracted first: a tiny temperature would send the quotients to infinity. */
    for (int i = 0; i < count; i++) scratch[i] = (logits[i] - logits[best]) / how.temperature;
    const float least = least_of_top(scratch, count, how.top_k, probabilities);
    double sum = 0.0;
    for (int i = 0; i < count; i++) {
        const double p = scratch[i] < least ? 0.0 : exp((double)scratch[i]);
        probabilities[i] = (float)p;
        sum += p;
    }
    if (how.top_p < 1.0f) keep_top_p(probabilities, count, sum, how.top_p, scratch);
    /* The best one weighs 1, so its share is the weight itself. */
    if (how.min_p > 0.0f)
        for (int i = 0; i < count; i++)
            if (probabilities[i] < how.min_p) probabilities[i] = 0.0f;
    if (how.top_p < 1.0f || how.min_p > 0.0f) {
        sum = 0.0;
        for (int i = 0; i < count; i++) sum += (double)probabilities[i];
    }
    for (int i = 0; i < count; i++) probabilities[i] = (float)((double)probabilities[i] / sum);
}

/* The index of the largest; -1: NaN or plus infinity is among them, or only minus infinity. */
static int largest_number(const float *x, int count) {
    uint32_t bad[SIDE] = {0};
    int i = 0;
    for (; i + SIDE <= count; i += SIDE)
        for (int j = 0; j < SIDE; j++) bad[j] |= !(x[i + j] <= FLT_MAX);
    for (; i < count; i++) bad[0] |= !(x[i] <= FLT_MAX);
    for (int j = 1; j < SIDE; j++) bad[0] |= bad[j];
    const int best = largest(x, count);
    return bad[0] != 0 || !isfinite(x[best]) ? -1 : best;
}

int sample_index(const float *logits, int count, rnl_sampling how, random_state *random,
                 float *scratch) {
    const int best = largest_number(logits, count);
    if (best < 0 || is_greedy(how)) return best;
    float *probabilities = scratch;
    sample_probabilities(logits, count, how, probabilities, scratch + count);
    const double target = random_unit(random);
    double sum = 0.0;
    int last = 0;
    for (int i = 0; i < count; i++) {
        if (!(probabilities[i] > 0.0f)) continue;
        sum += (double)probabilities[i];
        last = i;
        if (target < sum) break;
    }
    return last; /* rounding may leave the sum a hair below 1: then the last survivor */
}

static double log_of_sum(const float *logits, int count, float best) {
    double sum = 0.0;
    for (int i = 0; i < count; i++) sum += (double)expf(logits[i] - best);
    return log(sum);
}

float sample_confidence(const float *logits, int count, int index) {
    const float best = logits[largest(logits, count)];
    return (float)((double)(logits[index] - best) - log_of_sum(logits, count, best));
}

void sample_alternatives(const float *logits, int count, int k, int32_t *indices,
                         float *confidences) {
    int kept = 0;
    for (int i = 0; i < count; i++) {
        if (kept == k && !(logits[i] > logits[indices[k - 1]])) continue;
        int at = kept < k ? kept++ : k - 1;
        for (; at > 0 && logits[i] > logits[indices[at - 1]]; at--) indices[at] = indices[at - 1];
        indices[at] = i;
    }
    const float best = logits[indices[0]];
    const double sum = log_of_sum(logits, count, best);
    for (int i = 0; i < kept; i++)
        confidences[i] = (float)((double)(logits[indices[i]] - best) - sum);
    for (int i = kept; i < k; i++) {
        indices[i] = -1;
        confidences[i] = -INFINITY;
    }
}
