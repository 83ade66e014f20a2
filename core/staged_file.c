#include "core/staged_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/status.h"

struct staged_file {
    char *path, *temporary; /* temporary NULL: there is no file of ours */
    int fd;
    FILE *stream; /* over fd; NULL until asked for */
};

static rnl_status cannot_write(const staged_file *s, rnl_error *error) {
    const int fault = errno;
    return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s%s", s->path, strerror(fault),
                       fault == ENOSPC || fault == EDQUOT ? "; free some space" : "");
}

static rnl_status open_temporary(staged_file *s, rnl_error *error) {
    const size_t cap = strlen(s->path) + 32;
    char *temporary = malloc(cap);
    if (temporary == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", s->path);
    (void)snprintf(temporary, cap, "%s.tmp-%ld", s->path, (long)getpid());
    s->fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (s->fd >= 0) {
        s->temporary = temporary; /* ours from now on, and removed with us */
        return RNL_OK;
    }
    const rnl_status status =
        errno == EEXIST ? status_fail(error, RNL_ERR_IO,
                                      "%s: cannot be written: %s is there, another output goes to "
                                      "the same name; wait for it or remove it",
                                      s->path, temporary)
                        : cannot_write(s, error);
    free(temporary);
    return status;
}

rnl_status staged_open(const char *path, staged_file **out, rnl_error *error) {
    staged_file *s = *out = calloc(1, sizeof *s);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    s->fd = -1;
    s->path = strdup(path);
    const rnl_status status =
        s->path != NULL ? open_temporary(s, error)
                        : status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    if (status != RNL_OK) staged_abort(out);
    return status;
}

int staged_descriptor(staged_file *s) {
    return s->fd;
}

FILE *staged_stream(staged_file *s) {
    if (s->stream == NULL) s->stream = fdopen(s->fd, "w+b");
    return s->stream;
}

const char *staged_path(const staged_file *s) {
    return s->path;
}

const char *staged_temporary(const staged_file *s) {
    return s->temporary;
}

rnl_status staged_sync(staged_file *s, rnl_error *error) {
    errno = 0;
    const bool written = s->stream == NULL || (fflush(s->stream) == 0 && ferror(s->stream) == 0);
    if (written && fsync(s->fd) == 0) return RNL_OK;
    if (errno == 0) errno = EIO; /* an earlier write of the stream failed */
    return cannot_write(s, error);
}

rnl_status staged_commit(staged_file **out, rnl_error *error) {
    staged_file *s = *out;
    rnl_status status = staged_sync(s, error);
    if (status == RNL_OK && rename(s->temporary, s->path) != 0) status = cannot_write(s, error);
    if (status == RNL_OK) {
        free(s->temporary); /* renamed: nothing to remove */
        s->temporary = NULL;
    }
    staged_abort(out);
    return status;
}

void staged_abort(staged_file **out) {
    staged_file *s = *out;
    if (s == NULL) return;
    *out = NULL;
    if (s->stream != NULL)
        (void)fclose(s->stream);
    else if (s->fd >= 0)
        (void)close(s->fd);
    if (s->temporary != NULL) (void)unlink(s->temporary);
    free(s->temporary);
    free(s->path);
    free(s);
}
