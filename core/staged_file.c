#include "core/staged_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/hash_table.h"
#include "core/status.h"

enum { LINK_CAP = 40, SUFFIX_CAP = 64, LEFTOVER_CAP = 1000 };

struct staged_file {
    char *path;
    char *target;    /* what path stands for, symbolic links followed */
    char *temporary; /* NULL: there is no file of ours */
    int fd;
    FILE *stream; /* over fd; NULL until asked for */
    bool passes;  /* need not be on the disk */
};

static rnl_status cannot_write(const staged_file *s, rnl_error *error) {
    const int fault = errno;
    return status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s%s", s->path, strerror(fault),
                       fault == ENOSPC || fault == EDQUOT ? "; free some space" : "");
}

static size_t folder_size(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? (size_t)(slash + 1 - path) : 0;
}

char *staged_beside(const char *path, const char *suffix) {
    const char *name = path + folder_size(path);
    size_t kept = strlen(name);
    char tail[SUFFIX_CAP + 16];
    (void)snprintf(tail, sizeof tail, "%s", suffix);
    if (kept + strlen(suffix) > NAME_MAX) {
        const uint64_t hash = hash_bytes(HASH_START, name, kept);
        (void)snprintf(tail, sizeof tail, "~%08lx%s", (unsigned long)(hash & 0xffffffff), suffix);
        kept = NAME_MAX - strlen(tail);
        while (kept > 0 && ((unsigned char)name[kept] & 0xc0) == 0x80)
            kept--; /* whole characters */
    }
    const size_t before = folder_size(path) + kept;
    char *out = malloc(before + strlen(tail) + 1);
    if (out == NULL) return NULL;
    memcpy(out, path, before);
    (void)strcpy(out + before, tail);
    return out;
}

/* What the link at `path` says, from the folder of the link; NULL: no memory, or no link (errno
 * 0). */
static char *step_through(const char *path) {
    struct stat st;
    errno = 0;
    if (lstat(path, &st) != 0 || !S_ISLNK(st.st_mode)) {
        errno = 0;
        return NULL;
    }
    const size_t folder = folder_size(path), cap = folder + PATH_MAX + 1;
    char *out = malloc(cap);
    const ssize_t size = out != NULL ? readlink(path, out + folder, PATH_MAX) : -1;
    if (size <= 0) {
        free(out);
        return NULL;
    }
    out[folder + (size_t)size] = '\0';
    if (out[folder] == '/')
        memmove(out, out + folder, (size_t)size + 1);
    else
        memcpy(out, path, folder);
    return out;
}

static rnl_status find_target(staged_file *s, rnl_error *error) {
    s->target = strdup(s->path);
    for (int i = 0; s->target != NULL && i <= LINK_CAP; i++) {
        char *next = step_through(s->target);
        if (next == NULL && errno == 0) return RNL_OK;
        if (next == NULL && errno != ENOMEM) return cannot_write(s, error);
        free(s->target);
        s->target = next;
    }
    if (s->target == NULL)
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", s->path);
    errno = ELOOP;
    return cannot_write(s, error);
}

/* As the file that is replaced. What the system refuses is left as it is for new files. */
static void take_owner_and_mode(int fd, const struct stat *old) {
    if (fchown(fd, old->st_uid, old->st_gid) != 0) (void)!fchown(fd, (uid_t)-1, old->st_gid);
    (void)fchmod(fd, old->st_mode & 0777);
}

/* Whether somebody writes the file at this moment; what a killed run left behind, nobody does. */
static bool is_alive(const char *temporary) {
    const int fd = open(temporary, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return false;
    const bool alive = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    (void)close(fd);
    return alive;
}

/* In containers every run may have the same process id: a name that a killed run left is passed
 * over, one that is being written to is told. */
static rnl_status make_temporary(staged_file *s, mode_t mode, rnl_error *error) {
    for (int i = 0; i < LEFTOVER_CAP; i++) {
        char suffix[SUFFIX_CAP];
        int used = snprintf(suffix, sizeof suffix, ".tmp-%ld", (long)getpid());
        if (i > 0) (void)snprintf(suffix + used, sizeof suffix - (size_t)used, "-%d", i);
        free(s->temporary);
        s->temporary = staged_beside(s->target, suffix);
        if (s->temporary == NULL)
            return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", s->path);
        s->fd = open(s->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (s->fd >= 0) {
            (void)flock(s->fd, LOCK_EX | LOCK_NB); /* where a file system has none: no harm */
            return RNL_OK;
        }
        if (errno != EEXIST) return cannot_write(s, error);
        if (is_alive(s->temporary))
            return status_fail(error, RNL_ERR_IO,
                               "%s: cannot be written: %s is there, another output goes to the "
                               "same name; wait for it or remove it",
                               s->path, s->temporary);
    }
    return status_fail(error, RNL_ERR_IO,
                       "%s: cannot be written: %s and many like it are there, left by runs that "
                       "were killed; remove them",
                       s->path, s->temporary);
}

static rnl_status open_temporary(staged_file *s, rnl_error *error) {
    struct stat old;
    const bool replaces = stat(s->target, &old) == 0 && S_ISREG(old.st_mode);
    const rnl_status status = make_temporary(s, replaces ? 0600 : 0666, error);
    if (status != RNL_OK) {
        free(s->temporary); /* none of ours: not removed with us */
        s->temporary = NULL;
        return status;
    }
    if (replaces) take_owner_and_mode(s->fd, &old);
    return RNL_OK;
}

rnl_status staged_open(const char *path, staged_file **out, rnl_error *error) {
    staged_file *s = *out = calloc(1, sizeof *s);
    if (s == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    s->fd = -1;
    s->path = strdup(path);
    rnl_status status = s->path != NULL
                            ? find_target(s, error)
                            : status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    if (status == RNL_OK) status = open_temporary(s, error);
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

void staged_passes(staged_file *s) {
    s->passes = true;
}

rnl_status staged_sync(staged_file *s, rnl_error *error) {
    errno = 0;
    const bool written = s->stream == NULL || (fflush(s->stream) == 0 && ferror(s->stream) == 0);
    if (written && (s->passes || fsync(s->fd) == 0)) return RNL_OK;
    if (errno == 0) errno = EIO; /* an earlier write of the stream failed */
    return cannot_write(s, error);
}

rnl_status staged_commit(staged_file **out, rnl_error *error) {
    staged_file *s = *out;
    rnl_status status = staged_sync(s, error);
    if (status == RNL_OK && rename(s->temporary, s->target) != 0) status = cannot_write(s, error);
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
    free(s->target);
    free(s->path);
    free(s);
}

rnl_status staged_write_line(const char *path, const char *text, rnl_error *error) {
    staged_file *s = NULL;
    if (text == NULL) return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", path);
    rnl_status status = staged_open(path, &s, error);
    if (status != RNL_OK) return status;
    FILE *f = staged_stream(s);
    if (f != NULL && fputs(text, f) >= 0 && fputc('\n', f) != EOF && fflush(f) == 0)
        return staged_commit(&s, error);
    status = cannot_write(s, error);
    staged_abort(&s);
    return status;
}
