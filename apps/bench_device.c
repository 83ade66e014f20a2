/* The same work by the CPU and by devices: rows of each for people to compare and send in, or, with
 * --calibrate, stage by stage in turn, which `auto` goes by. A device has to win clearly. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/runnel_device.h>

#include "apps/bench_report.h"
#include "apps/device_options.h"
#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "core/json.h"

enum { INFO_CAP = 32, PREFILL = 128, STAGE_COUNT = 4 };
static const double clearly = 0.97; /* of the CPU's time */

/* By the bits of RNL_DEVICE_*. */
static const char *const stage_names[STAGE_COUNT] = {"encoder", "prefill", "decode", "depth"};

bool bench_takes_devices(const options *o) {
    return o->device != NULL && strcmp(o->device, "cpu") != 0 && strcmp(o->device, "auto") != 0;
}

/* Those that --device names: "all", or one as everywhere. Returns their number, or -1 after a
 * complaint. Refused ones of "all" are among them. */
static int chosen(const bench *b, rnl_device_info *infos) {
    rnl_device_config config;
    rnl_error error = {0};
    if (!device_options_parse(b->o, &config, &error)) {
        (void)complain(EXIT_USAGE, "%s", error.text);
        return -1;
    }
    if (strcmp(b->o->device, "all") != 0) {
        const char *colon = strchr(b->o->device, ':');
        infos[0] = (rnl_device_info){.shared = false};
        (void)snprintf(infos[0].kind, sizeof infos[0].kind, "%.*s", (int)strcspn(b->o->device, ":"),
                       b->o->device);
        if (colon != NULL) (void)snprintf(infos[0].name, sizeof infos[0].name, "%s", colon + 1);
        return 1;
    }
    config.device = "cpu";
    const size_t found = rnl_device_list(&config, infos, INFO_CAP);
    const int count = (int)(found < INFO_CAP ? found : INFO_CAP) - 1; /* the CPU is the first */
    memmove(infos, infos + 1, (size_t)count * sizeof *infos);
    return count;
}

/* "gpu:NAME" or "gpu". */
static void choice_of(const rnl_device_info *d, char out[BENCH_DEVICE_CAP]) {
    (void)snprintf(out, BENCH_DEVICE_CAP, "%s%s%s", d->kind, d->name[0] != '\0' ? ":" : "",
                   d->name);
}

static void say_refusal(const bench *b, const char *device, const char *why) {
    if (!b->o->json) {
        printf("%s is not used: %s\n", device, why);
        return;
    }
    json_draft *o = json_new_object();
    json_set(o, "device", json_new_string(device, strlen(device)));
    json_set(o, "refusal", json_new_string(why, strlen(why)));
    (void)print_json(o);
}

/* The session goes first: it belongs to who computes. */
static void leave(bench *b) {
    rnl_session_destroy(&b->s);
    placement_close(b->model);
}

/* A session on the model with these stages on the device; 0: on the CPU. EXIT_OK with b->s, or a
 * code; *why says why the device is not used. */
static int enter(bench *b, const char *device, unsigned stages, rnl_error *why) {
    rnl_device_config config;
    int code = EXIT_OK;
    *why = (rnl_error){0};
    if (!device_options_parse(b->o, &config, why)) return EXIT_USAGE;
    config.device = device;
    if (stages != 0 && placement_choose(b->model, &config, stages, why) != RNL_OK)
        return why->status == RNL_ERR_ARGUMENT ? EXIT_USAGE : EXIT_DEVICE;
    b->s = bench_session(b, &code);
    return b->s != NULL ? EXIT_OK : code;
}

bool bench_lost(const bench *b) {
    return b->device != NULL && strcmp(b->device, rnl_model_device(b->model, NULL)) != 0;
}

int bench_devices(bench *b, int (*measure)(bench *b)) {
    rnl_device_info *infos = calloc(INFO_CAP, sizeof *infos);
    rnl_error why;
    if (infos == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    const int count = chosen(b, infos);
    int code = count >= 0 ? enter(b, "cpu", 0, &why) : EXIT_USAGE;
    if (code == EXIT_OK) code = measure(b);
    for (int i = 0; i < count && code == EXIT_OK && !interrupted(); i++) {
        char device[BENCH_DEVICE_CAP];
        choice_of(&infos[i], device);
        leave(b);
        if (infos[i].refusal.status != RNL_OK) {
            say_refusal(b, device, infos[i].refusal.text);
            continue;
        }
        code = enter(b, device, RNL_DEVICE_STAGES, &why);
        if (code == EXIT_DEVICE) {
            say_refusal(b, device, why.text);
            code = EXIT_OK;
            continue;
        }
        if (code == EXIT_OK) code = measure(b);
        if (bench_lost(b)) say_refusal(b, device, "it was given up while it was measured");
    }
    if (code == EXIT_USAGE && count >= 0) (void)complain(code, "%s", why.text);
    free(infos);
    return code;
}

/* ---- Calibration ---- */

/* Takes the one row that a stage's work makes, as a time. */
static void take(void *context, const bench_row *row, double median) {
    double *time = context;
    *time = strcmp(row->unit, "ms") == 0 ? median : 1e3 / median;
}

static double time_of(bench *b, int stage) {
    double time = 0;
    b->take = take;
    b->take_context = &time;
    switch (stage) {
    case 0:
        bench_encoder(b, false, true);
        break;
    case 1:
        bench_prefill(b, PREFILL);
        break;
    case 2:
        bench_decode(b, BENCH_DECODE_STEPS, 0);
        break;
    default:
        bench_frame(b);
    }
    b->take = NULL;
    return time;
}

static bool has(const rnl_model *m, int stage) {
    if (stage == 0) return m->source.config.has_encoder;
    return stage < 3 || m->source.config.codebook_count > 0;
}

/* Of the device that computes: "gpu:NAME", which names no other. */
static void name_of(const bench *b, char out[BENCH_DEVICE_CAP]) {
    (void)snprintf(out, BENCH_DEVICE_CAP, "%s", rnl_model_device(b->model, NULL));
    char *space = strchr(out, ' ');
    if (space != NULL) *space = ':';
}

/* CPU, device, CPU: whether the device is clearly faster than the better of the two. device: as
 * --device names it; found: the one that was measured, if any was. */
static int compare(bench *b, const char *device, int stage, bool *faster,
                   char found[BENCH_DEVICE_CAP]) {
    double times[3] = {0};
    rnl_error why;
    *faster = false;
    for (int i = 0; i < 3; i++) {
        leave(b);
        const int code = enter(b, device, i == 1 ? 1u << stage : 0, &why);
        if (code == EXIT_DEVICE) { /* it does not take this stage */
            if (!b->o->json && !b->o->quiet)
                printf("%-11s %-8s %s\n", device, stage_names[stage], why.text);
            return EXIT_OK;
        }
        if (code != EXIT_OK) return complain(code, "%s", why.text);
        if (i == 1) name_of(b, found);
        times[i] = time_of(b, stage);
        if (interrupted()) return EXIT_STOPPED;
        if (i == 1 && strcmp(rnl_model_device(b->model, NULL), "cpu") == 0)
            return EXIT_OK; /* lost */
    }
    const double cpu = times[0] < times[2] ? times[0] : times[2];
    *faster = times[1] > 0 && times[1] < clearly * cpu;
    if (!b->o->json && !b->o->quiet)
        printf("%-11s %-8s %10.3f ms, the CPU %.3f%s\n", device, stage_names[stage], times[1], cpu,
               *faster ? "  taken" : "");
    return EXIT_OK;
}

int bench_calibrate_devices(bench *b,
                            void (*keep)(void *context, const char *device, unsigned stages),
                            void *context) {
    rnl_device_info *infos = calloc(INFO_CAP, sizeof *infos);
    if (infos == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    const int count = chosen(b, infos);
    int code = count >= 0 ? EXIT_OK : EXIT_USAGE;
    for (int i = 0; i < count && code == EXIT_OK; i++) {
        char device[BENCH_DEVICE_CAP], found[BENCH_DEVICE_CAP];
        unsigned stages = 0;
        choice_of(&infos[i], device);
        choice_of(&infos[i], found);
        if (infos[i].refusal.status != RNL_OK) continue;
        for (int stage = 0; stage < STAGE_COUNT && code == EXIT_OK; stage++) {
            bool faster = false;
            if (has(b->model, stage)) code = compare(b, device, stage, &faster, found);
            if (faster) stages |= 1u << stage;
        }
        if (code == EXIT_OK) keep(context, found, stages);
    }
    free(infos);
    return code;
}
