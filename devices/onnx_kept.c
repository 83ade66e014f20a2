#include "devices/onnx_kept.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/checksum.h"
#include "core/folder.h"
#include "core/staged_file.h"

/* Seconds after which a folder that is being made is that of a run that was killed: a load ends at
 * its deadline, an hour at the most (STACK_DEVICE_PATIENCE times 600 s). */
enum { ABANDONED = 2 * 3600 };

/* NULL: no memory. free() it. */
static char *join(const char *folder, const char *ending) {
    const size_t size = strlen(folder) + strlen(ending) + 1;
    char *path = malloc(size);
    if (path != NULL) (void)snprintf(path, size, "%s%s", folder, ending);
    return path;
}

char *onnx_kept_graph(const char *folder) {
    return join(folder, "/graph.onnx");
}

static bool sum_of(const char *folder, const char *key, char out[CHECKSUM_TEXT_CAP]) {
    checksum s;
    checksum_begin(&s);
    checksum_add_text(&s, key);
    const bool good = folder_sum(folder, "", true, &s);
    checksum_text(&s, out);
    return good;
}

/* ---- What is there ---- */

/* What FOLDER.made says; "": nothing. */
static void read_made(const char *folder, char out[CHECKSUM_TEXT_CAP]) {
    char *path = join(folder, ".made");
    FILE *f = path != NULL ? fopen(path, "r") : NULL;
    out[0] = '\0';
    if (f != NULL && fgets(out, CHECKSUM_TEXT_CAP, f) == NULL) out[0] = '\0';
    if (f != NULL) (void)fclose(f);
    free(path);
}

bool onnx_kept_whole(const char *folder, const char *key) {
    char made[CHECKSUM_TEXT_CAP], now[CHECKSUM_TEXT_CAP];
    read_made(folder, made);
    return made[0] != '\0' && sum_of(folder, key, now) && strcmp(made, now) == 0;
}

/* ---- Making it ---- */

/* Those of FOLDER that runs left behind which were killed. */
static void remove_abandoned(const char *folder) {
    char *pattern = join(folder, ".??????");
    glob_t found;
    struct stat info;
    const time_t now = time(NULL);
    if (pattern != NULL && glob(pattern, GLOB_NOSORT, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            if (stat(found.gl_pathv[i], &info) == 0 && now - info.st_mtime > ABANDONED)
                (void)folder_remove(AT_FDCWD, found.gl_pathv[i]);
        globfree(&found);
    }
    free(pattern);
}

char *onnx_kept_begin(const char *folder) {
    char *fresh = join(folder, ".XXXXXX");
    remove_abandoned(folder);
    if (fresh != NULL && mkdtemp(fresh) != NULL) return fresh;
    free(fresh);
    return NULL;
}

static bool has_graph(const char *folder) {
    char *path = onnx_kept_graph(folder);
    const bool there = path != NULL && access(path, R_OK) == 0;
    free(path);
    return there;
}

void onnx_kept_commit(char **fresh, const char *folder, const char *key) {
    char sum[CHECKSUM_TEXT_CAP], *made = join(folder, ".made");
    if (made != NULL && has_graph(*fresh) && sum_of(*fresh, key, sum)) {
        (void)unlink(made); /* first: what lies there is not whole from here on */
        (void)folder_remove(AT_FDCWD, folder);
        if (rename(*fresh, folder) == 0 && staged_write_line(made, sum, NULL) != RNL_OK)
            (void)folder_remove(AT_FDCWD, folder);
    }
    free(made);
    onnx_kept_abort(fresh);
}

void onnx_kept_abort(char **fresh) {
    if (*fresh == NULL) return;
    (void)folder_remove(AT_FDCWD, *fresh); /* it is not there any more where it was taken */
    free(*fresh);
    *fresh = NULL;
}
