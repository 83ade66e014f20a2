/* runnel doctor: whether this machine can hold a conversation with this model, in a page. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/bench_report.h"
#include "apps/commands.h"
#include "core/digest.h"
#include "apps/doctor.h"
#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/open.h"
#include "apps/replace.h"
#include "apps/sources.h"
#include "apps/tuning.h"
#include "audio/duplex.h"
#include "core/threads.h"

enum { DEPTH = 500, BURST = 6, REPEAT = 5, REPEAT_BANDWIDTH = 2, PATH_SIZE = 4096 };

typedef struct doctor {
    const options *o;
    machine m;
    findings f;
    double text_ms, frame_ms, bandwidth; /* GB/s; 0: not measured */
    loopback loop;
    bool looped;
    json_draft *files; /* array */
} doctor;

/* ---- The model ---- */

static const char no_model[] = "`runnel pull LiquidAI/LFM2.5-Audio-1.5B-GGUF:Q4_0` fetches one, -m "
                               "takes its name";

/* A file of the hub's cache is a link to one that has its sum as name. False: this one is not. */
static bool known_sum(const char *path, char sum[DIGEST_HEX_CAP]) {
    char target[PATH_SIZE];
    const ssize_t got = readlink(path, target, sizeof target - 1);
    if (got <= 0) return false;
    target[got] = '\0';
    const char *slash = strrchr(target, '/'), *name = slash != NULL ? slash + 1 : target;
    const size_t size = strlen(name);
    const bool known = (size == DIGEST_SHA256_HEX || size == DIGEST_GIT_HEX) &&
                       strspn(name, "0123456789abcdef") == size;
    if (known) (void)strcpy(sum, name);
    return known;
}

/* The sum of a file's bytes; false after Ctrl-C or when it cannot be read. */
static bool sum_file(const char *path, digest_kind kind, int64_t *size, char sum[DIGEST_HEX_CAP]) {
    enum { PART = 1 << 20 };
    FILE *f = fopen(path, "rb");
    unsigned char *part = malloc(PART);
    bool good = f != NULL && part != NULL && fseeko(f, 0, SEEK_END) == 0;
    *size = good ? (int64_t)ftello(f) : 0;
    digest *d = good ? digest_open(kind, *size) : NULL;
    good = d != NULL && fseeko(f, 0, SEEK_SET) == 0;
    for (size_t got; good && (got = fread(part, 1, PART, f)) > 0;) {
        digest_add(d, part, got);
        good = !interrupted();
    }
    good = good && ferror(f) == 0 && digest_end(&d, sum);
    digest_drop(&d);
    free(part);
    if (f != NULL) (void)fclose(f);
    return good;
}

static void check_file(doctor *d, const char *path) {
    char sum[DIGEST_HEX_CAP], known[DIGEST_HEX_CAP] = "", size_told[SIZE_TEXT_CAP];
    int64_t size;
    const bool has_sum = known_sum(path, known);
    const bool git = has_sum && strlen(known) == DIGEST_GIT_HEX;
    if (!sum_file(path, git ? DIGEST_GIT_BLOB : DIGEST_SHA256, &size, sum)) {
        if (!interrupted())
            finding_add(&d->f, "file", FINDING_BAD, "look at the disk, or fetch the model again",
                        "%s: cannot be read: %s", path, strerror(errno));
        return;
    }
    json_draft *o = json_new_object();
    json_set(o, "path", json_new_string(path, strlen(path)));
    json_set(o, "bytes", json_new_int(size));
    json_set(o, git ? "git_sha1" : "sha256", json_new_string(sum, strlen(sum)));
    if (has_sum) json_set(o, "as_published", json_new_bool(strcmp(sum, known) == 0));
    json_append(d->files, o);
    size_text(size, size_told);
    if (has_sum && strcmp(sum, known) != 0)
        finding_add(&d->f, "file", FINDING_BAD,
                    "`runnel models --remove ORG/NAME`, then `runnel pull` it again",
                    "%s: its bytes are not those that the hub published (%.16s...)", path, sum);
    else
        finding_add(&d->f, "file", FINDING_GOOD, NULL, "%s, %s, %s %.16s...%s", path, size_told,
                    git ? "git" : "sha256", sum, has_sum ? ", as the hub published it" : "");
}

static void check_model(doctor *d, const rnl_model *m) {
    rnl_model_info info;
    rnl_model_get_info(m, &info);
    if (rnl_model_can(m, RNL_MODE_INTERLEAVED))
        finding_add(&d->f, "model", FINDING_GOOD, NULL, "%s: %s, %s",
                    info.name[0] != '\0' ? info.name : m->path, m->source.kind, bench_type(m));
    else
        finding_add(&d->f, "model", FINDING_BAD, no_model,
                    "%s: this model has no part that hears and speaks", m->path);
    for (size_t i = 0; i < weights_file_count(m->source.w) && !interrupted(); i++)
        check_file(d, weights_file(m->source.w, i));
}

/* ---- Speed ---- */

static void take_row(void *context, const bench_row *row, double median) {
    doctor *d = context;
    if (strcmp(row->work, "decode") == 0 && median > 0) d->text_ms = 1e3 / median;
    if (strcmp(row->work, "frame") == 0) d->frame_ms = median;
    if (strcmp(row->work, "bandwidth") == 0 && median > d->bandwidth) d->bandwidth = median;
}

/* EXIT_OK, or the code of a complaint. */
static int measure(doctor *d, rnl_model *model, rnl_session *session) {
    bench *b = calloc(1, sizeof *b);
    if (b == NULL || !bench_limit_create(b)) {
        free(b);
        return complain(EXIT_FAILED, "memory is exhausted");
    }
    b->o = d->o;
    b->model = model;
    b->s = session;
    b->features = kernels_allowed(kernels_cpu_features());
    b->take = take_row;
    b->take_context = d;
    b->repeat = REPEAT_BANDWIDTH;
    bench_bandwidth_rows(b);
    b->repeat = REPEAT;
    if (rnl_model_can(model, RNL_MODE_INTERLEAVED)) {
        bench_decode(b, BURST, DEPTH);
        bench_frame(b);
    }
    bench_limit_destroy(b);
    free(b);
    if (interrupted()) return EXIT_STOPPED;
    finding_add(&d->f, "bandwidth", FINDING_GOOD, NULL, "%.1f GB/s read from memory, %d threads",
                d->bandwidth, session->config.thread_count);
    if (d->frame_ms > 0) doctor_speed(&d->f, d->text_ms, d->frame_ms);
    return EXIT_OK;
}

static void check_level(doctor *d, const rnl_model *model) {
    const char *level = model->kernels.name;
    if (strcmp(level, "scalar") == 0)
        finding_add(&d->f, "kernels", FINDING_ADVICE,
                    "a processor with AVX2 or NEON, or leave --cpu away",
                    "level scalar: no vector instructions are used");
    else
        finding_add(&d->f, "kernels", FINDING_GOOD, NULL, "level %s", level);
}

static void check_tuning(doctor *d) {
    tuning kept;
    if (tuning_read(&kept, true))
        finding_add(&d->f, "calibration", FINDING_GOOD, NULL,
                    "prefetch %s, huge pages %s, blocks of %d KiB",
                    tuning_prefetch_names[kept.choices.prefetch],
                    kept.choices.huge_pages ? "on" : "off", kept.choices.block_kib);
    else
        finding_add(&d->f, "calibration", FINDING_ADVICE,
                    "`runnel bench --calibrate`, once, some seconds on a quiet machine",
                    "none for this processor: defaults are taken");
}

/* ---- Sound ---- */

static bool is_card(const char *name) {
    return name == NULL || (!device_is_file(name) && strcmp(name, "null") != 0);
}

static const char no_sound[] = "plug one in, start the sound server (PulseAudio, PipeWire), or "
                               "add yourself to the group audio; then `runnel devices`";

static void tell_device(doctor *d, const char *check, const device_row *r, bool in) {
    const double latency = in ? r->latency_in_ms : r->latency_out_ms;
    const bool phone = r->rate < RNL_RATE_IN;
    finding_add(&d->f, check, phone ? FINDING_ADVICE : FINDING_GOOD,
                phone ? "that is the quality of a telephone, as of a Bluetooth headset with its "
                        "microphone on: take another microphone"
                      : NULL,
                "%s, %s: %.0f Hz, %.0f ms", r->host, r->name, r->rate, latency);
}

/* The devices that a conversation would take unless others are named. */
static void check_cards(doctor *d) {
    device_row *rows = NULL;
    size_t count = 0;
    rnl_error error = {0};
    const device_row *in = NULL, *out = NULL;
    if (device_list(&rows, &count, &error) != RNL_OK) {
        finding_add(&d->f, "sound", FINDING_BAD, no_sound, "%s", error.text);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (rows[i].default_in && rows[i].in_channels > 0) in = &rows[i];
        if (rows[i].default_out && rows[i].out_channels > 0) out = &rows[i];
    }
    if (in == NULL)
        finding_add(&d->f, "microphone", FINDING_BAD, no_sound, "there is none");
    else
        tell_device(d, "microphone", in, true);
    if (out == NULL)
        finding_add(&d->f, "loudspeaker", FINDING_BAD, no_sound, "there is none");
    else
        tell_device(d, "loudspeaker", out, false);
    free(rows);
}

/* Plays the noise and hears: mic, reference [LOOPBACK_HEARD]. */
static rnl_status play(duplex *sound, const float *noise, float *mic, float *reference,
                       rnl_error *error) {
    size_t heard = 0, played = 0;
    duplex_block b;
    while (!interrupted()) {
        while (heard < LOOPBACK_HEARD && duplex_pull(sound, &b) == RNL_OK) {
            memcpy(mic + heard, b.mic, sizeof b.mic);
            memcpy(reference + heard, b.reference, sizeof b.reference);
            heard += DUPLEX_BLOCK;
        }
        if (heard == LOOPBACK_HEARD) return RNL_OK;
        if (heard >= LOOPBACK_BEFORE && played < LOOPBACK_NOISE) {
            const size_t room = duplex_room(sound), left = LOOPBACK_NOISE - played;
            size_t taken;
            duplex_push(sound, noise + played, room < left ? room : left, &taken);
            played += taken;
            if (played == LOOPBACK_NOISE) duplex_end(sound);
        }
        const rnl_status status = duplex_wait(sound, error);
        if (status != RNL_OK) return status;
    }
    return RNL_AGAIN;
}

static int bad_sound(doctor *d, const rnl_error *error) {
    finding_add(&d->f, "loopback", FINDING_BAD, no_sound, "%s", error->text);
    return EXIT_OK;
}

/* EXIT_OK, or the code of a complaint. */
static int check_loopback(doctor *d) {
    device_config c = device_config_default();
    c.input = d->o->input;
    c.output = d->o->output;
    if (!is_card(c.input) && c.output == NULL) c.output = "null";
    if (!is_card(c.output) && c.input == NULL) c.input = "null";
    if (c.input != NULL && device_is_file(c.input)) source_note(strchr(c.input, ':') + 1);
    if (c.output != NULL && device_is_file(c.output)) {
        const int code = check_target(strchr(c.output, ':') + 1);
        if (code != EXIT_OK) return code;
    }
    duplex *sound = NULL;
    rnl_error error = {0};
    if (duplex_open(&c, &sound, &error) != RNL_OK) return bad_sound(d, &error);
    float *noise = malloc(LOOPBACK_NOISE * sizeof *noise);
    float *heard = malloc(2 * LOOPBACK_HEARD * sizeof *heard);
    rnl_status status = RNL_ERR_MEMORY;
    if (noise != NULL && heard != NULL) {
        loopback_noise(noise);
        status = play(sound, noise, heard, heard + LOOPBACK_HEARD, &error);
    }
    if (status == RNL_OK) {
        loopback_judge(heard, heard + LOOPBACK_HEARD, LOOPBACK_HEARD, &d->loop);
        d->looped = true;
        doctor_loopback(&d->f, &d->loop);
    }
    free(noise);
    free(heard);
    const rnl_status closed = duplex_close(&sound, status != RNL_OK, &error);
    if (status == RNL_ERR_MEMORY) return complain(EXIT_FAILED, "memory is exhausted");
    if (status == RNL_AGAIN) return EXIT_STOPPED;
    return status == RNL_OK && closed == RNL_OK ? EXIT_OK : bad_sound(d, &error);
}

static int check_sound(doctor *d) {
    if (is_card(d->o->input) && is_card(d->o->output)) check_cards(d);
    return d->o->sound ? check_loopback(d) : EXIT_OK;
}

/* ---- All of it ---- */

/* Sounds beyond those that are read directly. */
static void check_ffmpeg(doctor *d) {
    char path[PATH_SIZE];
    const char *all = getenv("PATH");
    for (const char *at = all; at != NULL && *at != '\0';) {
        const size_t size = strcspn(at, ":");
        if ((size_t)snprintf(path, sizeof path, "%.*s/ffmpeg", (int)size, at) < sizeof path &&
            access(path, X_OK) == 0) {
            finding_add(&d->f, "ffmpeg", FINDING_GOOD, NULL, "%s", path);
            return;
        }
        at += size + (at[size] == ':');
    }
    finding_add(&d->f, "ffmpeg", FINDING_ADVICE, "`apt install ffmpeg`",
                "it is not installed: m4a, mp4 and webm cannot be read");
}

static int check_opened(doctor *d, rnl_model *model) {
    rnl_error error = {0};
    options deep = *d->o;
    rnl_memory_plan plan;
    rnl_session_config config = rnl_session_config_default();
    int code = EXIT_OK;
    check_model(d, model);
    check_level(d, model);
    if (!session_options(d->o, &config)) return EXIT_USAGE;
    if (rnl_session_plan(model, &config, &plan, &error) != RNL_OK)
        return complain(exit_code(&error), "%s", error.text);
    doctor_memory(&d->f, &d->m, model->weight_size, plan.total);
    if (deep.context > 0 && deep.context < 2 * DEPTH) deep.context = 2 * DEPTH;
    rnl_session *session = open_session(&deep, model, &code);
    if (session != NULL) code = measure(d, model, session);
    rnl_session_destroy(&session);
    return code;
}

static int tell(doctor *d) {
    const finding_grade grade = findings_grade(&d->f);
    int code;
    if (d->o->json) {
        json_draft *o = json_new_object();
        json_set(o, "can_talk", json_new_bool(grade != FINDING_BAD));
        json_set(o, "cpu", json_new_string(d->m.cpu, strlen(d->m.cpu)));
        if (d->bandwidth > 0) json_set(o, "bandwidth_gb_s", json_new_number(d->bandwidth));
        if (d->frame_ms > 0) json_set(o, "frame_ms", json_new_number(d->frame_ms));
        if (d->text_ms > 0) json_set(o, "text_ms", json_new_number(d->text_ms));
        if (d->looped && d->loop.heard) {
            json_set(o, "loopback_delay_ms", json_new_number(d->loop.delay_ms));
            json_set(o, "echo_return_loss_db", json_new_number(d->loop.return_loss_db));
        }
        json_set(o, "files", d->files);
        d->files = NULL;
        json_set(o, "checks", findings_json(&d->f));
        code = print_json(o);
    } else {
        findings_print(&d->f);
        code = flush_output();
    }
    return code == EXIT_OK && grade == FINDING_BAD ? EXIT_FAILED : code;
}

static int run(const options *o) {
    if (o->argument_count > 0)
        return complain(EXIT_USAGE, "doctor: takes no argument, got '%s'; -m names a model",
                        o->arguments[0]);
    doctor *d = calloc(1, sizeof *d);
    if (d == NULL) return complain(EXIT_FAILED, "memory is exhausted");
    d->o = o;
    d->files = json_new_array();
    machine_read("", &d->m); /* before the model takes memory */
    const int processors = threads_default("");
    finding_add(&d->f, "machine", FINDING_GOOD, NULL, "%s, %d cores, runnel %s",
                d->m.cpu[0] != '\0' ? d->m.cpu : "a processor that has no name", processors,
                rnl_version());
    rnl_error error = {0};
    int code = EXIT_OK;
    rnl_model *model = try_open_model(o, &code, &error);
    if (model == NULL && code != EXIT_USAGE) {
        finding_add(&d->f, "model", FINDING_BAD, no_model, "%s", error.text);
        code = EXIT_OK;
    } else if (model == NULL) {
        (void)complain(code, "%s", error.text);
    } else {
        code = check_opened(d, model);
    }
    if (code == EXIT_OK) {
        check_tuning(d);
        doctor_machine(&d->f, &d->m, processors);
        check_ffmpeg(d);
        code = check_sound(d);
    }
    rnl_model_close(&model);
    if (code == EXIT_OK) code = tell(d);
    json_drop(&d->files);
    free(d);
    return code;
}

static const option_row rows[] = {
    {.name = "sound",
     .help = "play noise for a second and hear what comes back",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(sound)},
};
static const option_list own = OPTION_LIST(rows);

const command command_doctor = {
    .name = "doctor",
    .summary = "whether this machine can hold a conversation with this model",
    .synopsis = "[options] [--sound] [--input DEVICE] [--output DEVICE]",
    .about =
        "Looks at the model and the sums of its files, memory, speed, permissions, sound devices,\n"
        "and says of each what is wrong and what to do. With --sound the loudspeaker plays noise\n"
        "for a second, to learn how late and how strong the microphone hears it. Devices are\n"
        "named as in `runnel talk`. Exit code 0: a conversation can be held; 1: it cannot.",
    .options = {&options_json, &options_lora, &options_device, &options_cache, &options_output,
                &options_input, &own},
    .run = run,
};
