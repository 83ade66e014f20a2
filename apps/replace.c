#include "apps/replace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apps/ending.h"
#include "apps/messages.h"
#include "apps/sources.h"
#include "core/status.h"

bool target_is_free(const char *path, rnl_error *error) {
    struct stat st;
    if (stat(path, &st) != 0) return true;
    if (!S_ISREG(st.st_mode))
        (void)status_fail(error, RNL_ERR_IO,
                          "%s: cannot be written: this is no regular file; name a file to write",
                          path);
    else if (source_is(path))
        (void)status_fail(error, RNL_ERR_ARGUMENT,
                          "%s: cannot be written: the command reads this very file; name another "
                          "one to write",
                          path);
    else
        return true;
    return false;
}

int check_target(const char *path) {
    rnl_error error = {0};
    return target_is_free(path, &error) ? EXIT_OK : complain(exit_code(&error), "%s", error.text);
}

bool replacement_open(replacement *r, const char *path, rnl_error *error) {
    *r = (replacement){0};
    if (!target_is_free(path, error) || staged_open(path, &r->staged, error) != RNL_OK)
        return false;
    r->doomed = strdup(staged_temporary(r->staged));
    r->file = staged_stream(r->staged);
    if (r->doomed != NULL && r->file != NULL) {
        doomed_add(r->doomed);
        return true;
    }
    replacement_drop(r);
    (void)status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    return false;
}

bool replacement_sync(replacement *r, rnl_error *error) {
    return staged_sync(r->staged, error) == RNL_OK;
}

bool replacement_commit(replacement *r, rnl_error *error) {
    const bool done = staged_commit(&r->staged, error) == RNL_OK;
    replacement_drop(r);
    return done;
}

void replacement_drop(replacement *r) {
    staged_abort(&r->staged);
    if (r->doomed != NULL) doomed_remove(r->doomed);
    free(r->doomed);
    *r = (replacement){0};
}

bool replace_file(const char *path, bool (*write)(FILE *f, const void *context),
                  const void *context, rnl_error *error) {
    replacement r;
    if (!replacement_open(&r, path, error)) return false;
    errno = 0;
    if (write(r.file, context)) return replacement_commit(&r, error);
    (void)status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s", path,
                      strerror(errno != 0 ? errno : EIO));
    replacement_drop(&r);
    return false;
}
