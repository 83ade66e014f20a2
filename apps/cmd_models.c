/* runnel models: what lies in the cache of the model hub, and how to get rid of it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/commands.h"
#include "apps/hub_cache.h"
#include "apps/hub_store.h"
#include "apps/messages.h"

typedef struct row {
    hub_name name;
    const char *kind; /* "GGUF set", "folder", "other", "unfinished" */
    const char *commit;
    const char *path;
    int64_t size;
    size_t count; /* of files */
} row;

static int64_t size_of(const char *folder, const char *path) {
    char name[2 * HUB_CACHE_PATH_CAP];
    struct stat st;
    const bool fits = (size_t)snprintf(name, sizeof name, "%s/%s", folder, path) < sizeof name;
    return fits && stat(name, &st) == 0 ? (int64_t)st.st_size : 0;
}

static int tell_json(const row *r, const char *name) {
    json_draft *o = json_new_object();
    json_set(o, "model", json_new_string(name, strlen(name)));
    json_set(o, "kind", json_new_string(r->kind, strlen(r->kind)));
    json_set(o, "bytes", json_new_int(r->size));
    json_set(o, "files", json_new_int((int64_t)r->count));
    if (r->commit != NULL) json_set(o, "commit", json_new_string(r->commit, strlen(r->commit)));
    if (r->path != NULL) json_set(o, "path", json_new_string(r->path, strlen(r->path)));
    return print_json(o);
}

static int tell(const options *o, const row *r) {
    char name[HUB_REPO_CAP + HUB_QUANT_CAP + HUB_REVISION_CAP];
    hub_name_text(&r->name, name, sizeof name);
    if (o->json) return tell_json(r, name);
    char size[SIZE_TEXT_CAP];
    size_text(r->size, size);
    printf("%9s  %-10s  %s\n", size, r->kind, name);
    return EXIT_OK;
}

/* Adds a file, and when it is split the rest of it. */
static void add_parts(row *r, const hub_snapshot *s, const char *first) {
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->paths[i], first) != 0 && !hub_is_further(s->paths[i], first)) continue;
        r->size += size_of(s->folder, s->paths[i]);
        r->count++;
    }
}

/* A line for each quantisation of a snapshot. */
static int tell_sets(const options *o, const hub_snapshot *s, row r) {
    char quants[512], path[2 * HUB_CACHE_PATH_CAP];
    const char *const *paths = (const char *const *)s->paths;
    hub_quants(paths, s->count, quants, sizeof quants);
    int code = EXIT_OK;
    for (char *q = quants; code == EXIT_OK;) {
        const size_t size = strcspn(q, ",");
        (void)snprintf(r.name.quant, sizeof r.name.quant, "%.*s", (int)size, q);
        const hub_choice c = hub_choose(paths, s->count, r.name.quant);
        r.size = 0;
        r.count = 0;
        for (int role = 0; c.kind == HUB_SET && role < HUB_ROLE_COUNT; role++)
            if (c.index[role] != HUB_NONE) add_parts(&r, s, paths[c.index[role]]);
        if (c.kind == HUB_SET) {
            (void)snprintf(path, sizeof path, "%s/%s", s->folder, paths[c.index[HUB_MAIN]]);
            r.path = path;
            r.kind = "GGUF set";
            code = tell(o, &r);
        }
        if (q[size] == '\0') return code;
        q += size + 2;
    }
    return code;
}

static int tell_snapshot(const options *o, const hub_name *n) {
    hub_snapshot s;
    if (!hub_snapshot_read(&s, n)) return EXIT_OK;
    const char *const *paths = (const char *const *)s.paths;
    row r = {.name = *n, .commit = s.commit, .path = s.folder, .count = s.count};
    for (size_t i = 0; i < s.count; i++) r.size += size_of(s.folder, paths[i]);
    const hub_choice_kind kind = hub_choose(paths, s.count, "").kind;
    int code = EXIT_OK;
    if (kind == HUB_FOLDER || kind == HUB_NO_MODEL || kind == HUB_SPLIT) {
        r.kind = kind == HUB_FOLDER ? "folder" : "other";
        code = tell(o, &r);
    } else {
        code = tell_sets(o, &s, r);
    }
    hub_snapshot_free(&s);
    return code;
}

/* What came of files that are not complete. */
static int tell_unfinished(const options *o, const char *folder, const hub_name *n) {
    char path[2 * HUB_CACHE_PATH_CAP];
    row r = {.name = *n, .kind = "unfinished"};
    (void)snprintf(path, sizeof path, "%s/blobs", folder);
    DIR *blobs = opendir(path);
    const struct dirent *e;
    while (blobs != NULL && (e = readdir(blobs)) != NULL) {
        const size_t size = strlen(e->d_name), end = strlen(".incomplete");
        if (size <= end || strcmp(e->d_name + size - end, ".incomplete") != 0) continue;
        r.size += size_of(path, e->d_name);
        r.count++;
    }
    if (blobs != NULL) (void)closedir(blobs);
    return r.count > 0 ? tell(o, &r) : EXIT_OK;
}

/* Whether a revision stands for the commit of this snapshot. */
static bool is_main(const hub_name *n, const char *commit) {
    hub_snapshot s;
    const bool same = hub_snapshot_read(&s, n) && strcmp(s.commit, commit) == 0;
    hub_snapshot_free(&s);
    return same;
}

/* All snapshots of one model: main by its name, others by their commit. */
static int tell_model(const options *o, const char *root, const char *entry) {
    char folder[HUB_CACHE_PATH_CAP + 256], path[HUB_CACHE_PATH_CAP + 512], text[HUB_REPO_CAP];
    const char *org = entry + strlen("models--"), *dashes = strstr(org, "--");
    hub_name n, of_commit;
    if (dashes == NULL || strlen(org) >= sizeof text) return EXIT_OK;
    (void)snprintf(text, sizeof text, "%.*s/%s", (int)(dashes - org), org, dashes + 2);
    if (!hub_name_parse(text, &n)) return EXIT_OK;
    (void)snprintf(folder, sizeof folder, "%s/%s", root, entry);
    (void)snprintf(path, sizeof path, "%s/snapshots", folder);
    DIR *snapshots = opendir(path);
    const struct dirent *e;
    int code = EXIT_OK;
    while (snapshots != NULL && code == EXIT_OK && (e = readdir(snapshots)) != NULL) {
        if (!hub_is_commit(e->d_name)) continue;
        of_commit = n;
        strcpy(of_commit.revision, e->d_name);
        code = tell_snapshot(o, is_main(&n, e->d_name) ? &n : &of_commit);
    }
    if (snapshots != NULL) (void)closedir(snapshots);
    return code == EXIT_OK ? tell_unfinished(o, folder, &n) : code;
}

static int is_model(const struct dirent *e) {
    return strncmp(e->d_name, "models--", strlen("models--")) == 0;
}

static int list(const options *o) {
    char root[HUB_CACHE_PATH_CAP];
    struct dirent **entries = NULL;
    if (!hub_cache_root(root))
        return complain(EXIT_FAILED, "there is no cache of models: HOME is not set; set "
                                     "HF_HUB_CACHE");
    const int count = scandir(root, &entries, is_model, alphasort);
    int code = EXIT_OK;
    for (int i = 0; i < count; i++) {
        if (code == EXIT_OK) code = tell_model(o, root, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (count <= 0 && !o->quiet && !o->json)
        (void)fprintf(stderr, "%s holds no model; `runnel pull` fetches one\n", root);
    return code == EXIT_OK ? flush_output() : code;
}

static int run(const options *o) {
    hub_name n;
    if (o->argument_count > 0)
        return complain(EXIT_USAGE, "models: takes no argument, got '%s'", o->arguments[0]);
    if (o->remove == NULL) return list(o);
    if (!hub_name_parse(o->remove, &n) || n.quant[0] != '\0' || strcmp(n.revision, "main") != 0)
        return complain(EXIT_USAGE, "--remove: '%s' is not ORG/NAME; all of a model goes",
                        o->remove);
    const int code = hub_store_remove(n.repo);
    if (code == EXIT_OK && !o->quiet) (void)fprintf(stderr, "%s removed\n", n.repo);
    return code;
}

static const option_row rows[] = {
    {.name = "remove",
     .value = "ORG/NAME",
     .help = "remove all of this model from the cache",
     .kind = OPTION_TEXT,
     .offset = OPTION_AT(remove)},
};
static const option_list own = OPTION_LIST(rows);

const command command_models = {
    .name = "models",
    .summary = "the models in the cache",
    .synopsis = "[--json] [--remove ORG/NAME]",
    .about = "What `runnel pull` and Python's huggingface_hub fetched: size, what it is, and the\n"
             "name that -m takes. 'unfinished' is what came of a download that was stopped; the\n"
             "same `runnel pull` goes on with it. --json: one object a line.",
    .options = {&options_json, &own},
    .run = run,
};
