#include "devices/onnx_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/folder.h"
#include "core/status.h"

/* Of what is written there: another number is another folder, as is another version. */
enum { FORM = 2 };

static void name_of(const onnx_set *set, char out[CHECKSUM_TEXT_CAP]) {
    checksum sum;
    checksum_begin(&sum);
    checksum_add_number(&sum, FORM);
    checksum_add_text(&sum, RNL_VERSION);
    checksum_add(&sum, set->sizes, (size_t)set->count * sizeof *set->sizes);
    set->sum(set, &sum);
    checksum_text(&sum, out);
}

static bool is_complete(const char *folder, const onnx_set *set) {
    char path[ONNX_PATH_CAP];
    bool all = onnx_set_path(folder, "graph", 0, ".weights", path, NULL) == RNL_OK &&
               access(path, R_OK) == 0;
    for (int i = 0; i < set->count && all; i++)
        all = onnx_set_path(folder, "graph", set->sizes[i], ".onnx", path, NULL) == RNL_OK &&
              access(path, R_OK) == 0;
    return all;
}

static rnl_status make_temporary(onnx_place *p, rnl_error *error) {
    static const char temporary[] = "/tmp";
    *p = (onnx_place){.kept = false};
    (void)snprintf(p->folder, sizeof p->folder, "%s/runnel-onnx-XXXXXX", temporary);
    if (mkdtemp(p->folder) != NULL) return RNL_OK;
    const int reason = errno;
    p->folder[0] = '\0';
    return status_fail(error, RNL_ERR_IO, "%s: no folder can be made there: %s", temporary,
                       strerror(reason));
}

static rnl_status enter_cache(onnx_place *p, const char *cache_path, const onnx_set *set,
                              rnl_error *error) {
    char name[CHECKSUM_TEXT_CAP];
    name_of(set, name);
    *p = (onnx_place){.kept = true};
    if ((size_t)snprintf(p->folder, sizeof p->folder, "%s/onnx-%s", cache_path, name) >=
        sizeof p->folder)
        return status_fail(error, RNL_ERR_ARGUMENT, "%s: the path is too long", cache_path);
    if (mkdir(p->folder, 0777) == 0 || errno == EEXIST) return RNL_OK;
    return status_fail(error, RNL_ERR_IO, "%s: cannot be made: %s", p->folder, strerror(errno));
}

rnl_status onnx_place_enter(onnx_place *p, const char *cache_path, const onnx_set *set,
                            rnl_error *error) {
    rnl_status status =
        cache_path != NULL ? enter_cache(p, cache_path, set, error) : make_temporary(p, error);
    if (status == RNL_OK && !is_complete(p->folder, set)) {
        onnx_set_files files;
        status = onnx_set_stage(set, p->folder, "graph", p->kept, NULL, NULL, &files, error);
        if (status == RNL_OK) status = onnx_set_commit(&files, error);
    }
    if (status != RNL_OK) onnx_place_leave(p);
    return status;
}

void onnx_place_leave(onnx_place *p) {
    if (p->kept || p->folder[0] == '\0') return;
    (void)folder_remove(AT_FDCWD, p->folder);
    p->folder[0] = '\0';
}
