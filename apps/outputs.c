#include "apps/outputs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/status.h"

static bool no_memory(rnl_error *error) {
    (void)status_fail(error, RNL_ERR_MEMORY, "memory is exhausted");
    return false;
}

static void drop(output *f) {
    if (f->writer != NULL) format_drop(&f->writer);
    replacement_drop(&f->file);
}

static bool open_one(output *f, const char *path, format_kind kind, const format_head *head,
                     rnl_error *error) {
    f->replaces = access(path, F_OK) == 0;
    if (!replacement_open(&f->file, path, error)) return false;
    f->writer = format_begin(kind, f->file.file, head);
    return f->writer != NULL || no_memory(error);
}

/* FOLDER/STEM.FORMAT. Allocated; NULL: no memory. */
static char *name_of(const char *folder, const char *stem, size_t stem_size, int kind) {
    const size_t folder_size = strlen(folder), cap = folder_size + stem_size + 32;
    const char *slash = folder_size > 0 && folder[folder_size - 1] != '/' ? "/" : "";
    char *name = malloc(cap);
    if (name != NULL)
        (void)snprintf(name, cap, "%s%s%.*s.%s", folder, slash, (int)stem_size, stem,
                       format_name((format_kind)kind));
    return name;
}

bool outputs_are_there(unsigned formats, const char *folder, const char *stem, size_t stem_size) {
    bool all = true;
    for (int kind = 0; kind < FORMAT_COUNT && all; kind++) {
        struct stat st;
        if ((formats >> kind & 1) == 0) continue;
        char *name = name_of(folder, stem, stem_size, kind);
        all = name != NULL && stat(name, &st) == 0 && S_ISREG(st.st_mode);
        free(name);
    }
    return all;
}

bool outputs_open(outputs *o, unsigned formats, const char *folder, const char *stem,
                  size_t stem_size, const char *path, const format_head *head, rnl_error *error) {
    *o = (outputs){0};
    for (int kind = 0; kind < FORMAT_COUNT; kind++) {
        if ((formats >> kind & 1) == 0) continue;
        output *f = &o->files[o->count++];
        *f = (output){0};
        char *name = path != NULL ? strdup(path) : name_of(folder, stem, stem_size, kind);
        const bool done =
            name != NULL ? open_one(f, name, (format_kind)kind, head, error) : no_memory(error);
        free(name);
        if (!done) {
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

static bool complete_one(output *f, double seconds, const sound_faults *faults, rnl_error *error) {
    if (!format_end(&f->writer, seconds, faults)) return no_memory(error);
    return replacement_sync(&f->file, error);
}

bool outputs_commit(outputs *o, double seconds, const sound_faults *faults, rnl_error *error) {
    bool done = true;
    for (int i = 0; i < o->count && done; i++)
        done = complete_one(&o->files[i], seconds, faults, error);
    for (int i = 0; i < o->count && done; i++) done = replacement_commit(&o->files[i].file, error);
    outputs_abort(o);
    return done;
}

bool outputs_replace(const outputs *o) {
    bool any = false;
    for (int i = 0; i < o->count; i++) any = any || o->files[i].replaces;
    return any;
}

void outputs_abort(outputs *o) {
    for (int i = 0; i < o->count; i++) drop(&o->files[i]);
    o->count = 0;
}
