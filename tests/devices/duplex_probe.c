/* A conversation without a model, for tests of real devices:
 *
 *     duplex_probe INPUT OUTPUT SECONDS HZ HEARD.wav [SAID.wav [LATENCY_MS]]
 *
 * plays a tone of HZ (0: nothing) for SECONDS from the device OUTPUT and writes what INPUT gives
 * for at least so long and until the tone is out, and the reference beside it. Prints the counts as
 * one JSON line. Ends with 4 and a sentence when there is trouble with a device. A lost device is
 * waited for, 10 s at most. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "audio/duplex.h"
#include "audio/file.h"

enum { EXIT_DEVICE = 4, PATIENCE_US = 10000000 };

typedef struct probe {
    duplex *d;
    sound_writer *heard, *said; /* said may be NULL */
    double seconds, hz;
    int64_t played;    /* samples pushed */
    int64_t queued_us; /* when some of them last waited */
} probe;

static int fail(const rnl_error *error) {
    (void)fprintf(stderr, "duplex_probe: %s\n", error->text);
    return EXIT_DEVICE;
}

/* Asks for a lost device until it is there. */
static bool reopened(probe *p, const rnl_error *error) {
    (void)fprintf(stderr, "duplex_probe: %s\n", error->text);
    for (int64_t begin = duplex_now_us(p->d); duplex_now_us(p->d) - begin < PATIENCE_US;) {
        if (duplex_reopen(p->d) == RNL_OK) {
            (void)fprintf(stderr, "duplex_probe: the device is back\n");
            return true;
        }
        struct timespec pause = {.tv_nsec = 300000000};
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

static void play(probe *p) {
    float tone[480];
    const int64_t total = (int64_t)(p->seconds * DUPLEX_RATE_SPEAKER);
    while (p->hz > 0.0 && p->played < total) {
        size_t n = duplex_room(p->d), taken;
        if (n > 480) n = 480;
        if ((int64_t)n > total - p->played) n = (size_t)(total - p->played);
        if (n == 0) break;
        for (size_t i = 0; i < n; i++)
            tone[i] = (float)(0.3 * sin(6.283185307179586 * p->hz *
                                        (double)(p->played + (int64_t)i) / DUPLEX_RATE_SPEAKER));
        duplex_push(p->d, tone, n, &taken);
        p->played += (int64_t)taken;
        if (p->played == total) duplex_end(p->d);
    }
}

/* The tone is not out yet, or its last sample not heard of in the reference. */
static bool sounds(const probe *p) {
    enum { TAIL_US = 500000 };
    if (p->hz <= 0.0) return false;
    const bool all = p->played == (int64_t)(p->seconds * DUPLEX_RATE_SPEAKER);
    return !all || duplex_queued(p->d) > 0 || duplex_now_us(p->d) - p->queued_us < TAIL_US;
}

static int talk(probe *p) {
    duplex_block block;
    rnl_error error = {0};
    const int64_t total = (int64_t)(p->seconds * DUPLEX_RATE_MIC);
    for (int64_t heard = 0; heard < total || sounds(p);) {
        play(p);
        while (duplex_pull(p->d, &block) == RNL_OK) {
            if (sound_write(p->heard, block.mic, DUPLEX_BLOCK, &error) != RNL_OK ||
                (p->said != NULL &&
                 sound_write(p->said, block.reference, DUPLEX_BLOCK, &error) != RNL_OK))
                return fail(&error);
            heard += DUPLEX_BLOCK;
        }
        if (duplex_queued(p->d) > 0) p->queued_us = duplex_now_us(p->d);
        if (duplex_wait(p->d, &error) != RNL_OK && !reopened(p, &error)) return EXIT_DEVICE;
    }
    return 0;
}

static void print_counts(const probe *p) {
    duplex_counts c;
    int64_t dac_us = 0;
    const device_facts *f = duplex_facts(p->d);
    const rnl_status known = duplex_dac_us(p->d, 0, &dac_us);
    duplex_get_counts(p->d, &c);
    printf("{\"input\":\"%s\",\"output\":\"%s\",\"rate_in\":%d,\"rate_out\":%d,\"one_clock\":%d,"
           "\"latency_in_ms\":%.1f,\"latency_out_ms\":%.1f,\"mic\":%lld,\"pushed\":%lld,"
           "\"played\":%lld,\"in_xruns\":%lld,\"out_xruns\":%lld,\"dropped\":%lld,\"late\":%lld,"
           "\"reopened\":%lld,\"drift_ppm\":%.1f,\"zeros_ms\":%lld,\"first_known\":%d}\n",
           f->name_in, f->name_out, f->rate_in, f->rate_out, f->one_clock,
           (double)f->latency_in_us / 1000.0, (double)f->latency_out_us / 1000.0,
           (long long)c.mic_count, (long long)c.pushed_count, (long long)c.played_count,
           (long long)c.in_xruns, (long long)c.out_xruns, (long long)c.dropped_count,
           (long long)c.late_count, (long long)c.reopen_count, c.drift_ppm,
           (long long)(c.zeros_us / 1000), known == RNL_OK);
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    device_config config = device_config_default();
    rnl_error error = {0};
    config.input = argv[1];
    config.output = argv[2];
    if (argc > 7) config.latency_ms = atof(argv[7]);
    probe p = {.seconds = atof(argv[3]), .hz = atof(argv[4])};
    if (duplex_open(&config, &p.d, &error) != RNL_OK) return fail(&error);
    int code = 0;
    if (sound_writer_create(argv[5], DUPLEX_RATE_MIC, &p.heard, &error) != RNL_OK ||
        (argc > 6 && sound_writer_create(argv[6], DUPLEX_RATE_MIC, &p.said, &error) != RNL_OK))
        code = fail(&error);
    if (code == 0) code = talk(&p);
    if (code == 0) print_counts(&p);
    if (code == 0 && sound_writer_finish(&p.heard, &error) != RNL_OK) code = fail(&error);
    if (code == 0 && p.said != NULL && sound_writer_finish(&p.said, &error) != RNL_OK)
        code = fail(&error);
    sound_writer_abort(&p.heard);
    sound_writer_abort(&p.said);
    if (duplex_close(&p.d, false, &error) != RNL_OK) code = fail(&error);
    return code;
}
