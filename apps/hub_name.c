#include "apps/hub_name.h"

#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789"
#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define SMALL "abcdefghijklmnopqrstuvwxyz"

/* One half of ORG/NAME. */
static bool is_half(const char *text, size_t size) {
    if (size == 0 || size > 96) return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\0' || strchr(DIGITS CAPITALS SMALL "_.-", text[i]) == NULL) return false;
        const bool mark = text[i] == '.' || text[i] == '-';
        if (mark && (i == 0 || i + 1 == size || text[i - 1] == text[i])) return false;
    }
    return true;
}

static bool is_revision(const char *text, size_t size) {
    if (!hub_path_is_safe(text, size) || size >= HUB_REVISION_CAP) return false;
    return strspn(text, DIGITS CAPITALS SMALL "_.-+/") >= size;
}

bool hub_name_parse(const char *text, hub_name *out) {
    *out = (hub_name){.revision = "main"};
    const char *end = text + strcspn(text, ":@"), *slash = strchr(text, '/');
    if (slash == NULL || slash > end || (size_t)(end - text) >= sizeof out->repo) return false;
    if (!is_half(text, (size_t)(slash - text)) || !is_half(slash + 1, (size_t)(end - slash - 1)))
        return false;
    memcpy(out->repo, text, (size_t)(end - text));
    if (*end == ':') {
        const size_t size = strspn(++end, DIGITS CAPITALS SMALL "_");
        if (size == 0 || size >= sizeof out->quant) return false;
        for (size_t i = 0; i < size; i++)
            out->quant[i] = (char)(end[i] >= 'a' && end[i] <= 'z' ? end[i] - 'a' + 'A' : end[i]);
        end += size;
    }
    if (*end == '\0') return true;
    const size_t size = strlen(end + 1);
    if (*end != '@' || !is_revision(end + 1, size)) return false;
    memcpy(out->revision, end + 1, size + 1);
    return true;
}

void hub_name_text(const hub_name *n, char *text, size_t cap) {
    const bool revised = strcmp(n->revision, "main") != 0;
    (void)snprintf(text, cap, "%s%s%s%s%s", n->repo, n->quant[0] != '\0' ? ":" : "", n->quant,
                   revised ? "@" : "", revised ? n->revision : "");
}

bool hub_path_is_safe(const char *path, size_t size) {
    if (size == 0 || size > HUB_FILE_PATH_MAX) return false;
    size_t begin = 0; /* of the part between two slashes */
    for (size_t i = 0; i <= size; i++) {
        const unsigned char c = i < size ? (unsigned char)path[i] : '/';
        if (c < 0x20 || c == 0x7f) return false;
        /* U+0080 to U+009F are control characters, too; terminals obey some. */
        if (c == 0xC2 && i + 1 < size && (unsigned char)path[i + 1] < 0xA0) return false;
        if (c != '/') continue;
        const size_t part = i - begin;
        if (part == 0 || (part <= 2 && strncmp(path + begin, "..", part) == 0)) return false;
        begin = i + 1;
    }
    return true;
}

bool hub_is_hex(const char *text, size_t size, size_t digits) {
    return size == digits && strspn(text, DIGITS "abcdef") >= size;
}

bool hub_is_commit(const char *text) {
    const size_t size = strlen(text);
    return hub_is_hex(text, size, 40) || hub_is_hex(text, size, 64);
}
