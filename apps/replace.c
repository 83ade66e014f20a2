#include "apps/replace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/ending.h"
#include "apps/messages.h"

int check_target(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0 || S_ISREG(st.st_mode)) return EXIT_OK;
    return complain(EXIT_FAILED,
                    "%s: cannot be written: this is no regular file; name a file to write", path);
}

bool replacement_open(replacement *r, const char *path) {
    const size_t cap = strlen(path) + 32;
    *r = (replacement){.path = strdup(path), .temporary = malloc(cap)};
    if (r->path != NULL && r->temporary != NULL) {
        (void)snprintf(r->temporary, cap, "%s.tmp-%ld", path, (long)getpid());
        /* One that is there is of a run that ended without a warning and had our number. */
        (void)unlink(r->temporary);
        r->file = fopen(r->temporary, "w+bx");
    }
    if (r->file != NULL) {
        doomed_add(r->temporary);
        return true;
    }
    const int fault = errno;
    free(r->path);
    free(r->temporary);
    *r = (replacement){0};
    errno = fault;
    return false;
}

bool replacement_close(replacement *r) {
    errno = 0;
    bool written = fflush(r->file) == 0 && ferror(r->file) == 0 && fsync(fileno(r->file)) == 0;
    const int fault = errno != 0 ? errno : ENOSPC; /* an earlier write has failed: mostly that */
    const bool closed = fclose(r->file) == 0;
    r->file = NULL;
    if (!written) errno = fault;
    return written && closed;
}

bool replacement_commit(replacement *r) {
    if (r->file != NULL && !replacement_close(r)) return false;
    if (rename(r->temporary, r->path) != 0) return false;
    doomed_remove(r->temporary);
    free(r->temporary);
    r->temporary = NULL; /* it has its name: nothing to remove */
    return true;
}

void replacement_drop(replacement *r) {
    const int kept = errno;
    if (r->file != NULL) (void)fclose(r->file);
    if (r->temporary != NULL) {
        (void)unlink(r->temporary);
        doomed_remove(r->temporary);
    }
    free(r->path);
    free(r->temporary);
    *r = (replacement){0};
    errno = kept;
}

bool replace_file(const char *path, bool (*write)(FILE *f, const void *context),
                  const void *context) {
    replacement r;
    if (!replacement_open(&r, path)) return false;
    const bool done = write(r.file, context) && replacement_commit(&r);
    replacement_drop(&r);
    return done;
}
