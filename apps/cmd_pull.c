/* runnel pull: a model of the hub into the cache, or a file from anywhere. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/commands.h"
#include "apps/ending.h"
#include "apps/hub_cache.h"
#include "apps/hub_fetch.h"
#include "apps/hub_store.h"
#include "apps/messages.h"

/* A model on its way. */
typedef struct pull {
    hub hub;
    hub_name name;
    char text[HUB_REPO_CAP + HUB_QUANT_CAP + HUB_REVISION_CAP]; /* the name as it is typed */
    const char *file; /* the only one that is wanted; NULL: a model */
    hub_info info;
    hub_list list;
    const hub_file **wanted; /* [count], the main file first */
    size_t count;
    hub_store store;
    fetch_file *missing; /* [missing_count], ordered by sum */
    size_t missing_count;
} pull;

static int no_memory(void) {
    return complain(EXIT_FAILED, "memory is exhausted");
}

/* ---- Which files ---- */

static int refuse_choice(const pull *p, const char *const *paths, hub_choice_kind kind) {
    char quants[512];
    hub_quants(paths, p->list.count, quants, sizeof quants);
    const char *repo = p->name.repo, *quant = p->name.quant;
    if (kind == HUB_AMBIGUOUS)
        return complain(EXIT_USAGE,
                        "%s: there are several models of this quantisation; name the address of a "
                        "file (%s/%s/resolve/main/FILE)",
                        p->text, p->hub.endpoint, repo);
    if (kind == HUB_SPLIT)
        return complain(EXIT_MODEL,
                        "%s: a part of its split GGUF file is missing; take another model or "
                        "quantisation",
                        p->text);
    if (kind == HUB_NO_QUANT && quants[0] == '\0')
        return complain(EXIT_USAGE, "%s: it has no GGUF files; without :%s its folder is fetched",
                        repo, quant);
    if (kind == HUB_NO_QUANT)
        return complain(EXIT_USAGE, "%s: %s%s%s; there are %s: `runnel pull %s:%.*s`", repo,
                        quant[0] != '\0' ? "there is no " : "name a quantisation", quant,
                        quant[0] != '\0' ? " of it" : "", quants, repo, (int)strcspn(quants, ","),
                        quants);
    return complain(EXIT_MODEL,
                    "%s: there is no model in it that Runnel knows: neither GGUF files "
                    "nor config.json with *.safetensors",
                    p->text);
}

/* A file, and when it is split the rest of it. */
static void take_parts(pull *p, const hub_file *first) {
    p->wanted[p->count++] = first;
    for (size_t i = 0; i < p->list.count; i++)
        if (hub_is_further(p->list.files[i].path, first->path))
            p->wanted[p->count++] = &p->list.files[i];
}

/* Fills p->wanted with the files of a choice. */
static void take_choice(pull *p, const hub_choice *c) {
    for (int role = 0; c->kind == HUB_SET && role < HUB_ROLE_COUNT; role++)
        if (c->index[role] != HUB_NONE) take_parts(p, &p->list.files[c->index[role]]);
    for (size_t i = 0; c->kind == HUB_FOLDER && i < p->list.count; i++)
        if (hub_in_folder(p->list.files[i].path)) p->wanted[p->count++] = &p->list.files[i];
    if (c->kind == HUB_SET && c->is_old_set)
        (void)fprintf(stderr,
                      "runnel: %s: the sound of this set is in an audiodecoder- file, which Runnel "
                      "does not read; for speech pull the model's folder\n",
                      p->name.repo);
}

static int choose_model(pull *p) {
    const char **paths = malloc((p->list.count + 1) * sizeof *paths);
    if (paths == NULL) return no_memory();
    for (size_t i = 0; i < p->list.count; i++) paths[i] = p->list.files[i].path;
    const hub_choice c = hub_choose(paths, p->list.count, p->name.quant);
    int code = EXIT_OK;
    if (c.kind == HUB_SET || c.kind == HUB_FOLDER)
        take_choice(p, &c);
    else
        code = refuse_choice(p, paths, c.kind);
    free(paths);
    return code;
}

static int choose(pull *p) {
    p->wanted = malloc((p->list.count + 1) * sizeof *p->wanted);
    if (p->wanted == NULL) return no_memory();
    if (p->file == NULL) return choose_model(p);
    for (size_t i = 0; i < p->list.count && p->count == 0; i++)
        if (strcmp(p->list.files[i].path, p->file) == 0) p->wanted[p->count++] = &p->list.files[i];
    if (p->count == 1) return EXIT_OK;
    return complain(EXIT_FAILED, "%s: it has no file %s", p->text, p->file);
}

/* ---- Which bytes ---- */

static int by_sum(const void *a, const void *b) {
    return strcmp(((const fetch_file *)a)->sum, ((const fetch_file *)b)->sum);
}

/* Adds a file to what is to be fetched, if its bytes are not on that list. */
static int add_missing(pull *p, const hub_file *f) {
    for (size_t i = 0; i < p->missing_count; i++)
        if (strcmp(p->missing[i].sum, f->blob) == 0) return EXIT_OK;
    char url[HTTP_URL_CAP];
    const size_t partial_cap = DIGEST_HEX_CAP + 16;
    char *partial = malloc(partial_cap);
    fetch_file *m = &p->missing[p->missing_count];
    *m = (fetch_file){.token = p->hub.token[0] != '\0' ? p->hub.token : NULL,
                      .name = f->path,
                      .repo = p->name.repo,
                      .folder = p->store.blobs,
                      .partial = partial,
                      .complete = f->blob,
                      .size = f->size,
                      .sum = f->blob,
                      .kind = f->kind};
    if (hub_file_url(&p->hub, p->name.repo, p->info.commit, f->path, url)) m->url = strdup(url);
    p->missing_count++;
    if (partial == NULL || m->url == NULL) return no_memory();
    (void)snprintf(partial, partial_cap, "%s.incomplete", f->blob);
    return EXIT_OK;
}

static void free_missing(pull *p) {
    for (size_t i = 0; i < p->missing_count; i++) {
        free(p->missing[i].url);
        free((char *)p->missing[i].partial);
    }
    free(p->missing);
    p->missing = NULL;
    p->missing_count = 0;
}

/* Lists what is not in the open store. */
static int list_missing(pull *p) {
    free_missing(p);
    p->missing = calloc(p->count, sizeof *p->missing);
    if (p->missing == NULL) return no_memory();
    int code = EXIT_OK;
    for (size_t i = 0; i < p->count && code == EXIT_OK; i++) {
        bool has;
        const hub_file *f = p->wanted[i];
        code = hub_store_has(&p->store, f->blob, f->size, f->path, &has);
        if (code == EXIT_OK && !has) code = add_missing(p, f);
    }
    qsort(p->missing, p->missing_count, sizeof *p->missing, by_sum);
    return code;
}

/* Takes the locks of what is missing, and looks again: others may have fetched it meanwhile. */
static int lock_missing(pull *p) {
    int code = list_missing(p);
    for (size_t i = 0; i < p->missing_count && code == EXIT_OK; i++)
        code = hub_store_lock(&p->store, p->missing[i].sum, p->missing[i].name);
    return code == EXIT_OK && p->missing_count > 0 ? list_missing(p) : code;
}

/* ---- The licence ---- */

/* Asks on a terminal; without one --yes is needed. */
static int agree(const options *o, const char *name) {
    char line[16] = "";
    if (o->yes) return EXIT_OK;
    if (isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0)
        return complain(EXIT_USAGE, "%s: the first download needs a yes to its licence; add --yes",
                        name);
    (void)fputs("Fetch it? [y/N] ", stderr);
    if (!wait_for_input()) return EXIT_STOPPED;
    if (fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y'))
        return EXIT_OK;
    return complain(EXIT_FAILED, "%s: nothing was fetched", name);
}

/* Names licence, limit, size and place before anything of a model is fetched for the first time. */
static int show_licence(const pull *p, const options *o) {
    char total[SIZE_TEXT_CAP], root[HUB_CACHE_PATH_CAP] = "?",
                               link[HUB_ENDPOINT_CAP + HUB_REPO_CAP + 600];
    int64_t size = 0;
    const hub_info *info = &p->info;
    for (size_t i = 0; i < p->count; i++) size += p->wanted[i]->size;
    (void)hub_cache_root(root);
    size_text(size, total);
    const bool is_address = strncmp(info->licence_link, "https://", 8) == 0;
    if (is_address)
        (void)snprintf(link, sizeof link, "%s", info->licence_link);
    else
        (void)snprintf(link, sizeof link, "%s/%s%s%s", p->hub.endpoint, p->name.repo,
                       info->licence_link[0] != '\0' ? "/blob/main/" : "", info->licence_link);
    const char *licence = info->licence[0] != '\0' ? info->licence : "not named by the hub";
    if (info->licence_is_lfm)
        licence = "LFM Open License v1.0. It limits commercial use by companies\n         above 10 "
                  "million US dollars of yearly revenue; read it before you use the model";
    (void)fprintf(stderr, "%s: %zu file%s, %s, to %s\nlicence: %s\n         %s\n", p->text,
                  p->count, p->count == 1 ? "" : "s", total, root, licence, link);
    return agree(o, p->text);
}

/* ---- All of it ---- */

/* The links come when all bytes are there, the main file's last: a model that is found is whole. */
static int link_all(const pull *p) {
    int code = EXIT_OK;
    for (size_t i = p->count; i-- > 0 && code == EXIT_OK;)
        code = hub_store_link(&p->store, p->info.commit, p->wanted[i]->path, p->wanted[i]->blob);
    return code == EXIT_OK ? hub_store_ref(&p->store, p->name.revision, p->info.commit) : code;
}

static int tell_place(const pull *p, const options *o, const char *how) {
    hub_model found;
    char quants[8];
    if (p->file != NULL) {
        hub_snapshot s;
        hub_name name = p->name;
        (void)snprintf(name.revision, sizeof name.revision, "%s", p->info.commit);
        if (hub_snapshot_read(&s, &name)) printf("%s/%s\n", s.folder, p->file);
        hub_snapshot_free(&s);
        return flush_output();
    }
    (void)hub_cache_find(&p->name, &found, quants, sizeof quants);
    printf("%s\n", found.path[HUB_MAIN]);
    if (!o->quiet) (void)fprintf(stderr, "%s; `runnel talk -m %s` speaks with it\n", how, p->text);
    return flush_output();
}

static int fetch_model(pull *p, const options *o) {
    const bool is_new = hub_store_is_new(p->name.repo);
    int code = is_new ? show_licence(p, o) : EXIT_OK;
    if (code == EXIT_OK) code = hub_store_open(&p->store, p->name.repo);
    if (code == EXIT_OK) code = lock_missing(p);
    const bool fetched = p->missing_count > 0;
    if (code == EXIT_OK && fetched) code = fetch_files(&p->hub, p->missing, p->missing_count, o);
    if (code == EXIT_OK) code = link_all(p);
    if (code == EXIT_OK) code = tell_place(p, o, fetched ? "complete" : "it was here already");
    return code;
}

static int pull_model(pull *p, const options *o) {
    p->store = (hub_store){.model = -1, .blobs = -1, .locks = -1};
    hub_name_text(&p->name, p->text, sizeof p->text);
    int code = hub_ask(&p->hub, &p->name, &p->info, &p->list);
    if (code == EXIT_OK) code = choose(p);
    if (code == EXIT_OK) code = fetch_model(p, o);
    free_missing(p);
    hub_store_close(&p->store);
    hub_list_free(&p->list);
    free(p->wanted);
    if (code == EXIT_STOPPED)
        (void)complain(code, "%s: stopped; the same command goes on with it", p->text);
    return code;
}

/* ---- A file from anywhere ---- */

/* Opens the folder of a path; *leaf: the rest of it. */
static int open_folder_of(const char *path, const char **leaf) {
    const char *slash = strrchr(path, '/');
    *leaf = slash != NULL ? slash + 1 : path;
    if (slash == NULL) return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *folder = strndup(path, (size_t)(slash - path) + 1);
    const int fd = folder != NULL ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(folder);
    return fd;
}

static int fetch_address(hub *h, const char *url, const char *path, const options *o) {
    char partial[HUB_FILE_PATH_MAX + 16];
    fetch_file f = {.url = (char *)url, .size = -1, .kind = DIGEST_SHA256, .partial = partial};
    f.folder = open_folder_of(path, &f.complete);
    f.name = f.complete;
    (void)snprintf(partial, sizeof partial, "%s.incomplete", f.complete);
    int code = EXIT_OK;
    if (f.folder < 0 || !hub_path_is_safe(f.complete, strlen(f.complete)))
        code = complain(EXIT_USAGE, "%s: there is no such folder or no such name for a file", path);
    else if (faccessat(f.folder, f.complete, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        code = complain(EXIT_FAILED, "%s: it is there already; remove it or name another with -o",
                        path);
    if (code == EXIT_OK && faccessat(f.folder, partial, F_OK, AT_SYMLINK_NOFOLLOW) != 0) {
        (void)fprintf(stderr, "%s: its licence and its sum are not known\n", path);
        code = agree(o, path);
    }
    if (code == EXIT_OK) code = fetch_files(h, &f, 1, o);
    if (f.folder >= 0) (void)close(f.folder);
    if (code == EXIT_STOPPED)
        (void)complain(code, "%s: stopped; the same command goes on with it", path);
    if (code != EXIT_OK) return code;
    if (!o->quiet) (void)fprintf(stderr, "SHA-256 %s\n", f.found);
    printf("%s\n", path);
    return flush_output();
}

static int pull_address(hub *h, const char *url, const options *o) {
    char name[HUB_FILE_PATH_MAX + 1];
    const char *fault = http_url_fault(url, NULL);
    if (fault != NULL)
        return complain(EXIT_USAGE, "the address %s; it is to be https://HOST/FILE", fault);
    if (o->output != NULL) return fetch_address(h, url, o->output, o);
    const char *end = url + strcspn(url, "?#"), *begin = end;
    while (begin > url && begin[-1] != '/') begin--;
    const size_t size = (size_t)(end - begin);
    if (!hub_path_is_safe(begin, size) || memchr(begin, '%', size) != NULL)
        return complain(EXIT_USAGE, "the address does not end in the name of a file; add -o FILE");
    (void)snprintf(name, sizeof name, "%.*s", (int)size, begin);
    return fetch_address(h, url, name, o);
}

/* ---- The command ---- */

static int offline(const pull *p, const char *what, bool is_name) {
    hub_model found;
    char quants[512];
    const hub_choice_kind kind =
        is_name ? hub_cache_find(&p->name, &found, quants, sizeof quants) : HUB_NO_MODEL;
    if (kind != HUB_SET && kind != HUB_FOLDER)
        return complain(EXIT_FAILED,
                        "%s: it is not in the cache, and HF_HUB_OFFLINE says to fetch nothing; "
                        "unset it",
                        what);
    printf("%s\n", found.path[HUB_MAIN]);
    return flush_output();
}

static int run(const options *o) {
    if (o->argument_count != 1)
        return complain(EXIT_USAGE, "pull: name one model, such as "
                                    "LiquidAI/LFM2.5-Audio-1.5B-GGUF:Q4_0");
    pull p = {0};
    char file[HUB_FILE_PATH_MAX + 1];
    const char *what = o->arguments[0];
    const bool is_address = strstr(what, "://") != NULL;
    const bool is_name = !is_address && hub_name_parse(what, &p.name);
    if (!is_address && !is_name)
        return complain(EXIT_USAGE,
                        "pull: '%s' is neither ORG/NAME[:QUANT][@REVISION] nor an https address",
                        what);
    if (hub_is_offline()) return offline(&p, what, is_name);
    int code = hub_open(&p.hub);
    const bool of_hub =
        code == EXIT_OK && is_address && hub_address_parse(&p.hub, what, &p.name, file);
    if (of_hub) p.file = file;
    if (code == EXIT_OK && o->output != NULL && (of_hub || is_name))
        code = complain(EXIT_USAGE, "--output: models of the hub go into the cache; HF_HUB_CACHE "
                                    "says where it is");
    if (code == EXIT_OK)
        code = of_hub || is_name ? pull_model(&p, o) : pull_address(&p.hub, what, o);
    hub_close(&p.hub);
    return code;
}

static const option_row rows[] = {
    {.name = "yes",
     .letter = 'y',
     .help = "agree to the licence, which is named, without being asked",
     .kind = OPTION_FLAG,
     .offset = OPTION_AT(yes)},
};
static const option_list own = OPTION_LIST(rows);

const command command_pull = {
    .name = "pull",
    .summary = "fetch a model from the hub",
    .synopsis = "[options] ORG/NAME[:QUANT][@REVISION] | ADDRESS",
    .about =
        "Fetches a model of huggingface.co (HF_ENDPOINT) into the cache that Python's\n"
        "huggingface_hub uses as well (HF_HUB_CACHE, HF_HOME); every command then takes its name\n"
        "with -m. Prints where it lies. A download that was stopped is gone on with.\n"
        "\n"
        "QUANT is that of a GGUF set, Q4_0 when none is named; all its parts are fetched. "
        "HF_TOKEN\n"
        "opens models that ask for it; HTTPS_PROXY and HF_HUB_OFFLINE are obeyed.\n"
        "\n"
        "An ADDRESS of a file begins with https://. One of the hub goes into the cache, another\n"
        "into this folder or to -o.",
    .options = {&own, &options_output},
    .run = run,
};
