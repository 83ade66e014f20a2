/* The files of a GGUF set that lie beside the main file. Names are compared without ".gguf",
 * without the ending of a split file and without the role:
 *
 *     NAME-Q4_0.gguf             the main file; what stands before -Q4_0 is the stem
 *     mmproj-NAME-Q4_0.gguf      its encoder
 *     mmproj-NAME-F16.gguf       its encoder as well, when it is the only one
 *     REPO_mmproj-NAME-Q4_0.gguf of REPO_NAME-Q4_0.gguf: downloads that were laid side by side */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/status.h"
#include "engine/source.h"

enum { BASE_CAP = 256 };

/* "DIR/NAME.gguf", "NAME-00001-of-00002.gguf" -> "NAME"; false for other files, and for parts of a
 * split file but the first. */
static bool base_of(const char *path, bool any_part, char base[BASE_CAP]) {
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    int number = 1, count;
    size_t size = gguf_split_stem(name, &number, &count);
    if (size > 0 && number != 1 && !any_part) return false;
    if (size == 0) {
        size = strlen(name);
        if (size < 5 || strcasecmp(name + size - 5, ".gguf") != 0) return false;
        size -= 5;
    }
    return (size_t)snprintf(base, BASE_CAP, "%.*s", (int)(size < BASE_CAP ? size : BASE_CAP),
                            name) < BASE_CAP;
}

/* "Q4_0", "IQ4_NL", "F16", "BF16", "MXFP4": what may stand last in a file's name. */
static bool is_quantisation(const char *text) {
    const char *const floats[] = {"f16", "f32", "bf16", "fp16", "fp32", "mxfp4"};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (strcasecmp(text, floats[i]) == 0) return true;
    const char *q = text;
    if (*q == 'i' || *q == 'I' || *q == 't' || *q == 'T') q++;
    if ((*q != 'q' && *q != 'Q') || !isdigit((unsigned char)q[1])) return false;
    while (isalnum((unsigned char)*q) || *q == '_') q++;
    return *q == '\0';
}

/* Bytes of a base name before its quantisation. */
static size_t stem_of(const char *base) {
    const size_t size = strlen(base);
    for (size_t i = size; i > 1; i--)
        if (base[i - 1] == '-' || base[i - 1] == '.')
            return is_quantisation(base + i) ? i - 1 : size;
    return size;
}

typedef enum likeness { OTHER, SAME_STEM, SAME_NAME } likeness;

/* How a file's base name, with the role taken out at any place, compares to the main file's. */
static likeness compare(const char *base, const char *role, const char *main_base) {
    const size_t stem = stem_of(main_base), length = strlen(role);
    likeness best = OTHER;
    for (const char *at = strstr(base, role); at != NULL; at = strstr(at + 1, role)) {
        char rest[BASE_CAP];
        if (at[length] != '-') continue;
        (void)snprintf(rest, sizeof rest, "%.*s%s", (int)(at - base), base, at + length + 1);
        if (strcmp(rest, main_base) == 0) return SAME_NAME;
        if (strncmp(rest, main_base, stem) != 0) continue;
        const char *end = rest + stem;
        if (*end == '\0' || ((*end == '-' || *end == '.') && is_quantisation(end + 1)))
            best = SAME_STEM;
    }
    return best;
}

static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

/* The candidates' names, in order, as one text. */
static void list_rivals(source_part *p, char (*names)[BASE_CAP], size_t count) {
    qsort(names, count, sizeof *names, by_text);
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof p->rivals; i++)
        used += (size_t)snprintf(p->rivals + used, sizeof p->rivals - used, "%s%s",
                                 i > 0 ? ", " : "", names[i]);
    status_clean(p->rivals);
}

void source_find_part(const char *main_path, const char *const *roles, source_part *p) {
    enum { RIVAL_CAP = 8 };
    char main_base[BASE_CAP], base[BASE_CAP], names[RIVAL_CAP][BASE_CAP];
    const char *slash = strrchr(main_path, '/');
    const int folder = slash != NULL ? (int)(slash + 1 - main_path) : 0;
    size_t count = 0;
    likeness best = OTHER;
    *p = (source_part){0};
    char where[SOURCE_PATH_CAP];
    if (!base_of(main_path, true, main_base) ||
        (size_t)snprintf(where, sizeof where, "%.*s", folder, main_path) >= sizeof where)
        return;
    DIR *d = opendir(folder > 0 ? where : ".");
    if (d == NULL) return;
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        likeness like = OTHER;
        if (strlen(e->d_name) >= BASE_CAP || !base_of(e->d_name, false, base)) continue;
        for (const char *const *role = roles; *role != NULL; role++) {
            const likeness as = compare(base, *role, main_base);
            if (as > like) like = as;
        }
        if (like == OTHER || like < best) continue;
        if (like > best) count = 0;
        best = like;
        if (count < RIVAL_CAP) (void)strcpy(names[count++], e->d_name);
    }
    closedir(d);
    if (count > 1) list_rivals(p, names, count);
    if (count != 1) return;
    p->same_name = best == SAME_NAME;
    if ((size_t)snprintf(p->path, sizeof p->path, "%s%s", where, names[0]) >= sizeof p->path)
        p->path[0] = '\0';
}
