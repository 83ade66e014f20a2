#include "apps/outputs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/cli.h"
#include "core/status.h"

static bool no_memory(rnl_error *error) {
    (void)status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    return false;
}

static bool cannot_write(const output *f, rnl_error *error) {
    (void)status_fail(error, RNL_ERR_IO, "%s: cannot be written: %s", f->path, strerror(errno));
    return false;
}

static void drop(output *f) {
    if (f->writer != NULL) format_drop(&f->writer);
    if (f->file != NULL) (void)fclose(f->file);
    if (f->temporary != NULL) {
        (void)unlink(f->temporary);
        doomed_remove(f->temporary);
    }
    free(f->path);
    free(f->temporary);
    *f = (output){0};
}

static bool open_one(output *f, format_kind kind, const format_head *head, rnl_error *error) {
    struct stat st;
    const size_t cap = strlen(f->path) + 32;
    if (stat(f->path, &st) == 0 && !S_ISREG(st.st_mode)) {
        (void)status_fail(error, RNL_ERR_IO,
                          "%s: cannot be written: this is no regular file; name another output",
                          f->path);
        return false;
    }
    char *temporary = malloc(cap);
    if (temporary == NULL) return no_memory(error);
    (void)snprintf(temporary, cap, "%s.tmp-%ld", f->path, (long)getpid());
    f->file = fopen(temporary, "wb");
    if (f->file == NULL) {
        free(temporary);
        return cannot_write(f, error);
    }
    f->temporary = temporary;
    doomed_add(temporary);
    f->writer = format_begin(kind, f->file, head);
    return f->writer != NULL || no_memory(error);
}

bool outputs_open(outputs *o, unsigned formats, const char *folder, const char *stem,
                  size_t stem_size, const char *path, const format_head *head, rnl_error *error) {
    *o = (outputs){0};
    const size_t folder_size = strlen(folder);
    const char *slash = folder_size > 0 && folder[folder_size - 1] != '/' ? "/" : "";
    for (int kind = 0; kind < FORMAT_COUNT; kind++) {
        if ((formats >> kind & 1) == 0) continue;
        output *f = &o->files[o->count++];
        *f = (output){0};
        const size_t cap = folder_size + stem_size + 32;
        f->path = path != NULL ? strdup(path) : malloc(cap);
        if (f->path != NULL && path == NULL)
            (void)snprintf(f->path, cap, "%s%s%.*s.%s", folder, slash, (int)stem_size, stem,
                           format_name((format_kind)kind));
        if (f->path == NULL ? !no_memory(error) : !open_one(f, (format_kind)kind, head, error)) {
            outputs_abort(o);
            return false;
        }
    }
    return true;
}

bool outputs_piece(outputs *o, const rnl_piece *piece, rnl_error *error) {
    for (int i = 0; i < o->count; i++)
        if (!format_piece(o->files[i].writer, piece)) return no_memory(error);
    return true;
}

static bool close_one(output *f, double seconds, rnl_error *error) {
    if (!format_end(&f->writer, seconds)) return no_memory(error);
    errno = 0;
    bool written = fflush(f->file) == 0 && ferror(f->file) == 0 && fsync(fileno(f->file)) == 0;
    const int fault = errno != 0 ? errno : ENOSPC;
    written = fclose(f->file) == 0 && written;
    f->file = NULL;
    if (written) return true;
    errno = fault;
    return cannot_write(f, error);
}

bool outputs_commit(outputs *o, double seconds, rnl_error *error) {
    bool done = true;
    for (int i = 0; i < o->count && done; i++) done = close_one(&o->files[i], seconds, error);
    for (int i = 0; i < o->count && done; i++) {
        output *f = &o->files[i];
        done = rename(f->temporary, f->path) == 0 || cannot_write(f, error);
        if (!done) break;
        doomed_remove(f->temporary);
        free(f->temporary);
        f->temporary = NULL; /* renamed: nothing to remove */
    }
    outputs_abort(o);
    return done;
}

void outputs_abort(outputs *o) {
    for (int i = 0; i < o->count; i++) drop(&o->files[i]);
    o->count = 0;
}
