#include "search/plan.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "search/devices.h"

int search_metric_find(const search_metrics *m, const char *name) {
    for (int i = 0; i < m->count; i++)
        if (strcmp(m->row[i].name, name) == 0) return i;
    return -1;
}

rnl_status search_plan_default(search_plan *p, const char *device, rnl_error *error) {
    *p = (search_plan){
        .space = {.d = 1024,
                  .heads = 16,
                  .blocks = 8,
                  .params = 212000000,
                  .tolerance = 0.03,
                  .vocab = 65536,
                  .ff_multiple = 256,
                  .length = 4096},
        .population = 8,
        .tournament = 2,
        .evaluations = 60,
        .generations = 1000,
        .mutation = 0.1,
        .seed = 1,
        .recall_steps = 300,
        .text_steps = 171,
        .rounds = 5,
        .again = 10,
    };
    if (!search_device_plan(p, device))
        return status_fail(error, RNL_ERR_ARGUMENT, "'%.60s' is no device; there is %s", device,
                           search_device_names());
    return RNL_OK;
}

/* ---- Fields ---- */

typedef enum field_kind { FIELD_INT, FIELD_INT64, FIELD_REAL, FIELD_FLAG } field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    size_t offset;
    double min, max;
} field;

#define AT(member) offsetof(search_plan, member)
static const field fields[] = {
    {"d", FIELD_INT, AT(space.d), 8, 1 << 16},
    {"heads", FIELD_INT, AT(space.heads), 4, 1024},
    {"blocks", FIELD_INT, AT(space.blocks), 1, SEARCH_BLOCK_CAP},
    {"params", FIELD_INT64, AT(space.params), 1, 1e12},
    {"tolerance", FIELD_REAL, AT(space.tolerance), 1e-6, 0.999},
    {"vocab", FIELD_INT, AT(space.vocab), 1, 1 << 22},
    {"ff_multiple", FIELD_INT, AT(space.ff_multiple), 1, 1 << 16},
    {"length", FIELD_INT, AT(space.length), 1, 1 << 20},
    {"need_far", FIELD_FLAG, AT(space.need_far), 0, 1},
    {"population", FIELD_INT, AT(population), 2, SEARCH_POPULATION_MAX},
    {"tournament", FIELD_INT, AT(tournament), 1, 16},
    {"evaluations", FIELD_INT, AT(evaluations), 1, SEARCH_EVALUATION_MAX},
    {"generations", FIELD_INT, AT(generations), 0, 10000},
    {"mutation", FIELD_REAL, AT(mutation), 0, 1},
    {"recall_steps", FIELD_INT, AT(recall_steps), 1, 100000},
    {"text_steps", FIELD_INT, AT(text_steps), 1, 100000},
    {"rounds", FIELD_INT, AT(rounds), 1, 25},
    {"again", FIELD_INT, AT(again), 0, 10},
    {"seed", FIELD_INT64, AT(seed), 0, 0x1p63 - 1024},
};
enum { FIELD_COUNT = sizeof fields / sizeof *fields };

/* Texts, of real devices. */
typedef struct text_field {
    const char *name;
    size_t offset, cap;
} text_field;

#define TEXT(member) offsetof(search_plan, member), sizeof((search_plan *)0)->member
static const text_field texts[] = {
    {"corpus", TEXT(corpus)},
    {"corpus_hash", TEXT(corpus_hash)},
    {"reference", TEXT(reference)},
};
enum { TEXT_COUNT = sizeof texts / sizeof *texts };

static const field *find_field(const char *name) {
    for (int i = 0; i < FIELD_COUNT; i++)
        if (strcmp(fields[i].name, name) == 0) return &fields[i];
    return NULL;
}

static const text_field *find_text(const char *name) {
    for (int i = 0; i < TEXT_COUNT; i++)
        if (strcmp(texts[i].name, name) == 0) return &texts[i];
    return NULL;
}

static bool take_field(search_plan *p, const field *f, const json *v) {
    char *to = (char *)p + f->offset;
    int64_t whole = 0;
    double real = 0;
    bool flag = false;
    switch (f->kind) {
    case FIELD_FLAG:
        if (!json_bool(v, &flag)) return false;
        memcpy(to, &flag, sizeof flag);
        return true;
    case FIELD_REAL:
        if (!json_number(v, &real) || !(real >= f->min && real <= f->max)) return false;
        memcpy(to, &real, sizeof real);
        return true;
    default:
        break;
    }
    if (!json_int(v, (int64_t)f->min, (int64_t)f->max, &whole)) return false;
    if (f->kind == FIELD_INT64) {
        memcpy(to, &whole, sizeof whole);
    } else {
        const int narrow = (int)whole;
        memcpy(to, &narrow, sizeof narrow);
    }
    return true;
}

static json_draft *draft_field(const search_plan *p, const field *f) {
    const char *from = (const char *)p + f->offset;
    int64_t whole;
    double real;
    bool flag;
    int narrow;
    switch (f->kind) {
    case FIELD_FLAG:
        memcpy(&flag, from, sizeof flag);
        return json_new_bool(flag);
    case FIELD_REAL:
        memcpy(&real, from, sizeof real);
        return json_new_number(real);
    case FIELD_INT64:
        memcpy(&whole, from, sizeof whole);
        return json_new_int(whole);
    default:
        memcpy(&narrow, from, sizeof narrow);
        return json_new_int(narrow);
    }
}

/* ---- Reading ---- */

typedef struct reading {
    search_plan *p;
    const char *name;
    rnl_error *error;
    rnl_status status;
} reading;

static bool refuse(reading *r, const char *key, const char *what) {
    r->status = status_fail(r->error, RNL_ERR_FORMAT, "%s: '%.60s' %s", r->name, key, what);
    return false;
}

static bool take_objectives(reading *r, const json *list) {
    const size_t count = json_count(list);
    search_plan *p = r->p;
    if (!json_is_array(list) || count < 1 || count > SEARCH_OBJECTIVE_CAP)
        return refuse(r, "objectives", "is no list of 1 to 6 names");
    p->objective_count = 0;
    for (size_t i = 0; i < count; i++) {
        const char *text = json_chars(json_at(list, i), NULL);
        const int metric = text != NULL ? search_metric_find(p->metrics, text) : -1;
        if (metric < 0)
            return refuse(r, "objectives", "has a name that the device does not measure");
        for (int k = 0; k < p->objective_count; k++)
            if (p->objectives[k] == metric) return refuse(r, "objectives", "has a name twice");
        p->objectives[p->objective_count++] = metric;
    }
    return true;
}

static bool take_limit(void *context, const char *key, size_t key_size, const json *value) {
    reading *r = context;
    search_plan *p = r->p;
    search_limit l = {.times_first = json_is_object(value)};
    const json *number = l.times_first ? json_get(value, "times_first") : value;
    l.metric = strlen(key) == key_size ? search_metric_find(p->metrics, key) : -1;
    if (l.metric < 0) return refuse(r, "limits", "has a name that the device does not measure");
    if ((l.times_first && json_count(value) != 1) || !json_number(number, &l.bound) ||
        !(l.bound > 0))
        return refuse(r, key, "is neither a limit above 0 nor {\"times_first\": a number above 0}");
    p->limits[p->limit_count++] = l; /* keys are all different, so there is room */
    return true;
}

static bool take_limits(reading *r, const json *limits) {
    if (!json_is_object(limits)) return refuse(r, "limits", "is no object of names and numbers");
    r->p->limit_count = 0;
    return json_each(limits, take_limit, r);
}

static bool take_text(reading *r, const text_field *f, const json *value) {
    size_t size;
    const char *text = json_chars(value, &size);
    if (text == NULL || size >= f->cap || strlen(text) != size)
        return refuse(r, f->name, "is no text, or too long");
    memcpy((char *)r->p + f->offset, text, size + 1);
    return true;
}

static bool take_member(void *context, const char *key, size_t key_size, const json *value) {
    reading *r = context;
    char range[96];
    if (strcmp(key, "device") == 0) return true; /* was taken before */
    if (strcmp(key, "objectives") == 0) return take_objectives(r, value);
    if (strcmp(key, "limits") == 0) return take_limits(r, value);
    const text_field *words = find_text(key);
    if (words != NULL) return take_text(r, words, value);
    const field *f = strlen(key) == key_size ? find_field(key) : NULL;
    if (f == NULL) return refuse(r, key, "is no field of a search");
    if (take_field(r->p, f, value)) return true;
    (void)snprintf(range, sizeof range,
                   f->kind == FIELD_FLAG   ? "is neither true nor false"
                   : f->kind == FIELD_REAL ? "is no number from %g to %g"
                                           : "is no whole number from %g to %g",
                   f->min, f->max);
    return refuse(r, key, range);
}

rnl_status search_plan_parse(search_plan *p, const char *name, const char *text, size_t size,
                             rnl_error *error) {
    json *root = NULL;
    reading r = {.p = p, .name = name, .error = error, .status = RNL_OK};
    rnl_error inner = {0};
    *p = (search_plan){0};
    rnl_status status = json_parse(text, size, name, &root, error);
    if (status != RNL_OK) return status;
    const json *device = json_get(root, "device");
    const char *called = device != NULL ? json_chars(device, NULL) : search_device_default();
    if (!json_is_object(root))
        status = status_fail(error, RNL_ERR_FORMAT, "%s: is no object", name);
    else if (search_plan_default(p, called != NULL ? called : "", &inner) != RNL_OK)
        status = status_fail(error, RNL_ERR_FORMAT, "%s: 'device': %s", name, inner.text);
    else if (!json_each(root, take_member, &r))
        status = r.status;
    else
        status = search_plan_check(p, name, error);
    json_destroy(&root);
    return status;
}

rnl_status search_plan_check(const search_plan *p, const char *name, rnl_error *error) {
    const search_space *s = &p->space;
    if (s->heads % 4 != 0)
        return status_fail(error, RNL_ERR_ARGUMENT, "%s: heads are %d, no multiple of 4", name,
                           s->heads);
    if (s->d % (2 * s->heads) != 0)
        return status_fail(error, RNL_ERR_ARGUMENT, "%s: d is %d, no multiple of twice %d heads",
                           name, s->d, s->heads);
    return RNL_OK;
}

/* ---- Writing ---- */

char *search_plan_text(const search_plan *p) {
    json_draft *root = json_new_object(), *names = json_new_array(), *limits = json_new_object();
    json_set(root, "device", json_new_string(p->device, strlen(p->device)));
    for (int i = 0; i < TEXT_COUNT; i++) {
        const char *text = (const char *)p + texts[i].offset;
        if (text[0] != '\0') json_set(root, texts[i].name, json_new_string(text, strlen(text)));
    }
    for (int i = 0; i < FIELD_COUNT; i++)
        json_set(root, fields[i].name, draft_field(p, &fields[i]));
    for (int i = 0; i < p->objective_count; i++) {
        const char *name = p->metrics->row[p->objectives[i]].name;
        json_append(names, json_new_string(name, strlen(name)));
    }
    for (int i = 0; i < p->limit_count; i++) {
        const search_limit *l = &p->limits[i];
        json_draft *value = json_new_number(l->bound);
        if (l->times_first) {
            json_draft *object = json_new_object();
            json_set(object, "times_first", value);
            value = object;
        }
        json_set(limits, p->metrics->row[l->metric].name, value);
    }
    json_set(root, "objectives", names);
    json_set(root, "limits", limits);
    char *line = json_text_exact(root);
    json_drop(&root);
    const size_t size = line != NULL ? strlen(line) : 0;
    char *text = line != NULL ? realloc(line, size + 2) : NULL;
    if (text == NULL) free(line);
    if (text != NULL) memcpy(text + size, "\n", 2);
    return text;
}
