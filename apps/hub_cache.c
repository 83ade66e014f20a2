#include "apps/hub_cache.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Folders within folders that a snapshot may have. */
enum { DEPTH_MAX = 8 };

static const char *value_of(const char *name) {
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

/* path[/below][/more], where ~ stands for the home. */
static bool join(char out[HUB_CACHE_PATH_CAP], const char *path, const char *more) {
    const char *home = value_of("HOME");
    const bool tilde = path[0] == '~' && (path[1] == '/' || path[1] == '\0');
    if (tilde && home == NULL) return false;
    const int size = snprintf(out, HUB_CACHE_PATH_CAP, "%s%s%s", tilde ? home : "",
                              path + (tilde ? 1 : 0), more);
    return size > 0 && size < HUB_CACHE_PATH_CAP;
}

bool hub_cache_home(char home[HUB_CACHE_PATH_CAP]) {
    const char *own = value_of("HF_HOME"), *cache = value_of("XDG_CACHE_HOME");
    if (own != NULL) return join(home, own, "");
    return cache != NULL ? join(home, cache, "/huggingface")
                         : join(home, "~/.cache", "/huggingface");
}

bool hub_cache_root(char root[HUB_CACHE_PATH_CAP]) {
    char home[HUB_CACHE_PATH_CAP];
    const char *own = value_of("HF_HUB_CACHE");
    if (own == NULL) own = value_of("HUGGINGFACE_HUB_CACHE");
    if (own != NULL) return join(root, own, "");
    return hub_cache_home(home) && join(root, home, "/hub");
}

bool hub_is_offline(void) {
    const char *const truths[] = {"1", "ON", "YES", "TRUE"};
    const char *value = value_of("HF_HUB_OFFLINE");
    for (size_t i = 0; value != NULL && i < sizeof truths / sizeof *truths; i++)
        if (strcasecmp(value, truths[i]) == 0) return true;
    return false;
}

void hub_cache_folder_name(const char *repo, char name[HUB_REPO_CAP + 16]) {
    const char *slash = strchr(repo, '/');
    (void)snprintf(name, HUB_REPO_CAP + 16, "models--%.*s--%s", (int)(slash - repo), repo,
                   slash + 1);
}

/* The commit of refs/REVISION, or the revision itself when it is one. */
static bool read_commit(const char *folder, const char *revision, char commit[DIGEST_HEX_CAP]) {
    char path[HUB_CACHE_PATH_CAP + HUB_REVISION_CAP + 8];
    commit[0] = '\0';
    if (hub_is_commit(revision)) {
        strcpy(commit, revision);
        return true;
    }
    (void)snprintf(path, sizeof path, "%s/refs/%s", folder, revision);
    FILE *f = fopen(path, "r");
    if (f == NULL) return false;
    const size_t size = fread(commit, 1, DIGEST_HEX_CAP - 1, f);
    (void)fclose(f);
    commit[size] = '\0';
    commit[strcspn(commit, "\r\n ")] = '\0';
    return hub_is_commit(commit);
}

static bool add_path(hub_snapshot *s, const char *path) {
    if (s->count == s->cap) {
        const size_t cap = s->cap > 0 ? 2 * s->cap : 32;
        char **grown = realloc(s->paths, cap * sizeof *grown);
        if (grown == NULL) return false;
        s->paths = grown;
        s->cap = cap;
    }
    s->paths[s->count] = strdup(path);
    return s->paths[s->count] != NULL && ++s->count > 0;
}

/* Adds the files below folder/path; path is "" or ends in '/'. Links to bytes that are not here
 * are passed over. */
static bool read_folder(hub_snapshot *s, const char *path, int depth) {
    char name[HUB_CACHE_PATH_CAP];
    if ((size_t)snprintf(name, sizeof name, "%s/%s", s->folder, path) >= sizeof name) return true;
    DIR *folder = opendir(name);
    if (folder == NULL) return depth > 0;
    bool good = true;
    const struct dirent *e;
    while (good && (e = readdir(folder)) != NULL) {
        struct stat st;
        char below[HUB_CACHE_PATH_CAP];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if ((size_t)snprintf(name, sizeof name, "%s/%s%s", s->folder, path, e->d_name) >=
                sizeof name ||
            stat(name, &st) != 0)
            continue;
        const bool is_folder = S_ISDIR(st.st_mode);
        if (!is_folder && !S_ISREG(st.st_mode)) continue;
        (void)snprintf(below, sizeof below, "%s%s%s", path, e->d_name, is_folder ? "/" : "");
        if (is_folder)
            good = depth == DEPTH_MAX || read_folder(s, below, depth + 1);
        else
            good = add_path(s, below);
    }
    (void)closedir(folder);
    return good;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool hub_snapshot_read(hub_snapshot *s, const hub_name *n) {
    char root[HUB_CACHE_PATH_CAP], folder[HUB_REPO_CAP + 16], path[HUB_CACHE_PATH_CAP];
    *s = (hub_snapshot){0};
    hub_cache_folder_name(n->repo, folder);
    if (!hub_cache_root(root) ||
        (size_t)snprintf(path, sizeof path, "%s/%s", root, folder) >= sizeof path ||
        !read_commit(path, n->revision, s->commit) ||
        (size_t)snprintf(s->folder, sizeof s->folder, "%s/snapshots/%s", path, s->commit) >=
            sizeof s->folder)
        return false;
    if (read_folder(s, "", 0)) {
        if (s->count > 0) qsort(s->paths, s->count, sizeof *s->paths, by_name);
        return true;
    }
    hub_snapshot_free(s);
    return false;
}

void hub_snapshot_free(hub_snapshot *s) {
    for (size_t i = 0; i < s->count; i++) free(s->paths[i]);
    free(s->paths);
    *s = (hub_snapshot){0};
}

hub_choice_kind hub_cache_find(const hub_name *n, hub_model *out, char *quants, size_t quants_cap) {
    hub_snapshot s;
    *out = (hub_model){0};
    quants[0] = '\0';
    if (!hub_snapshot_read(&s, n)) return HUB_NO_MODEL;
    const char *const *paths = (const char *const *)s.paths;
    hub_choice c = hub_choose(paths, s.count, n->quant);
    if (c.kind == HUB_NO_QUANT) hub_quants(paths, s.count, quants, quants_cap);
    if (c.kind == HUB_FOLDER) strcpy(out->path[HUB_MAIN], s.folder);
    for (int role = 0; c.kind == HUB_SET && role < HUB_ROLE_COUNT; role++)
        if (c.index[role] != HUB_NONE &&
            (size_t)snprintf(out->path[role], sizeof out->path[role], "%s/%s", s.folder,
                             paths[c.index[role]]) >= sizeof out->path[role])
            c.kind = HUB_NO_MODEL;
    hub_snapshot_free(&s);
    return c.kind;
}
