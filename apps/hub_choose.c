#include "apps/hub_choose.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/gguf.h"

static const char *const prefixes[HUB_ROLE_COUNT] = {"", "mmproj-", "vocoder-", "tokenizer-"};

/* What a path to a GGUF file tells. */
typedef struct gguf_name {
    size_t folder;     /* bytes before the file's own name */
    const char *name;  /* of the file */
    size_t base, stem; /* bytes of it: without its ending; without quantisation, too */
    char quant[33];    /* in capitals; "": none */
    int number, count; /* of a split file, as in NAME-00001-of-00003.gguf; 1 and 1 of a whole one */
} gguf_name;

static bool ends_with(const char *text, const char *end) {
    const size_t size = strlen(text), end_size = strlen(end);
    return size > end_size && strcmp(text + size - end_size, end) == 0;
}

static bool begins_with(const char *text, const char *begin) {
    return strncmp(text, begin, strlen(begin)) == 0;
}

/* Q4_0, Q4_K_M, IQ4_XS, TQ1_0, F16, BF16, F32, MXFP4. */
static bool is_quant(const char *word) {
    const char *const floats[] = {"F16", "F32", "BF16", "FP16", "FP32"};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (strcmp(word, floats[i]) == 0) return true;
    if (begins_with(word, "MXFP")) return true;
    if (*word == 'I' || *word == 'T') word++;
    return word[0] == 'Q' && isdigit((unsigned char)word[1]) != 0;
}

/* False: no GGUF file. */
static bool read_name(const char *path, gguf_name *n) {
    const char *slash = strrchr(path, '/');
    *n = (gguf_name){.name = slash != NULL ? slash + 1 : path, .number = 1, .count = 1};
    n->folder = (size_t)(n->name - path);
    if (!ends_with(n->name, ".gguf")) return false;
    n->base = gguf_split_stem(n->name, &n->number, &n->count);
    if (n->base == 0) n->base = strlen(n->name) - strlen(".gguf");
    n->stem = n->base;
    size_t begin = n->base; /* of the last word */
    while (begin > 0 && n->name[begin - 1] != '-' && n->name[begin - 1] != '.') begin--;
    const size_t size = n->base - begin;
    if (begin == 0 || size == 0 || size >= sizeof n->quant) return true;
    char word[sizeof n->quant] = "";
    for (size_t i = 0; i < size; i++) word[i] = (char)toupper((unsigned char)n->name[begin + i]);
    if (!is_quant(word)) return true;
    strcpy(n->quant, word);
    n->stem = begin - 1;
    return true;
}

static bool is_part(const char *name) {
    for (int role = HUB_MMPROJ; role < HUB_ROLE_COUNT; role++)
        if (begins_with(name, prefixes[role])) return true;
    return begins_with(name, "audiodecoder-") || begins_with(name, "imatrix");
}

static bool read_main(const char *path, gguf_name *n) {
    return read_name(path, n) && !is_part(n->name) && n->number == 1;
}

/* The less, the better a part in another quantisation stands in. */
static int rank(const char *quant) {
    const char *const order[] = {"Q8_0", "F16", "BF16", "F32"};
    int i = 0;
    while (i < 4 && strcmp(quant, order[i]) != 0) i++;
    return i;
}

/* How well a file serves as a part of the main file; less is better, -1 not at all. */
static int fit(const char *path, hub_role role, const char *main_path, const gguf_name *m) {
    gguf_name n;
    if (!read_name(path, &n) || n.folder != m->folder || n.number != 1 ||
        strncmp(path, main_path, n.folder) != 0 || !begins_with(n.name, prefixes[role]))
        return -1;
    const char *rest = n.name + strlen(prefixes[role]);
    const size_t base = n.base - strlen(prefixes[role]);
    if (base == m->base && strncmp(rest, m->name, base) == 0) return 0;
    if (begins_with(rest, "audioencoder-")) rest += strlen("audioencoder-");
    const size_t size = (size_t)(n.name + n.stem - rest);
    const bool same_model = size == m->stem && strncmp(rest, m->name, size) == 0;
    return (same_model ? 1 : 10) + rank(n.quant);
}

/* The best file for a role. One that belongs to another model by its name only when it is the
 * only one. */
static size_t find_part(const char *const *paths, size_t count, hub_role role,
                        const char *main_path) {
    gguf_name m;
    size_t best = HUB_NONE, strangers = 0;
    int best_fit = 100;
    if (!read_name(main_path, &m)) return HUB_NONE;
    for (size_t i = 0; i < count; i++) {
        const int f = fit(paths[i], role, main_path, &m);
        if (f < 0) continue;
        if (f >= 10) strangers++;
        if (f > best_fit || (f == best_fit && strcmp(paths[i], paths[best]) > 0)) continue;
        best = i;
        best_fit = f;
    }
    return best_fit >= 10 && strangers > 1 ? HUB_NONE : best;
}

static bool has_old_sound(const char *const *paths, size_t count) {
    gguf_name n;
    for (size_t i = 0; i < count; i++)
        if (read_name(paths[i], &n) && begins_with(n.name, "audiodecoder-")) return true;
    return false;
}

bool hub_is_further(const char *path, const char *first) {
    gguf_name n, f;
    return read_name(path, &n) && read_name(first, &f) && n.number > 1 && n.count == f.count &&
           n.folder + n.base == f.folder + f.base && strncmp(path, first, n.folder + n.base) == 0;
}

static bool is_whole(const char *const *paths, size_t count, const char *first) {
    gguf_name n;
    int parts = 1;
    for (size_t i = 0; i < count; i++) parts += hub_is_further(paths[i], first);
    return read_name(first, &n) && parts == n.count;
}

static hub_choice choose_folder(const char *const *paths, size_t count, const char *quant) {
    bool config = false, weights = false;
    for (size_t i = 0; i < count; i++) {
        config = config || strcmp(paths[i], "config.json") == 0;
        weights = weights || (strchr(paths[i], '/') == NULL && ends_with(paths[i], ".safetensors"));
    }
    hub_choice c = {.kind = HUB_NO_MODEL};
    if (config && weights) c.kind = *quant != '\0' ? HUB_NO_QUANT : HUB_FOLDER;
    return c;
}

hub_choice hub_choose(const char *const *paths, size_t count, const char *quant) {
    hub_choice c = {.kind = HUB_SET};
    gguf_name n;
    size_t all = 0, only = HUB_NONE, asked = 0, found = HUB_NONE;
    const char *wanted = *quant != '\0' ? quant : "Q4_0";
    for (size_t i = 0; i < count; i++) {
        if (!read_main(paths[i], &n)) continue;
        all++;
        only = i;
        if (strcmp(n.quant, wanted) != 0) continue;
        asked++;
        found = i;
    }
    if (all == 0) return choose_folder(paths, count, quant);
    if (asked == 0 && all == 1 && *quant == '\0') found = only;
    if (found == HUB_NONE || asked > 1) {
        c.kind = asked > 1 ? HUB_AMBIGUOUS : HUB_NO_QUANT;
        return c;
    }
    c.index[HUB_MAIN] = found;
    if (!is_whole(paths, count, paths[found])) c.kind = HUB_SPLIT;
    for (int role = HUB_MMPROJ; role < HUB_ROLE_COUNT; role++)
        c.index[role] = find_part(paths, count, (hub_role)role, paths[found]);
    c.is_old_set = c.index[HUB_VOCODER] == HUB_NONE && has_old_sound(paths, count);
    return c;
}

bool hub_in_folder(const char *path) {
    if (begins_with(path, "audio_detokenizer/")) return true;
    return strchr(path, '/') == NULL && (ends_with(path, ".safetensors") ||
                                         ends_with(path, ".json") || ends_with(path, ".jinja"));
}

void hub_quants(const char *const *paths, size_t count, char *text, size_t cap) {
    gguf_name n, before;
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        if (!read_main(paths[i], &n) || n.quant[0] == '\0') continue;
        bool told = false;
        for (size_t j = 0; j < i && !told; j++)
            told = read_main(paths[j], &before) && strcmp(before.quant, n.quant) == 0;
        if (!told && size + 1 < cap)
            size +=
                (size_t)snprintf(text + size, cap - size, "%s%s", size > 0 ? ", " : "", n.quant);
    }
}
