#include "engine/transcript_cut.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/arena.h"

/* Frames of 8 ms. Thresholds of the probability: spec/vad.md; the rest was chosen on the generated
 * corpus (docs/TESTING.md). */
enum {
    PAD = 12,         /* heard by the model on both sides */
    EDGE = 36,        /* weak sounds before and behind what is loud: 288 ms at most */
    GAP = 5,          /* with closed lips this long between them */
    VAD_DELAY = 10,   /* behind the end of speech, on the average of the generated corpus: 84 ms */
    PAUSE = 37,       /* ends a piece of sufficient length: 300 ms */
    PAUSE_SHORT = 10, /* may end a piece that must end: 80 ms */
    PAUSE_LONG = 250, /* ends any piece: 2 s */
    OVERLAP = 125,    /* of pieces without a pause between them: 1 s */
    KEEP = EDGE + 2 * PAD,
    SPEECH_MIN = 24 /* frames of speech that make a piece: 192 ms */
};
static const float begin_probability = 0.5f, end_probability = 0.35f, noise_probability = 0.1f;

void cutter_layout(cutter *c, double piece_min, double piece_max, arena *a) {
    *c = (cutter){.piece_min = (int64_t)(piece_min * CUT_RATE),
                  .piece_max = (int64_t)(piece_max * CUT_RATE)};
    c->frame_cap = (int)(c->piece_max / CUT_FRAME) + KEEP + OVERLAP + 4 * CUT_BLOCK_FRAMES;
    c->samples = arena_take(a, (size_t)c->frame_cap * CUT_FRAME, sizeof *c->samples);
    c->levels = arena_take(a, (size_t)c->frame_cap, sizeof *c->levels);
    c->probabilities = arena_take(a, (size_t)c->frame_cap, sizeof *c->probabilities);
}

void cutter_reset(cutter *c) {
    c->frame_count = 0;
    c->first = 0;
    c->inside = c->joined = false;
    c->begin = 0;
    c->floor = -60.0f;
    c->peak = -30.0f;
    c->clip_limit = 0;
}

float cut_level(const float *samples, int count) {
    double sum = 0.0;
    for (int i = 0; i < count; i++) sum += (double)samples[i] * (double)samples[i];
    const double level = 10.0 * log10(sum / count + 1e-10);
    return level > -100.0 ? (float)level : -100.0f;
}

/* Drops frames before `frame`. */
static void drop(cutter *c, int frame) {
    if (frame <= 0) return;
    const size_t rest = (size_t)(c->frame_count - frame);
    memmove(c->samples, c->samples + (size_t)frame * CUT_FRAME,
            rest * CUT_FRAME * sizeof *c->samples);
    memmove(c->levels, c->levels + frame, rest * sizeof *c->levels);
    memmove(c->probabilities, c->probabilities + frame, rest * sizeof *c->probabilities);
    c->frame_count -= frame;
    c->first += (int64_t)frame * CUT_FRAME;
    c->begin -= frame;
}

/* Whether levels can tell speech from what is around it; in loud noise only the VAD can. */
static bool levels_tell(const cutter *c) {
    return c->peak - c->floor > 12.0f;
}

/* A third of the way up from the noise is over all of it, and under all but the weakest
 * consonants. */
static bool is_quiet(const cutter *c, int frame) {
    return c->probabilities[frame] < end_probability ||
           (levels_tell(c) && c->levels[frame] < c->floor + (c->peak - c->floor) / 3.0f);
}

static void add_block(cutter *c, const float *samples, float probability) {
    assert(c->frame_count + CUT_BLOCK_FRAMES <= c->frame_cap);
    memcpy(c->samples + (size_t)c->frame_count * CUT_FRAME, samples,
           CUT_BLOCK * sizeof *c->samples);
    for (int i = 0; i < CUT_BLOCK_FRAMES; i++) {
        const float level = cut_level(samples + i * CUT_FRAME, CUT_FRAME);
        c->levels[c->frame_count] = level;
        c->probabilities[c->frame_count++] = probability;
        /* The floor follows the noise between words, the peak the voice: at once when it is louder,
         * otherwise over seconds. */
        if (probability < noise_probability) c->floor += 0.1f * (level - c->floor);
        if (level < c->floor - 3.0f) c->floor += 0.5f * (level - c->floor);
        if (probability >= begin_probability) {
            if (level > c->peak)
                c->peak += 0.3f * (level - c->peak);
            else
                c->peak -= 0.002f * (c->peak - level);
        }
    }
}

/* Weak sounds at the edges of speech: just above the noise, whose frames vary by half a dB. */
static bool is_sound(const cutter *c, int frame) {
    return levels_tell(c) && c->levels[frame] >= c->floor + 3.5f;
}

/* Speech was found in the newest block: its first frame is somewhere before. */
static void begin_piece(cutter *c) {
    const int block = c->frame_count - CUT_BLOCK_FRAMES;
    const int least = block - EDGE > 0 ? block - EDGE : 0;
    c->inside = true;
    c->begin = block;
    for (int i = block - 1; i >= least && c->begin - i <= GAP; i--)
        if (is_sound(c, i)) c->begin = i;
}

/* Where the speech that was loud until `end` has really ended, at most at `limit`: where sound ends
 * that stands above the noise, or, for what does not (a last s), where the VAD lets go, less its
 * delay. */
static int true_end(const cutter *c, int end, int limit) {
    const int most = end + EDGE < limit ? end + EDGE : limit;
    int sound = end, speech = end;
    for (int i = end; i < most && i - sound <= GAP; i++)
        if (is_sound(c, i)) sound = i + 1;
    while (speech < most && c->probabilities[speech] >= begin_probability) speech++;
    return speech - VAD_DELAY > sound ? speech - VAD_DELAY : sound;
}

static int64_t sample_of(const cutter *c, int frame) {
    return c->first + (int64_t)frame * CUT_FRAME;
}

/* *mean: probability of the frames. */
static bool has_speech(const cutter *c, int begin, int end, float *mean) {
    int speech = 0;
    double sum = 0.0;
    for (int i = begin; i < end; i++) {
        speech += c->probabilities[i] >= begin_probability;
        sum += (double)c->probabilities[i];
    }
    *mean = end > begin ? (float)(sum / (end - begin)) : 0.0f;
    return speech >= SPEECH_MIN && sum >= 0.4 * (end - begin);
}

/* The piece is [begin, end); the next may begin its clip at frame `next`. */
static void give(cutter *c, int end, int next, cut_piece *piece) {
    const int64_t pad = (int64_t)PAD * CUT_FRAME, last = sample_of(c, c->frame_count);
    *piece =
        (cut_piece){.begin = sample_of(c, c->begin), .end = sample_of(c, end), .joined = c->joined};
    piece->is_speech = has_speech(c, c->begin, end, &piece->speech);
    piece->clip_begin = piece->begin - pad > c->clip_limit ? piece->begin - pad : c->clip_limit;
    if (piece->clip_begin < c->first) piece->clip_begin = c->first;
    piece->clip_end = piece->end + pad < last ? piece->end + pad : last;
    c->clip_limit = sample_of(c, next);
    if (piece->clip_end > c->clip_limit && next >= end) piece->clip_end = c->clip_limit;
}

/* The longest run of quiet frames within [from, to), at least PAUSE_SHORT; its length, 0: none. */
static int longest_pause(const cutter *c, int from, int to, int *begin) {
    int best = 0;
    for (int at = from; at < to;) {
        int end = at;
        while (end < to && is_quiet(c, end)) end++;
        if (end - at > best && end - at >= PAUSE_SHORT) {
            best = end - at;
            *begin = at;
        }
        at = end + 1;
    }
    return best;
}

/* The piece has its longest length: ends it at a pause, or where it is. */
static void force(cutter *c, cut_piece *piece) {
    const int end = c->frame_count;
    const int min = (int)(c->piece_min / CUT_FRAME);
    const int third = (end - c->begin) / 3;
    int pause = 0;
    int length = longest_pause(c, c->begin + (min > third ? min : third), end, &pause);
    if (length == 0) length = longest_pause(c, c->begin + third / 2, end, &pause);
    if (length > 0) {
        const int next = pause + length / 2;
        give(c, true_end(c, pause, next), next, piece);
        c->joined = false;
        c->begin = pause + length < end ? pause + length : end;
        return;
    }
    const int quarter = (int)(c->piece_max / CUT_FRAME / 4);
    const int next = end - (quarter < OVERLAP ? quarter : OVERLAP);
    give(c, end, next, piece);
    c->joined = true;
    c->begin = next;
}

/* Frames since the last that was not quiet. */
static int quiet_run(const cutter *c) {
    int run = 0;
    while (run < c->frame_count - c->begin && is_quiet(c, c->frame_count - 1 - run)) run++;
    return run;
}

bool cutter_push(cutter *c, const float *samples, float probability, cut_piece *piece) {
    /* What no clip can reach any more goes, half a second at a time and more. */
    const int keep = c->inside ? c->begin - PAD : c->frame_count - KEEP;
    if (keep > 64 || c->frame_count + CUT_BLOCK_FRAMES > c->frame_cap) drop(c, keep);
    add_block(c, samples, probability);
    if (!c->inside) {
        if (probability >= begin_probability) begin_piece(c);
        return false;
    }
    const int run = quiet_run(c), last = c->frame_count - run;
    const int64_t length = (int64_t)(last - c->begin) * CUT_FRAME;
    if (run == c->frame_count - c->begin && run > PAUSE) {
        c->inside = c->joined = false; /* after a forced cut nothing more came */
        return false;
    }
    if ((run >= PAUSE && length >= c->piece_min) || run >= PAUSE_LONG) {
        const int end = true_end(c, last, c->frame_count);
        give(c, end, c->frame_count - PAD > end ? c->frame_count - PAD : end, piece);
        c->inside = c->joined = false;
        return true;
    }
    if ((int64_t)(c->frame_count - c->begin + CUT_BLOCK_FRAMES) * CUT_FRAME <= c->piece_max)
        return false;
    force(c, piece);
    return true;
}

bool cutter_finish(cutter *c, cut_piece *piece) {
    if (!c->inside) return false;
    const int run = quiet_run(c);
    c->inside = false;
    if (run == c->frame_count - c->begin) return false;
    give(c, true_end(c, c->frame_count - run, c->frame_count), c->frame_count, piece);
    return true;
}

const float *cutter_samples(const cutter *c, const cut_piece *piece) {
    assert(piece->clip_begin >= c->first);
    return c->samples + (piece->clip_begin - c->first);
}

int64_t cutter_settled(const cutter *c) {
    return sample_of(c, c->inside ? c->begin : c->frame_count);
}

int64_t cut_middle(const float *samples, int64_t count) {
    enum { WINDOW = 10 * CUT_FRAME };
    int64_t best = count / 2;
    float best_level = 1e9f;
    for (int64_t at = count / 4; at + WINDOW <= count - count / 4; at += CUT_FRAME) {
        const float level = cut_level(samples + at, WINDOW);
        if (level >= best_level) continue;
        best_level = level;
        best = at + WINDOW / 2;
    }
    return best;
}
