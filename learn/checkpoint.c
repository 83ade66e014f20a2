#include "learn/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/hash_table.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "core/staged_file.h"
#include "core/status.h"

enum { PATH_CAP = 4096, STATE_CAP = 1 << 20, HASHED_BYTES = 4096, STEP_DIGITS = 8 };

static const char weights_name[] = "weights.safetensors", moments_name[] = "moments.safetensors";
static const char state_name[] = "state.json";

static bool join(char out[PATH_CAP], const char *folder, const char *name) {
    return (size_t)snprintf(out, PATH_CAP, "%s/%s", folder, name) < PATH_CAP;
}

static rnl_status too_long(const char *folder, rnl_error *error) {
    return status_fail(error, RNL_ERR_IO, "%s: the name is too long", folder);
}

uint64_t learn_model_hash(const rnl_model *m) {
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < weights_count(m->source.w); i++) {
        const tensor *t = weights_at(m->source.w, i);
        if (!weights_is_used(m->source.w, i) || t->data == NULL) continue;
        hash = hash_bytes(hash, t->name, strlen(t->name));
        hash = hash_bytes(hash, &t->type, sizeof t->type);
        hash = hash_bytes(hash, t->shape, sizeof t->shape);
        hash = hash_bytes(hash, t->data, t->size < HASHED_BYTES ? t->size : HASHED_BYTES);
    }
    return hash;
}

/* ---- Tensors ---- */

typedef struct part {
    const char *ending; /* behind the tensor's name */
    float *(*of)(const learn_tensor *t);
} part;

static float *value_of(const learn_tensor *t) {
    return t->value;
}
static float *mean_of(const learn_tensor *t) {
    return t->mean;
}
static float *square_of(const learn_tensor *t) {
    return t->square;
}
static const part value_parts[] = {{"", value_of}};
static const part moment_parts[] = {{".m", mean_of}, {".v", square_of}};

static void part_name(char out[LEARN_NAME_CAP + 4], const learn_tensor *t, const part *p) {
    (void)snprintf(out, LEARN_NAME_CAP + 4, "%s%s", t->name, p->ending);
}

static rnl_status write_tensors(const learn_tensors *t, const part *parts, int part_count,
                                const char *path, rnl_error *error) {
    safetensors_writer *w = NULL;
    char name[LEARN_NAME_CAP + 4];
    rnl_status status = safetensors_writer_create(path, &w, error);
    if (status != RNL_OK) return status;
    for (int i = 0; i < t->count; i++)
        for (int p = 0; p < part_count; p++) {
            part_name(name, &t->all[i], &parts[p]);
            safetensors_put_tensor(w, name, QUANT_F32, t->all[i].rank, t->all[i].shape);
        }
    status = safetensors_writer_begin_data(w, error);
    for (int i = 0; i < t->count && status == RNL_OK; i++)
        for (int p = 0; p < part_count && status == RNL_OK; p++)
            status = safetensors_writer_data(w, parts[p].of(&t->all[i]),
                                             t->all[i].count * sizeof(float), error);
    if (status == RNL_OK) return safetensors_writer_finish(&w, error);
    safetensors_writer_abort(&w);
    return status;
}

static const tensor *find(const safetensors *s, const char *name) {
    for (size_t i = 0; i < safetensors_tensor_count(s); i++)
        if (strcmp(safetensors_tensor(s, i)->name, name) == 0) return safetensors_tensor(s, i);
    return NULL;
}

static rnl_status read_tensors(const learn_tensors *t, const part *parts, int part_count,
                               const char *path, rnl_error *error) {
    safetensors *s = NULL;
    char name[LEARN_NAME_CAP + 4];
    rnl_status status = safetensors_open(path, &s, error);
    for (int i = 0; i < t->count && status == RNL_OK; i++)
        for (int p = 0; p < part_count && status == RNL_OK; p++) {
            part_name(name, &t->all[i], &parts[p]);
            const tensor *from = find(s, name);
            if (from == NULL || from->foreign != NULL || from->type != QUANT_F32 ||
                from->size != t->all[i].count * sizeof(float))
                status = status_fail(error, RNL_ERR_FORMAT,
                                     "%s: tensor '%s' is missing or of another shape: the file is "
                                     "of another training",
                                     path, name);
            else
                memcpy(parts[p].of(&t->all[i]), from->data, from->size);
        }
    safetensors_close(&s);
    return status;
}

rnl_status learn_values_write(const learn_network *n, const char *path, rnl_error *error) {
    return write_tensors(&n->tensors, value_parts, 1, path, error);
}

rnl_status learn_values_read(const learn_network *n, const char *path, rnl_error *error) {
    return read_tensors(&n->tensors, value_parts, 1, path, error);
}

/* ---- State ---- */

static void set_hash(json_draft *o, const char *key, uint64_t hash) {
    char text[24];
    const int size = snprintf(text, sizeof text, "%016" PRIx64, hash);
    json_set(o, key, json_new_string(text, (size_t)size));
}

static void set_int(json_draft *o, const char *key, int64_t value) {
    json_set(o, key, json_new_int(value));
}

/* As text: every bit is to come back. NAN is left out. */
static void set_number(json_draft *o, const char *key, double value) {
    char text[32];
    const int size = snprintf(text, sizeof text, "%.17g", value);
    if (!isnan(value)) json_set(o, key, json_new_string(text, (size_t)size));
}

static json_draft *plan_of(const learn_trainer *t) {
    const learn_hyper *h = &t->plan.hyper;
    const learn_choice *c = &t->n->config.choice;
    json_draft *o = json_new_object();
    set_number(o, "rate", h->rate);
    set_number(o, "beta1", h->beta1);
    set_number(o, "beta2", h->beta2);
    set_number(o, "eps", h->eps);
    set_number(o, "decay", h->decay);
    set_number(o, "clip", h->clip);
    set_int(o, "warmup", h->warmup);
    set_int(o, "steps", h->steps);
    set_number(o, "floor", h->floor);
    set_int(o, "length", t->plan.length);
    set_int(o, "batch", t->plan.batch);
    set_hash(o, "seed", t->plan.seed);
    json_set(o, "bf16", json_new_bool(t->n->config.bf16 != NULL));
    json_set(o, "full", json_new_bool(c->full));
    set_int(o, "rank", c->full ? 0 : c->rank);
    set_number(o, "scale", c->full ? 1 : (double)c->scale);
    set_number(o, "dropout", c->full ? 0 : c->dropout);
    set_int(o, "modules", c->full ? 0 : (int64_t)c->modules[LEARN_BACKBONE]);
    set_int(o, "audio_modules", c->full ? 0 : (int64_t)c->modules[LEARN_AUDIO]);
    return o;
}

static char *state_text(const learn_trainer *t) {
    json_draft *o = json_new_object();
    set_hash(o, "model", learn_model_hash(t->n->model));
    set_hash(o, "data", t->data->hash);
    json_set(o, "plan", plan_of(t));
    set_int(o, "step", t->step);
    set_int(o, "taken", t->taken);
    set_int(o, "epoch", t->epoch_index);
    set_int(o, "row", t->row_at);
    set_int(o, "positions", t->position_count);
    set_int(o, "skipped", t->skipped_count);
    set_int(o, "skipped_run", t->skipped_run);
    set_number(o, "held_first", t->held_first);
    set_number(o, "held_last", t->held_last);
    set_number(o, "held_best", t->held_best);
    set_int(o, "held_best_step", t->held_best_step);
    set_int(o, "held_worse_run", t->held_worse_run);
    char *text = json_text(o);
    json_drop(&o);
    return text;
}

static rnl_status write_state(const learn_trainer *t, const char *path, rnl_error *error) {
    char *text = state_text(t);
    const rnl_status status = staged_write_line(path, text, error);
    free(text);
    return status;
}

/* ---- Folders ---- */

/* The step that a folder's name says; -1: none. */
static int64_t step_of(const char *name) {
    char *end;
    if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9') return -1;
    const long long step = strtoll(name + 5, &end, 10);
    return *end == '\0' ? step : -1;
}

static bool is_complete(const char *folder, const char *name) {
    char path[PATH_CAP];
    return (size_t)snprintf(path, sizeof path, "%s/%s/%s", folder, name, state_name) <
               sizeof path &&
           access(path, F_OK) == 0;
}

static void remove_one(const char *folder, const char *name) {
    char own[PATH_CAP], path[PATH_CAP];
    const char *const files[] = {state_name, weights_name, moments_name};
    if (!join(own, folder, name)) return;
    for (int i = 0; i < 3; i++)
        if (join(path, own, files[i])) (void)unlink(path);
    (void)rmdir(own);
}

/* The newest complete step below `below`; -1: none. count: complete ones from there downwards. */
static int64_t newest(const char *folder, int64_t below, char name[PATH_CAP]) {
    int64_t best = -1;
    DIR *d = opendir(folder);
    if (d == NULL) return -1;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        const int64_t step = step_of(e->d_name);
        if (step <= best || step >= below || !is_complete(folder, e->d_name)) continue;
        best = step;
        (void)snprintf(name, PATH_CAP, "%s", e->d_name);
    }
    (void)closedir(d);
    return best;
}

bool learn_checkpoint_exists(const char *folder) {
    char name[PATH_CAP];
    return newest(folder, INT64_MAX, name) >= 0;
}

static void remove_old(const char *folder, int keep) {
    char name[PATH_CAP];
    int64_t step = INT64_MAX;
    for (int i = 0; (step = newest(folder, step, name)) >= 0; i++)
        if (i >= keep) remove_one(folder, name);
}

rnl_status learn_checkpoint_write(const learn_trainer *t, const char *folder, int keep,
                                  rnl_error *error) {
    char own[PATH_CAP], path[PATH_CAP], name[32];
    (void)snprintf(name, sizeof name, "step-%0*" PRId64, STEP_DIGITS, t->step);
    if (!join(own, folder, name) || !join(path, own, moments_name)) return too_long(folder, error);
    remove_one(folder, name); /* what a killed run left */
    if (mkdir(own, 0777) != 0 && errno != EEXIST)
        return status_fail(error, RNL_ERR_IO, "%s: cannot be made: %s", own, strerror(errno));
    rnl_status status = write_tensors(&t->n->tensors, moment_parts, 2, path, error);
    if (status == RNL_OK && join(path, own, weights_name))
        status = learn_values_write(t->n, path, error);
    if (status == RNL_OK && join(path, own, state_name)) status = write_state(t, path, error);
    if (status != RNL_OK) {
        remove_one(folder, name);
        return status;
    }
    remove_old(folder, keep);
    return RNL_OK;
}

/* ---- Reading ---- */

static rnl_status damaged(const char *path, const char *key, rnl_error *error) {
    return status_fail(error, RNL_ERR_FORMAT,
                       "%s: \"%s\" is missing or out of its range; remove the folder it is in to "
                       "go on from the one before",
                       path, key);
}

static double held(const json *root, const char *key) {
    const char *text = json_chars(json_get(root, key), NULL);
    return text != NULL ? strtod(text, NULL) : NAN;
}

/* Whether the file's plan is t's, field for field. */
static bool same_plan(const learn_trainer *t, const json *root, const char **differs) {
    json_draft *own = plan_of(t);
    char *text = json_text(own);
    json *mine = NULL;
    json_drop(&own);
    *differs = "plan";
    if (text == NULL || json_parse(text, strlen(text), "plan", &mine, NULL) != RNL_OK) {
        free(text);
        return false;
    }
    static const char *const keys[] = {"rate",   "beta1",   "beta2",         "eps",    "decay",
                                       "clip",   "warmup",  "steps",         "floor",  "batch",
                                       "length", "rank",    "scale",         "seed",   "full",
                                       "bf16",   "modules", "audio_modules", "dropout"};
    bool same = true;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && same; i++) {
        const json *a = json_get(mine, keys[i]), *b = json_get(json_get(root, "plan"), keys[i]);
        double x = 0, y = 0;
        const char *p = json_chars(a, NULL), *q = json_chars(b, NULL);
        bool full = false, other = false;
        if (p != NULL)
            same = q != NULL && strcmp(p, q) == 0;
        else if (json_bool(a, &full))
            same = json_bool(b, &other) && full == other;
        else
            same = json_number(a, &x) && json_number(b, &y) && x == y;
        if (!same) *differs = keys[i];
    }
    json_destroy(&mine);
    free(text);
    return same;
}

static bool same_hash(const json *root, const char *key, uint64_t want) {
    char text[24];
    const char *have = json_chars(json_get(root, key), NULL);
    (void)snprintf(text, sizeof text, "%016" PRIx64, want);
    return have != NULL && strcmp(have, text) == 0;
}

static rnl_status check_same(const learn_trainer *t, const json *root, const char *path,
                             rnl_error *error) {
    const char *differs;
    if (!same_hash(root, "model", learn_model_hash(t->n->model)))
        return status_fail(error, RNL_ERR_STATE,
                           "%s: it is of another model; take that one, another folder, or --force",
                           path);
    if (!same_hash(root, "data", t->data->hash))
        return status_fail(error, RNL_ERR_STATE,
                           "%s: it is of other data; take those, another folder, or --force", path);
    if (same_plan(t, root, &differs)) return RNL_OK;
    return status_fail(
        error, RNL_ERR_STATE,
        "%s: it is of a training with another \"%s\"; give the same options, another "
        "folder, or --force",
        path, differs);
}

static rnl_status take_state(learn_trainer *t, const json *root, const char *path,
                             rnl_error *error) {
    int64_t epoch, row, skipped, run, worse;
    const int64_t most = INT64_MAX / 2;
    if (!json_int(json_get(root, "step"), 0, most, &t->step)) return damaged(path, "step", error);
    if (!json_int(json_get(root, "taken"), 0, t->step, &t->taken))
        return damaged(path, "taken", error);
    if (!json_int(json_get(root, "epoch"), 0, INT32_MAX, &epoch))
        return damaged(path, "epoch", error);
    if (!json_int(json_get(root, "row"), 0, INT32_MAX, &row)) return damaged(path, "row", error);
    if (!json_int(json_get(root, "positions"), 0, most, &t->position_count))
        return damaged(path, "positions", error);
    if (!json_int(json_get(root, "skipped"), 0, INT32_MAX, &skipped))
        return damaged(path, "skipped", error);
    if (!json_int(json_get(root, "skipped_run"), 0, LEARN_SKIPPED_MAX, &run))
        return damaged(path, "skipped_run", error);
    if (!json_int(json_get(root, "held_best_step"), 0, most, &t->held_best_step))
        return damaged(path, "held_best_step", error);
    if (!json_int(json_get(root, "held_worse_run"), 0, INT32_MAX, &worse))
        return damaged(path, "held_worse_run", error);
    t->skipped_count = (int)skipped;
    t->skipped_run = (int)run;
    t->held_worse_run = (int)worse;
    t->held_first = held(root, "held_first");
    t->held_last = held(root, "held_last");
    t->held_best = held(root, "held_best");
    return learn_trainer_seek(t, (int)epoch, (int)row, error);
}

rnl_status learn_checkpoint_read(learn_trainer *t, const char *folder, bool any, bool *found,
                                 rnl_error *error) {
    char own[PATH_CAP], path[PATH_CAP], name[PATH_CAP];
    json *root = NULL;
    *found = newest(folder, INT64_MAX, name) >= 0;
    if (!*found) return RNL_OK;
    if (!join(own, folder, name) || !join(path, own, state_name)) return too_long(folder, error);
    rnl_status status = json_read(path, STATE_CAP, &root, error);
    if (status == RNL_OK && !any) status = check_same(t, root, path, error);
    if (status == RNL_OK) status = take_state(t, root, path, error);
    json_destroy(&root);
    if (status == RNL_OK && join(path, own, weights_name))
        status = learn_values_read(t->n, path, error);
    if (status == RNL_OK && join(path, own, moments_name))
        status = read_tensors(&t->n->tensors, moment_parts, 2, path, error);
    return status;
}
