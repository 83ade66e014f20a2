/* The parts of `runnel bench`: cmd_bench.c chooses, bench_report.c prints, bench_work.c times the
 * stages, bench_image.c those of pictures, bench_batch.c passes over many conversations,
 * bench_limit.c measures what the machine would allow, right before each repetition, because shared
 * machines change within seconds, and bench_state.c in which state it is. */
#ifndef APPS_BENCH_H
#define APPS_BENCH_H

#include "apps/bench_state.h"
#include "apps/options.h"
#include "engine/session.h"

enum {
    BENCH_REPEAT_CAP = 1000,
    BENCH_TRIES = 3, /* times as many repetitions at most, until enough are of one state */
    BENCH_LIST_CAP = 16,
    BENCH_PASS_CAP = 4,
    BENCH_CLIP_SECONDS = 10,
    BENCH_DECODE_STEPS = 32 /* of a repetition, unless --tokens says otherwise */
};

typedef struct bench_list {
    int values[BENCH_LIST_CAP];
    int count; /* 0: not given */
} bench_list;

/* What the machine is like at a moment. */
typedef struct bench_state {
    double round_trip; /* ns between two of the threads; 0: there is one */
    double bandwidth;  /* GB/s that all of them read */
} bench_state;

typedef struct bench_row bench_row; /* bench_report.h */

typedef struct bench {
    const options *o;
    rnl_model *model;
    rnl_session *s;
    unsigned features; /* kernels_cpu_features, or less with --cpu */
    unsigned works;    /* bits, by the numbers of cmd_bench.c */
    bench_list tokens, depths, rows;
    int repeat;

    unsigned char *memory; /* read for the limits; larger than any cache */
    size_t memory_size, cursor;
    kernels_fetch fetch; /* the hint that reads fastest here */
    uint64_t sink;       /* of results that nobody wants */
    pool *pool;          /* threads before there is a session, or NULL */

    int count;                                      /* repetitions done, of the row under way */
    double values[BENCH_TRIES * BENCH_REPEAT_CAP];  /* in the unit of the row */
    double limits[BENCH_TRIES * BENCH_REPEAT_CAP];  /* likewise; 0: no limit is known */
    double reached[BENCH_TRIES * BENCH_REPEAT_CAP]; /* of a batch: with the rate that a prefill
                                                     * reaches instead of the peak; 0: not known */
    bench_nearness states[BENCH_TRIES * BENCH_REPEAT_CAP];
    int of_state[BENCH_NEARNESS_COUNT]; /* repetitions; none: no state is known */
    int tried;                          /* before bench_keep; 0: it was not called */
    bench_state before, after;          /* the row, and the last repetition */

    const char *device; /* that computes, or NULL: nobody asked */

    /* Who takes the rows instead of standard output, or besides; NULL: nobody. */
    void (*take)(void *context, const bench_row *row, double median);
    void *take_context;
    bool shows; /* what is taken is printed as well, as a table */
} bench;

/* ---- bench_limit.c */

/* False when there is no memory for it. */
bool bench_limit_create(bench *b);
void bench_limit_destroy(bench *b);
/* Finds the hint that reads fastest; needs the session. */
void bench_limit_choose(bench *b);

/* ms that a pass over the weights takes at least: all its bytes read, or all its products,
 * whichever is longer. */
typedef struct bench_longer {
    double by_peak; /* products at the peak of their instruction; 0: that is not known */
    double by_rate; /* at the rate that was given */
} bench_longer;

/* Repetitions of a row, for which there has to be a session or a pool: bench_more() until there are
 * b->repeat of one state, or BENCH_TRIES times as many in all, or Ctrl-C; bench_add() after each.
 * The first bench_more() sees the state before. */
void bench_start(bench *b);
bool bench_more(bench *b);
void bench_add(bench *b, double value, double limit);
/* Of a batch. */
void bench_add_pass(bench *b, double value, const bench_longer *limit);
/* Leaves the repetitions of the state that most were in, which it returns. A second call does
 * nothing. */
bench_nearness bench_keep(bench *b);

/* Reads `size` bytes `times` times over. */
typedef struct bench_pass {
    double size;
    int times;
} bench_pass;
/* Seconds that all threads together need to read these, one pass after the other, each from memory
 * that was not read lately, as far as the caches allow. */
double bench_read(bench *b, const bench_pass *passes, int count);
/* What a decoding step of so many rows, a frame, the detokenizer's part of it read; returns the
 * passes filled. */
int bench_decode_passes(const bench *b, int depth, int rows, bench_pass *passes);
int bench_frame_passes(const bench *b, bench_pass *passes);
int bench_detokenizer_passes(const bench *b, bench_pass *passes);

/* Operations a second, all threads, of the instruction that products with such a matrix use. */
double bench_peak(bench *b, const matrix *w, bool bf16);
/* Multiply-adds count as two. Without attention and convolutions, some per cent of the whole. */
double bench_prefill_ops(const bench *b, int tokens);
double bench_encoder_ops(const bench *b, int positions);

/* Of a pass with one token each of so many conversations, or a frame; rate: operations a
 * second. */
bench_longer bench_texts_limit(bench *b, int rows, int depth, double rate);
bench_longer bench_frames_limit(bench *b, int rows, int depth, double rate);
/* By the peak, of the experts of all layers, for so many rows that choose by chance. */
double bench_experts_limit(bench *b, int rows);

/* The rows "bandwidth" and "peak". */
void bench_bandwidth_rows(bench *b);
void bench_peak_rows(bench *b);

/* ---- bench_work.c: each prints its rows */
void bench_encoder(bench *b, bool wants_mel, bool wants_encoder);
void bench_prefill(bench *b, int tokens);
/* Operations a second that a prefill reaches now, rounded no more than passes of a batch are. */
double bench_prefill_rate(bench *b);
void bench_decode(bench *b, int steps, int depth);
void bench_experts(bench *b, int rows);
void bench_frame(bench *b);
void bench_detokenizer(bench *b);

/* ---- bench_image.c */
void bench_image(bench *b);

/* ---- bench_device.c */

enum { BENCH_DEVICE_CAP = 160 };
/* Whether --device names one, or all. */
bool bench_takes_devices(const options *o);
/* Measures on the CPU, and then on each device that --device names, on a session of its own. The
 * exit code. */
int bench_devices(bench *b, int (*measure)(bench *b));
/* The device at hand was given up: what is measured is the CPU's. */
bool bench_lost(const bench *b);
/* Tells for each of these devices in which stages it is clearly faster than the CPU. */
int bench_calibrate_devices(bench *b,
                            void (*keep)(void *context, const char *device, unsigned stages),
                            void *context);

/* ---- cmd_bench.c */

/* As long as the options need it; NULL after a complaint. */
rnl_session *bench_session(const bench *b, int *code);

/* ---- bench_batch.c */

/* Passes of each number of rows behind each depth, and how many conversations can speak at once.
 * Returns the exit code, after a complaint. */
int bench_batch(bench *b, const bench_list *rows, const bench_list *depths);

#endif
