/* Any bytes as what the hub says: its listing, its answer about a model. Every name that is taken
 * stays below the folder it is put in, and the choice among the names stands on files that are
 * there. */
#include <stdlib.h>
#include <string.h>

#include "apps/hub_choose.h"
#include "apps/hub_list.h"
#include "apps/hub_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *path) {
    const size_t size = strlen(path);
    if (size == 0 || size > HUB_FILE_PATH_MAX || path[0] == '/' || path[size - 1] == '/' ||
        strstr(path, "//") != NULL || strcmp(path, "..") == 0 || strncmp(path, "../", 3) == 0 ||
        strstr(path, "/../") != NULL || (size >= 3 && strcmp(path + size - 3, "/..") == 0))
        abort();
}

static void check_choice(const hub_list *l, const char *quant) {
    const char **paths = malloc((l->count + 1) * sizeof *paths);
    char quants[64];
    if (paths == NULL) abort();
    for (size_t i = 0; i < l->count; i++) {
        paths[i] = l->files[i].path;
        (void)hub_in_folder(paths[i]);
    }
    const hub_choice c = hub_choose(paths, l->count, quant);
    if (c.kind == HUB_SET && c.index[HUB_MAIN] >= l->count) abort();
    for (int role = HUB_MMPROJ; c.kind == HUB_SET && role < HUB_ROLE_COUNT; role++)
        if (c.index[role] != HUB_NONE && c.index[role] >= l->count) abort();
    hub_quants(paths, l->count, quants, sizeof quants);
    if (strlen(quants) >= sizeof quants) abort();
    free(paths);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    hub_list l = {0};
    hub_info info;
    hub_name name;
    rnl_error error = {0};
    const char *text = (const char *)data;
    if (hub_list_add(&l, text, size, "a/b", &error)) {
        for (size_t i = 0; i < l.count; i++) {
            const hub_file *f = &l.files[i];
            check_name(f->path);
            if (f->size < 0) abort();
            if (!hub_is_hex(f->blob, strlen(f->blob), f->kind == DIGEST_SHA256 ? 64 : 40)) abort();
        }
        check_choice(&l, "");
        check_choice(&l, "Q8_0");
    }
    hub_list_free(&l);
    if (hub_info_parse(&info, text, size, "a/b", &error) && !hub_is_commit(info.commit)) abort();
    char *line = malloc(size + 1);
    if (line == NULL) abort();
    memcpy(line, data, size);
    line[size] = '\0';
    if (hub_name_parse(line, &name)) {
        check_name(name.repo);
        check_name(name.revision);
    }
    free(line);
    return 0;
}
