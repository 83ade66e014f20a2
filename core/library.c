#include "core/library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"

struct library {
    void *handle;
    char *path;
};

static const char *reason(void) {
    const char *text = dlerror();
    return text != NULL ? text : "the system does not say why";
}

/* The first that can be opened; the system's word on the last one stays. Its code is not unmapped
 * when it is closed: drivers leave threads behind, and what they made once. */
static const char *open_first(const char *const *names, void **handle) {
    const char *name = NULL;
    for (int i = 0; names[i] != NULL && *handle == NULL; i++) {
        name = names[i];
        *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    }
    return name;
}

rnl_status library_open(const char *path, const char *const *names, library **out,
                        rnl_error *error) {
    const char *const given[] = {path, NULL};
    void *handle = NULL;
    *out = NULL;
    const char *name = open_first(path != NULL ? given : names, &handle);
    if (handle == NULL)
        return status_fail(error, RNL_ERR_IO,
                           "%s cannot be opened (%s); install it, or name the "
                           "file",
                           name, reason());
    library *l = calloc(1, sizeof *l);
    if (l != NULL) l->path = strdup(name);
    if (l == NULL || l->path == NULL) {
        free(l);
        (void)dlclose(handle);
        return status_fail(error, RNL_ERR_MEMORY, "%s: memory is exhausted", name);
    }
    l->handle = handle;
    *out = l;
    return RNL_OK;
}

const char *library_path(const library *l) {
    return l->path;
}

rnl_status library_find(library *l, const char *name, library_fn *out, rnl_error *error) {
    void *const found = dlsym(l->handle, name);
    *out = NULL;
    if (found == NULL)
        return status_fail(error, RNL_ERR_UNSUPPORTED,
                           "%s has no function %s; it is another library, or too old", l->path,
                           name);
    /* POSIX lets either be the other; ISO C has no cast for it. */
    _Static_assert(sizeof found == sizeof *out, "a pointer to data is as wide as one to code");
    memcpy(out, &found, sizeof found);
    return RNL_OK;
}

void library_close(library **l) {
    if (*l == NULL) return;
    (void)dlclose((*l)->handle);
    free((*l)->path);
    free(*l);
    *l = NULL;
}
