#include "apps/search_setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/folders.h"
#include "apps/messages.h"
#include "apps/replace.h"
#include "apps/sources.h"
#include "core/hash_table.h"
#include "search/devices.h"
#include "search/page.h"

int search_path(char path[SEARCH_PATH_CAP], const char *folder, const char *name) {
    if ((size_t)snprintf(path, SEARCH_PATH_CAP, "%s/%s", folder, name) < SEARCH_PATH_CAP)
        return EXIT_OK;
    return complain(EXIT_USAGE, "%.60s...: the name is too long", folder);
}

int search_setup_read(const char *path, search_plan *p) {
    char *text;
    size_t size;
    rnl_error error = {0};
    rnl_status status = text_of_file(path, &text, &size, &error);
    if (status == RNL_OK) status = search_plan_parse(p, path, text, size, &error);
    free(text);
    return status == RNL_OK ? EXIT_OK : complain(EXIT_INPUT, "%s", error.text);
}

/* ---- Options ---- */

static int take_objectives(const char *names, search_plan *p) {
    p->objective_count = 0;
    for (const char *at = names;;) {
        char name[32];
        const size_t size = strcspn(at, ",");
        (void)snprintf(name, sizeof name, "%.*s", (int)(size < sizeof name ? size : 0), at);
        const int metric = search_metric_find(p->metrics, name);
        bool known = metric >= 0;
        for (int i = 0; i < p->objective_count; i++) known = known && p->objectives[i] != metric;
        if (!known || p->objective_count == SEARCH_OBJECTIVE_CAP)
            return complain(EXIT_USAGE,
                            "--objectives: '%s' are not up to %d different things that the device "
                            "%s measures",
                            names, SEARCH_OBJECTIVE_CAP, p->device);
        p->objectives[p->objective_count++] = metric;
        if (at[size] == '\0') return EXIT_OK;
        at += size + 1;
    }
}

/* A limit of the first of two metrics that the device knows, in the place of one that there is. */
static int take_limit(search_plan *p, const char *option, const char *name, const char *other,
                      double bound) {
    int metric = search_metric_find(p->metrics, name);
    if (metric < 0) metric = search_metric_find(p->metrics, other);
    if (metric < 0)
        return complain(EXIT_USAGE, "%s: the device %s does not measure that", option, p->device);
    int at = 0;
    while (at < p->limit_count && p->limits[at].metric != metric) at++;
    if (at == p->limit_count) p->limit_count++;
    p->limits[at] = (search_limit){.metric = metric, .bound = bound};
    return EXIT_OK;
}

static int take_options(const options *o, search_plan *p) {
    const search_options *s = &o->search;
    int code = EXIT_OK;
    if (s->evaluations > 0) p->evaluations = s->evaluations;
    if (s->generations >= 0) p->generations = s->generations;
    if (s->population > 0) p->population = s->population;
    if (s->tournament > 0) p->tournament = s->tournament;
    if (s->mutation >= 0) p->mutation = s->mutation;
    if (s->seed != UINT64_MAX) p->seed = s->seed;
    if (p->seed > INT64_MAX) return complain(EXIT_USAGE, "--seed: below 2^63, please");
    if (s->objectives != NULL) code = take_objectives(s->objectives, p);
    if (code == EXIT_OK && s->decode_ms_max > 0)
        code = take_limit(p, "--max-decode-ms", "decode_4k", "decode", s->decode_ms_max);
    if (code == EXIT_OK && s->memory_max > 0)
        code = take_limit(p, "--max-memory", "memory", "cache", (double)s->memory_max);
    if (code == EXIT_OK && s->recall_min > 0)
        code = take_limit(p, "--min-recall", "recall", "recall", s->recall_min);
    return code;
}

static int take_reference(const options *o, search_plan *p) {
    const char *path = o->search.reference;
    if (path == NULL) return EXIT_OK;
    if (!p->is_real)
        return complain(EXIT_USAGE, "--reference: the device %s has no times", p->device);
    if ((size_t)snprintf(p->reference, sizeof p->reference, "%s", path) < sizeof p->reference)
        return EXIT_OK;
    return complain(EXIT_USAGE, "--reference: %.60s...: the name is too long", path);
}

/* The text that is learnt, and what it is known by. */
static int take_corpus(const options *o, search_plan *p) {
    char *text;
    size_t size;
    rnl_error error = {0};
    const char *path = o->search.corpus;
    if (!p->is_real && path != NULL)
        return complain(EXIT_USAGE, "--corpus: the device %s learns nothing", p->device);
    if (!p->is_real) return EXIT_OK;
    if (path == NULL && p->corpus[0] == '\0')
        return complain(EXIT_USAGE,
                        "search: give --corpus FILE, a text that stacks learn from; a megabyte "
                        "will do");
    if (path != NULL &&
        (size_t)snprintf(p->corpus, sizeof p->corpus, "%s", path) >= sizeof p->corpus)
        return complain(EXIT_USAGE, "--corpus: %.60s...: the name is too long", path);
    source_note(p->corpus);
    if (text_of_file(p->corpus, &text, &size, &error) != RNL_OK)
        return complain(EXIT_INPUT, "%s", error.text);
    (void)snprintf(p->corpus_hash, sizeof p->corpus_hash, "%016llx",
                   (unsigned long long)hash_bytes(HASH_START, text, size));
    free(text);
    if (size >= CORPUS_SIZE_MIN) return EXIT_OK;
    return complain(EXIT_INPUT, "%s: %zu bytes are too few to learn from; %d or more, please",
                    p->corpus, size, CORPUS_SIZE_MIN);
}

/* ---- The folder ---- */

static bool put_text(FILE *f, const void *text) {
    return fputs(text, f) >= 0;
}

static int save(const options *o, const char *path, const char *text) {
    rnl_error error = {0};
    if (!folders_make(o->output, 0777))
        return complain(EXIT_FAILED, "%s: cannot be made: %s", o->output, strerror(errno));
    if (replace_file(path, put_text, text, &error)) return EXIT_OK;
    return complain(EXIT_FAILED, "%s", error.text);
}

/* Begins from --space, from the folder when there is no --space, or from nothing. */
static int base(const options *o, const char *own, bool begun, search_plan *p) {
    const search_options *s = &o->search;
    rnl_error error = {0};
    if (s->space != NULL) source_note(s->space);
    if (s->space != NULL) {
        const int code = search_setup_read(s->space, p);
        if (code != EXIT_OK || s->device == NULL || strcmp(s->device, p->device) == 0) return code;
        return complain(EXIT_USAGE, "--device: %s says '%s'", s->space, p->device);
    }
    if (begun) {
        const int code = search_setup_read(own, p);
        if (code != EXIT_OK || s->device == NULL || strcmp(s->device, p->device) == 0) return code;
        return complain(EXIT_USAGE, "--device: the search in %s has '%s'", o->output, p->device);
    }
    const char *device = s->device != NULL ? s->device : search_device_default();
    if (search_plan_default(p, device, &error) == RNL_OK) return EXIT_OK;
    return complain(EXIT_USAGE, "--device: %s", error.text);
}

int search_setup(const options *o, search_plan *p) {
    char own[SEARCH_PATH_CAP];
    search_plan there;
    int code = search_path(own, o->output, "space.json");
    if (code != EXIT_OK) return code;
    const bool begun = access(own, F_OK) == 0;
    code = base(o, own, begun, p);
    if (code == EXIT_OK) code = take_options(o, p);
    if (code == EXIT_OK) code = take_reference(o, p);
    if (code == EXIT_OK) code = take_corpus(o, p);
    if (code == EXIT_OK && begun) code = search_setup_read(own, &there);
    if (code != EXIT_OK) return code;
    if (begun && strcmp(p->corpus_hash, there.corpus_hash) == 0) /* wherever it stands now */
        memcpy(there.corpus, p->corpus, sizeof p->corpus);
    char *text = search_plan_text(p), *old = begun ? search_plan_text(&there) : NULL;
    if (text == NULL || (begun && old == NULL))
        code = complain(EXIT_FAILED, "memory is exhausted");
    else if (!begun)
        code = save(o, own, text);
    else if (strcmp(text, old) != 0)
        code = complain(EXIT_USAGE,
                        "%s: another search stands there; give its options or none of them, or "
                        "name another folder",
                        o->output);
    free(text);
    free(old);
    return code;
}
