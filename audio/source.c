/* See source.h. */
#include "audio/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/memory_file.h"
#include "core/status.h"

static rnl_status cannot(const sound_source *s, const char *what, rnl_error *error) {
    return status_fail(error, RNL_ERR_IO, "%s: cannot be %s: %s", s->name, what, strerror(errno));
}

static rnl_status look_at(sound_source *s, rnl_error *error) {
    struct stat st;
    if (fstat(s->fd, &st) != 0) return cannot(s, "read", error);
    if (S_ISDIR(st.st_mode))
        return status_fail(error, RNL_ERR_IO, "%s: this is no regular file; name a sound file",
                           s->name);
    s->regular = S_ISREG(st.st_mode);
    s->size = s->regular ? (int64_t)st.st_size : -1;
    if (s->size == 0 && s->owned)
        return status_fail(error, RNL_ERR_DATA, "%s: the file is empty; record it again", s->name);
    return RNL_OK;
}

rnl_status source_open(const char *path, sound_source **out, rnl_error *error) {
    const bool from_input = strcmp(path, "-") == 0;
    sound_source *s = *out = calloc(1, sizeof *s);
    if (s != NULL) s->name = strdup(from_input ? "standard input" : path);
    if (s == NULL || s->name == NULL) {
        free(s);
        *out = NULL;
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    }
    s->owned = !from_input;
    s->fd = from_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    s->path = from_input ? NULL : s->name;
    rnl_status status = s->fd < 0 ? cannot(s, "opened", error) : look_at(s, error);
    bytes_begin(&s->b, s->fd);
    if (status != RNL_OK) source_close(out);
    return status;
}

rnl_status source_of_bytes(const char *name, const void *data, size_t size, sound_source **out,
                           rnl_error *error) {
    sound_source *s = *out = calloc(1, sizeof *s);
    if (s != NULL) s->name = strdup(name);
    if (s == NULL || s->name == NULL) {
        free(s);
        *out = NULL;
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    }
    s->owned = s->regular = true;
    s->size = (int64_t)size;
    s->fd = memory_file_open();
    rnl_status status = RNL_OK;
    if (s->fd < 0 || !memory_file_write(s->fd, data, size))
        status = cannot(s, "kept in memory", error);
    else if (size == 0)
        status = status_fail(error, RNL_ERR_DATA, "%s: it is empty; record it again", name);
    if (s->fd >= 0) (void)lseek(s->fd, 0, SEEK_SET);
    bytes_begin(&s->b, s->fd);
    if (status != RNL_OK) source_close(out);
    return status;
}

rnl_status source_keep(sound_source *s, rnl_error *error) {
    if (s->regular) return RNL_OK;
    FILE *f = tmpfile();
    const int fd = f != NULL ? fcntl(fileno(f), F_DUPFD_CLOEXEC, 3) : -1;
    if (f != NULL) (void)fclose(f);
    bool kept = fd >= 0;
    for (const unsigned char *data; kept;) {
        const size_t size = bytes_peek(&s->b, 1, &data);
        if (size == 0) break;
        kept = memory_file_write(fd, data, size);
        (void)bytes_skip(&s->b, size);
    }
    rnl_status status = RNL_OK;
    if (s->b.fault != 0)
        status = source_fault(s, error);
    else if (!kept)
        status = status_fail(error, RNL_ERR_IO,
                             "%s: cannot be kept in a temporary file, which is needed here: %s; "
                             "name the file instead",
                             s->name, strerror(errno));
    if (status != RNL_OK) {
        if (fd >= 0) (void)close(fd);
        return status;
    }
    if (s->owned) (void)close(s->fd);
    s->fd = fd;
    s->owned = s->regular = true;
    s->path = NULL;
    s->size = (int64_t)lseek(fd, 0, SEEK_CUR);
    (void)lseek(fd, 0, SEEK_SET);
    bytes_begin(&s->b, fd);
    return RNL_OK;
}

rnl_status source_again(const sound_source *s, sound_source **out, rnl_error *error) {
    sound_source *again = *out = calloc(1, sizeof *again);
    if (again != NULL) again->name = strdup(s->name);
    if (again == NULL || again->name == NULL) {
        free(again);
        *out = NULL;
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", s->name);
    }
    again->owned = again->regular = true;
    again->path = s->path != NULL ? again->name : NULL;
    again->size = s->size;
    again->fd = source_reopen(s);
    if (again->fd < 0) {
        const rnl_status status = cannot(s, "opened", error);
        source_close(out);
        return status;
    }
    bytes_begin(&again->b, again->fd);
    return RNL_OK;
}

int source_reopen(const sound_source *s) {
    if (s->path != NULL) return open(s->path, O_RDONLY | O_CLOEXEC);
    const int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0) (void)lseek(fd, 0, SEEK_SET);
    return fd;
}

rnl_status source_fault(const sound_source *s, rnl_error *error) {
    errno = s->b.fault;
    return cannot(s, "read", error);
}

void source_close(sound_source **out) {
    sound_source *s = *out;
    if (s == NULL) return;
    *out = NULL;
    if (s->owned && s->fd >= 0) (void)close(s->fd);
    free(s->name);
    free(s);
}
